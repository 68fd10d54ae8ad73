"""Decode, normalise, blend and encode: everything that touches libav."""
