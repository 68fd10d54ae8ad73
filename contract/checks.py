"""What `dubline doctor` asks of every part: does it work here, and what to do if not."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from contract.settings import Settings


@dataclass(frozen=True)
class Check:
    """One line of the doctor's table."""

    name: str
    ok: bool | None
    """None: not needed here, or not known; never counted as a failure."""
    detail: str
    """What was seen."""
    remedy: str = ""
    """What to do, where something is to be done."""


Checks = Callable[[Settings], Iterable[Check]]
"""An entry point of the group `dubline.checks`. It reports what is missing; it does not raise."""
