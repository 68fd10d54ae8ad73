"""How good a result is, measured on the finished video.

evaluate    START HERE: the story of judging the videos of one source; figures makes figures of it
compare     several systems against each other; pairs reads its CSV
metrics/    one file each, behind one port; panel loads those that this machine can measure with
networks/   the networks that judge
clip        source and videos frame by frame side by side; crops says where a mouth is looked at
controls    audio that does not belong; floor: the source encoded again; own_audio: is the audio the source's own?
statistics  intervals, paired comparisons, Holm's correction; fid: the two distances of distributions; spread: evenly spaced frames
syncnet/    what SyncNet looks at and hears
report/     one HTML file to look at; table: figures for a terminal
sync        the manifest's sync check, on the curves that aperture measures while a video is rendered
bench/      `dubline bench`; cli has `dubline evaluate` and `compare`
"""
