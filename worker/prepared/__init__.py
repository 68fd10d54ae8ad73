"""Prepared source frames that outlive their job: on this machine in a bounded folder, and in the bucket for all others.

    prepared/<key>/000000-256.safetensors     source frames 0..255 of the part, on its 25 fps grid
    prepared/<key>/000256-044.safetensors     source frames 256..299
    prepared/<key>/000300-000.safetensors     no frames: the source ends here

The key is a hash of everything the frames depend on, so what lies under it is never wrong, only there or not. An
entry is read and written from frame 0 on, as far as anybody has come. Nothing here ever fails a job: what cannot
be kept or read is said in a warning and prepared again.

entry         one source's prepared frames, as one job sees them
shelf         the folder of this machine: its size, who uses what
chunk         the format of one file
"""
