"""How fast an engine is on this machine, and what a minute of video costs: `dubline bench`.

cli       the command
rounds    START HERE: what is measured, in order
jobs      whole jobs: in a new process, in one that is set up, of a new and of a prepared source
core      the networks alone, by batch size; flops: their arithmetic; matmul: what the device can do at most
memory    the most of it that was in use
report    the figures, as JSON; table, plot: for people
"""
