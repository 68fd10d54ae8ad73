"""What producer and worker agree on. Light: no torch, no av, no cv2.

job, manifest, summary    what is asked for, what was made of it, what became of a batch; figures, evaluation: how good it is
errors                    what can go wrong, and whether it is tried again
keys, storage, outputs    where everything lies in the bucket, the port to it, and the copies for people
races                     what a store must promise
webhook                   an event on its way to a receiver
cancel, deadletter        a person's wish that rows be not rendered; the index of those that failed
weburl, outside           URLs that strangers name: their shape, where they may lead, and the one way there
address, connection       where Redis is, and how every client of it connects
broker, ledger            the queue, and who holds a job
queue, workers, livelog   what lies in the queue, who works, and what running jobs log: for people who look on
journal, metrics, scrape  how every process logs; what is counted, and how Prometheus gets it
traces                    what happened to a row, as spans for OpenTelemetry
backlog, pace             what is still to be done, and how long jobs take: for whoever decides how many workers there be
settings, checks          what a process is told, and what `dubline doctor` asks; waiting: how it starts in an outage
"""
