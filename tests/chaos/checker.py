"""The judge: from what was asked for, what clients saw and what the store holds at the end, everything that is wrong.

In the manner of Jepsen: it knows nothing of how Dubline works, and has no clock, no store and no queue of its own.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from tests.chaos.history import Event

Kind = Literal[
    "lost",
    "never ended",
    "duplicated",
    "replaced",
    "vanished",
    "cancelled and succeeded",
    "unplanned",
    "wrong output",
    "missing output",
    "unasked",
    "not announced",
    "wrong summary",
]


@dataclass(frozen=True)
class Expected:
    """How one row may end."""

    batch: str
    row: str
    job: str
    may: frozenset[str]
    """Statuses that its manifest may have."""
    sha256: str | None = None
    """Of its output, where that is known beforehand."""
    same_as: str = ""
    """Rows with the same word here show the same work under other names: the same bytes come out."""


@dataclass(frozen=True)
class Found:
    """What the store holds of one job at the end."""

    job: str
    attempt: str
    status: str
    versions: int = 1
    """Times that a manifest was written there."""
    claimed_sha256: str | None = None
    """Of the output, says the manifest; None without an output."""
    stored_sha256: str | None = None
    """Of the bytes that lie where the manifest points; None if there are none."""


@dataclass(frozen=True)
class Closed:
    """What people see of one batch at the end."""

    counts: Mapping[str, int]
    """By status, says the summary."""
    copies: Mapping[str, str]
    """SHA-256 of the copy under each row's name."""


@dataclass(frozen=True)
class Wrong:
    """One promise broken."""

    kind: Kind
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}: {self.detail}"


def check(
    asked: Sequence[Expected],
    history: Iterable[Event],
    found: Iterable[Found],
    closed: Mapping[str, Closed] | None = None,
) -> list[Wrong]:
    """Everything that is wrong; nothing: all is fine. `closed`: None where batches are not looked at."""
    events = list(history)
    at_the_end = {each.job: each for each in found}
    acknowledged = {each.note for each in events if each.what == "submitted"}
    due = [each for each in asked if each.batch in acknowledged]
    return [
        *_unended(due, events, at_the_end),
        *_unasked(asked, at_the_end),
        *_restless(events, at_the_end),
        *(wrong for each in due if each.job in at_the_end for wrong in _ending(each, at_the_end[each.job])),
        *_unlike(due, at_the_end),
        *(_batches(due, at_the_end, closed) if closed is not None else ()),
    ]


def excused(asked: Iterable[Expected], history: Iterable[Event], lost_attempts: int) -> list[Expected]:
    """The same, but that a job may fail, whatever was planned, if so many that had claimed it were never heard of again.

    An end is promised, and not that it is a good one where the storm takes every worker.
    """
    claimed, ended = set(), set()
    for each in history:
        if each.what in ("claimed", "ended"):
            (claimed if each.what == "claimed" else ended).add((each.job, each.attempt))
    vanished = Counter(job for job, _ in claimed - ended)
    return [
        replace(each, may=each.may | {"failed"}) if vanished[each.job] >= lost_attempts else each
        for each in asked
    ]


def _unended(due: list[Expected], events: list[Event], found: Mapping[str, Found]) -> Iterable[Wrong]:
    begun = Counter(each.job for each in events if each.what == "began")
    seen = {each.job for each in events if each.what == "stands"}
    for each in due:
        if each.job in found:
            continue
        name = f"{each.batch}/{each.row}"
        if each.job in seen:
            yield Wrong("vanished", name, "its manifest was seen, and is not there at the end")
        elif begun[each.job]:
            yield Wrong("never ended", name, f"{begun[each.job]} attempts began, and there is no manifest")
        else:
            yield Wrong("lost", name, "its submission was acknowledged, and no attempt ever began")


def _unasked(asked: Sequence[Expected], found: Mapping[str, Found]) -> Iterable[Wrong]:
    for job in found.keys() - {each.job for each in asked}:
        yield Wrong("unasked", job, "it has a manifest, and nobody submitted it")


def _restless(events: list[Event], found: Mapping[str, Found]) -> Iterable[Wrong]:
    """A manifest that was seen stands for ever, and is written once."""
    standing: dict[str, dict[tuple[str, str], None]] = defaultdict(dict)
    for each in events:
        if each.what == "stands":
            standing[each.job][each.attempt, each.status] = None
    for job, end in found.items():
        standing[job][end.attempt, end.status] = None
        if end.versions != 1:
            yield Wrong("duplicated", job, f"its manifest was written {end.versions} times")
    for job, versions in standing.items():
        for (attempt, status), (other, then) in pairwise(versions):
            if {status, then} == {"cancelled", "succeeded"}:
                yield Wrong("cancelled and succeeded", job, f"attempts {attempt} and {other} both won")
            else:
                yield Wrong("replaced", job, f"attempt {attempt} ({status}) stood, then {other} ({then})")


def _ending(each: Expected, end: Found) -> Iterable[Wrong]:
    name = f"{each.batch}/{each.row}"
    if end.status not in each.may:
        yield Wrong("unplanned", name, f"it {end.status}, planned was {' or '.join(sorted(each.may))}")
    if end.status != "succeeded":
        return
    if end.claimed_sha256 is None or end.stored_sha256 is None:
        yield Wrong("missing output", name, f"attempt {end.attempt} committed it without")
    elif end.stored_sha256 != end.claimed_sha256:
        yield Wrong("wrong output", name, "the bytes are not those that the manifest names")
    elif each.sha256 and end.stored_sha256 != each.sha256:
        yield Wrong("wrong output", name, "the bytes are not those of this job")


def _unlike(due: list[Expected], found: Mapping[str, Found]) -> Iterable[Wrong]:
    outputs: dict[str, set[str]] = defaultdict(set)
    for each in due:
        end = found.get(each.job)
        if each.same_as and end and end.status == "succeeded" and end.stored_sha256:
            outputs[each.same_as].add(end.stored_sha256)
    for name, digests in outputs.items():
        if len(digests) > 1:
            yield Wrong("wrong output", name, f"the same work gave {len(digests)} different files")


def _batches(
    due: list[Expected], found: Mapping[str, Found], closed: Mapping[str, Closed]
) -> Iterable[Wrong]:
    rows: dict[str, list[Expected]] = defaultdict(list)
    for each in due:
        rows[each.batch].append(each)
    for batch, members in rows.items():
        if batch not in closed:
            yield Wrong("not announced", batch, "all its rows have ended, and it has no summary")
            continue
        ends = {each.row: found[each.job] for each in members if each.job in found}
        counts = Counter(end.status for end in ends.values())
        told = +Counter(closed[batch].counts)
        if told != counts:
            yield Wrong("wrong summary", batch, f"it says {dict(told)}, the manifests {dict(counts)}")
        yield from _copies(batch, ends, closed[batch].copies)


def _copies(batch: str, ends: Mapping[str, Found], copies: Mapping[str, str]) -> Iterable[Wrong]:
    for row, end in ends.items():
        wanted = end.stored_sha256 if end.status == "succeeded" else None
        if copies.get(row) != wanted:
            yield Wrong("not announced", f"{batch}/{row}", "its copy under the row's name is not its result")
    for row in copies.keys() - ends.keys():
        yield Wrong("unasked", f"{batch}/{row}", "there is a copy, and no such row")
