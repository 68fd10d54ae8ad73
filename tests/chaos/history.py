"""What clients did and saw, one JSON object a line, in one file that any number of processes append to."""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

What = Literal["submitted", "claimed", "began", "ended", "stands", "pausing", "fault"]
"""A submission was acknowledged; a job was claimed; an attempt's body began, ended; a manifest was seen; an attempt
is about to stop itself; something was broken on purpose."""


@dataclass(frozen=True)
class Event:
    """One thing that one client did or saw."""

    at: float
    """Seconds of this machine's clock."""
    who: str
    what: What
    job: str = ""
    attempt: str = ""
    status: str = ""
    """Of a manifest that stands; how a body ended."""
    note: str = ""
    pid: int = 0


class History:
    """The pen of one client. Each event is one `write` of one line, so no kill tears it and no two mix."""

    def __init__(self, path: Path, who: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._who = who

    def note(self, what: What, **facts: str | int) -> None:
        """Write one event down."""
        event = Event(time.time(), self._who, what, **facts)
        os.write(self._file, json.dumps(asdict(event)).encode() + b"\n")


def read(path: Path, start: int = 0) -> tuple[list[Event], int]:
    """All whole lines from the byte `start` on, and where the next reading goes on."""
    with path.open("rb") as file:
        file.seek(start)
        body = file.read()
    whole = body[: body.rfind(b"\n") + 1]
    return [Event(**json.loads(line)) for line in whole.splitlines()], start + len(whole)
