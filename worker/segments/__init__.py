"""Finished parts of a long job, kept in the bucket so that another attempt goes on from them.

    frames ─► Recording ─► VideoWriter, which begins afresh every 500 frames
                  │
                  └─► Chain.keep ─► jobs/<job>/segments/<made with>/<first frame>-<SHA-256>.safetensors

A segment holds what came out of the encoder, and all that the frames after it depend on: so the video of an attempt
that went on is the same bytes as that of one that was never interrupted. Whatever goes wrong with a segment is a
warning, and the job renders from there.
"""
