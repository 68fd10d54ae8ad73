"""From a CSV to a batch, and from results to people. Installs without torch.

cli        every command; steer: those that steer what was submitted; commands: those that other parts bring
screen     what a person sees of them; follow: of a batch in motion; closeup: of one job; panorama: of everything
overview   everything at one moment: batches, workers, the queue
pairs      a CSV as pairs to render; table, cells: its rows and what each cell means; kinds: which files, by suffix
check      what can be known before money is spent; estimate: what it would cost
submit     a checked CSV becomes a batch; uploads: its local files
watch      what is dropped into a folder of a bucket becomes batches
feeder     batches become messages; openbatch: one of them; turns: whose row is next; cancelling, sweep: what shall not be
fleet      workers in containers on any number of hosts, as many as the queue needs
outbox     events for webhooks; courier: posts them until they are delivered; deliveries: how far they are
cancel     rows are not to be rendered; requeue: they are, after all; failed: which, and why
show       everything about one job; logs: what its attempts said; names: which batch, row or job a person means
status     where rows stand; results: brings them here; batches: reads both from the store; gallery: the page
ab         what metrics cannot tell: two batches become a blind comparison, and raters' votes an answer
api        the same by HTTP: jobs, batches, files, keys; web: the page
local      the embedded stack; leash: nothing outlives it; app: Flower's; demo, doctor: what one tries first
"""
