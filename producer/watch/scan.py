"""One look at the folder: what it saw, and what it did."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from contract.storage import StoredObject
from producer.watch.batching import Submitted
from producer.watch.folder import Content
from producer.watch.names import Dropped, Half
from producer.watch.reports import Report
from producer.watch.tables import Table

SETTLE = timedelta(seconds=5)
"""What was written later may yet be written again, or get its options."""


@dataclass
class Scan:
    """What one look at the folder saw and did."""

    folder: str
    objects: int = 0
    pairs: int = 0
    """That are in a batch, now or before."""
    tables: int = 0
    """CSVs, likewise."""
    submitted: list[Submitted] = field(default_factory=list)
    unsettled: int = 0
    """Names and CSVs that were written to a moment ago."""
    pending: int = 0
    """Claimed by another watcher that has not submitted them yet."""
    singles: list[Half] = field(default_factory=list)
    refused: list[Report] = field(default_factory=list)
    archived: int = 0
    """Objects."""
    ignored: int = 0
    """Objects that are neither video nor audio nor options."""


@dataclass
class Look:
    """What one look has found so far."""

    scan: Scan
    now: datetime
    """By the store's clock."""
    content: Content
    pairs: dict[str, Dropped] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)
    """By what they are about, as a path below the folder."""

    def is_settled(self, parts: Iterable[StoredObject]) -> bool:
        settled = all(each.modified <= self.now - SETTLE for each in parts)
        self.scan.unsettled += not settled
        return settled

    def refuse(self, report: Report) -> None:
        before = self.reports.get(report.name)
        self.reports[report.name] = before + report if before else report
