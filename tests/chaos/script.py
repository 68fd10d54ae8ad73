"""What a planned job does when it runs. It travels as the job's audio, so that staging is part of the play."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Kind = Literal[
    "short",
    "long",
    "flaky",
    "crashing",
    "bad",
    "poison",
    "hung",
    "pausing",
    "doomed",
    "withdrawn",
    "render",
]
"""short, long: sleep and succeed. flaky: fail at first. crashing: the engine fails at first, and with it the child.
bad: the input is to blame. poison: kills its own process, always. hung: never moves, and has a time limit.
pausing: stops itself right before its first commit. doomed: ends only if it is cancelled. withdrawn: is short, and
cancelled at some time. render: the real preview engine on a tiny clip."""


@dataclass(frozen=True)
class Script:
    """One job's part."""

    name: str
    """Unlike any other's: what it makes is made of it."""
    kind: Kind
    seconds: float = 0.0
    """Of work, in small steps."""
    failures: int = 0
    """Bodies that fail before one succeeds."""
    bytes: int = 20_000
    """Of the output."""

    def to_bytes(self) -> bytes:
        """As it lies in the bucket."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def of(cls, path: Path) -> "Script":
        """As it was staged."""
        return cls(**json.loads(path.read_bytes()))

    def output(self) -> bytes:
        """What this job makes, always the same."""
        return hashlib.shake_256(self.name.encode()).digest(self.bytes)

    @property
    def sha256(self) -> str:
        """Of the output."""
        return hashlib.sha256(self.output()).hexdigest()
