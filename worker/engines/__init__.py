"""Engines: face crops and audio in, mouths out. The port is base.py."""
