"""The page at `/`, as a browser reads it: no build step, and nothing of elsewhere. Served by producer/api/page.py.

page.html     the frame that stays; page.css: tokens first, then parts; icon.svg
page.js       START HERE: what is shown at which address, and what holds for all of it
client.js     the API: keys, problems, rates, a server that is gone
home.js       the beginning; submit.js: a new job; submittable.js: a CSV; options.js: its columns as a form
drop.js       what was dropped; wave.js: a sound as a drawing
batches.js    the list; batch.js: one of them; table.js: rows that stay in place while they change
job.js        one job; stages.js: how far it is; facts.js: what its manifest says
player.js     source and result in step; plot.js: lips against loudness
elements.js   elements made of data; words.js: numbers and states as people say them; theme.js: light and dark
"""
