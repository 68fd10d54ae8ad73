"""What SyncNet looks at and hears, as its authors' pipeline makes it: joonson/syncnet_python@6efbb1c.

    frame ─► detections ─► face_track ─► face_crop ─► lip_features ─┐
                           (boxes)                                  ├─► lip_sync: distances, LSE-D, LSE-C, offset
    audio ─► mfcc ──────────────────────────────► voice features ───┘

The networks are in networks/, the metric is metrics/syncnet.py.
"""
