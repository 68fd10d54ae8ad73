"""Blind A/B studies: people say which of two videos is better, and do not know what made either.

cli       `dubline ab make` and `dubline ab count`; words: what they show
make      two batches become a folder for raters and a key for whoever counts
draw      which rows can be compared, in which order, and which system stands on which side
study     the key: what was drawn; fetch: its videos come here
page      what raters open: page.html
votes     the files that raters send back; count: what they say; sign: whether chance would say as much
"""
