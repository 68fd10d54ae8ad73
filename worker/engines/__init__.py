"""Engines: face crops and audio in, mouths out. The port is base.py."""

from contract.job import EngineName

SMALL: frozenset[EngineName] = frozenset({"preview"})
"""Engines that are set up in a moment, and stay in memory beside any other. Of the others there is one at a time: two
need not fit."""
