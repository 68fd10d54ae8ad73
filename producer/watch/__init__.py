"""The drop folder: what people put into a bucket becomes batches. START WITH `watcher`.

watcher    one look at the folder after the other: the story; scan: what a look saw and did
folder     where it is, and what lies there; names: what belongs together under one name
tables     CSVs that were dropped; options: the JSON beside a pair; vetting: pairs that can become jobs
claims     which batch submits which pair, put before it is submitted; batching: claimed pairs become batches
reports    `<name>.error.json`: why something is not submitted; archive: where inputs go when they are done with
singles    halves that wait for their partner, for `dubline status`
doorbell   what makes it look at once: HTTP on loopback; queue: SQS. Neither is the truth, a listing is
command    `dubline watch`

A pair's id is the SHA-256 of both addresses and ETags, and of its options' ETag. Pairs that are seen together become one
batch, for thousands of batches of one row would be a burden on the feeder. Nothing but puts with a condition says who submits:

1. Each pair is claimed by `drop-ledger/<id>.json`, put if absent, which names the batch that is to hold it. The name is a
   hash of the ids that were seen together, so two watchers that see the same claim the same.
2. A batch's rows are the pairs whose claims name it. They are put if absent, like every batch.
3. A claim whose batch has stood without rows for a minute is submitted under that name by whoever sees it.
4. A claim whose batch has rows, but not this one, is moved to a new batch by replace-if-same.

A pair is thus in the rows of one batch only: a row of batch B was written by somebody who read a claim that named B; a claim leaves B
only when B's rows stand without it; rows never change. Whatever dies between two puts leaves claims without a batch (3). A slow
watcher that wakes after others submitted its batch for it finds rows that are not its own, and moves what they lack (4).
"""
