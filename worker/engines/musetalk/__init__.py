"""MuseTalk: one pass of a UNet redraws the lower half of a face, by the sound. Start at engine.py."""
