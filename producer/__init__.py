"""From a CSV to a batch, and from results to people. Installs without torch.

cli        every command; commands: those that other parts bring; screen, follow: what a person sees of them
pairs      a CSV as pairs to render; table, cells: its rows and what each cell means
check      what can be known before money is spent; estimate: what it would cost
submit     a checked CSV becomes a batch; uploads: its local files
feeder     batches become messages; openbatch: one of them; turns: whose row is next; cancelling, sweep: what shall not be
status     where rows stand; results: brings them here; batches: reads both from the store; gallery: the page
local      the embedded stack; leash: nothing outlives it; app: Flower's; demo, doctor: what one tries first
"""
