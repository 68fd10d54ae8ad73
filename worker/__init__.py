"""From a job to a lip-synced video and its manifest. START HERE: render.py.

app           the process that takes messages; child: the one that runs jobs; ahead: its engine, warm
              before the first; tryout: whether it could run jobs; device: on which GPU; ping: does it answer; logs: what it says
tasks         the life of one delivery; lease, progress: the job is ours while it moves; retry: what follows a failure; commit
stopping      what happens on SIGTERM; preempt: EC2's notices that it will come; presence: who works, for those who look on
attempt       one attempt at a job; stage: files in and out; scratch: their folder; stopwatch: seconds per stage
render        the story of the video; setup: what it needs once
drawing       new mouths for frames; preparing: what is done once per source frame; overlap: stages side by side
prepared      source frames that are kept ready for other jobs
segments      finished parts of a long job, for the attempt that goes on from them
media         decode, normalise, blend, encode; strangers' files only in a child process
faces         find a face, follow it, say where its mouth is
engines       draw the mouths
evaluation    how good the result is; measuring: the same for a job whose row asks for it
weights       the networks' files: which there are; fetch and verify
cli, alone    `dubline render` and `dubline models`, without a queue; options: of a job, as people write them
"""
