"""What the attempts at one job logged: from the bucket where they have ended, from Redis while they run."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from contract import keys
from contract.errors import BrokerUnavailable, NotFound
from contract.ledger import ENDED, Ledger
from contract.livelog import LiveLog
from contract.settings import Settings
from contract.storage import Storage
from contract.workers import Roster
from producer.names import JOB_DIGITS
from producer.show import AttemptView, JobView, LogLine, log_line
from producer.show import show as look_up
from producer.status import ACTIVE

POLL_SECONDS = 1.0
"""As often as a worker tells what is new."""


@dataclass(frozen=True)
class AttemptLog:
    """What one attempt logged."""

    id: str
    outcome: str
    """The status of its manifest; `running`; or `no result`: it was interrupted, or another one was faster."""
    host: str | None
    lines: tuple[bytes, ...]
    """As they were written; none where it left no log, and nobody heard it while it ran."""
    began: str = ""
    """When, in UTC; empty where nothing tells."""
    place: int = 0
    """Among the attempts at its job in the order of time, from 1."""


@dataclass(frozen=True)
class Said:
    """One line, and the attempt that logged it."""

    attempt: AttemptLog
    line: LogLine

    def record(self) -> dict[str, Any]:
        """For scripts."""
        told = {"attempt": self.attempt.id, "place": self.attempt.place, "outcome": self.attempt.outcome}
        return {**told, "host": self.attempt.host, **asdict(self.line)}


class JobLog:
    """The logs of one job, which may be running. It is named as in `dubline show`.

    Raises:
        NotFound: there is no such batch, row or job, or several are called so.
    """

    def __init__(self, settings: Settings, name: str, row: str | None = None) -> None:
        self._storage = Storage(settings)
        self._ledger = Ledger(settings)
        self._live = LiveLog(settings)
        self._roster = Roster(settings)
        self._name, self._row = name, row
        self.job = self._look().id
        self.is_live = True
        """False: Redis was away, and what running attempts log is not known."""

    def attempts(self) -> list[AttemptLog]:
        """All attempts that left something, oldest first."""
        heard = (
            self._heard()
        )  # before the bucket: an attempt has left its log there before the next one begins
        view = self._look()
        found = [self._attempt(each, heard.pop(each.id, ())) for each in view.attempts if each.number != 0]
        found += [
            AttemptLog(name, "no result", None, lines, _time(lines[0])) for name, lines in heard.items()
        ]
        found.sort(key=lambda each: each.began)
        if found and view.state in ACTIVE and found[-1].outcome == "no result":
            found[-1] = replace(found[-1], outcome="running")
        return [replace(each, place=place) for place, each in enumerate(found, 1)]

    def follow(self) -> Iterator[Said]:
        """Each line once, also those that are still to come, until the job has ended."""
        seen: set[tuple[str, bytes]] = set()
        has_ended = self._has_ended()
        while True:
            for attempt in self.attempts():
                new = [line for line in attempt.lines if (attempt.id, line) not in seen]
                seen.update((attempt.id, line) for line in new)
                yield from said(attempt, new)
            if has_ended:
                return
            # Asked first: what an attempt leaves is there before its job has ended, its last words a moment later.
            has_ended = self._has_ended()
            time.sleep(POLL_SECONDS)

    def _look(self) -> JobView:
        """The job. One whose first attempt has left nothing yet is known to the worker that runs it alone."""
        try:
            return look_up(self._storage, self._ledger, self._name, self._row)
        except NotFound:
            if self._row is not None or len(self._name) < JOB_DIGITS:
                raise
            running = self._running()
            if running is None:
                raise
            return look_up(self._storage, self._ledger, *running)

    def _running(self) -> tuple[str, str] | None:
        """Batch and row that a worker is at work on, by the first digits of their job."""
        try:
            crew = self._roster.workers()
        except BrokerUnavailable:
            return None
        named = {(each.batch, each.row) for each in crew if each.job and each.job.startswith(self._name)}
        return next(((batch, row) for batch, row in named if batch and row), None)

    def _heard(self) -> dict[str, tuple[bytes, ...]]:
        """What attempts told while they ran, by their ids."""
        heard: dict[str, list[bytes]] = {}
        try:
            for each in self._live.after(self.job):
                heard.setdefault(each.attempt, []).append(each.line.encode())
            self.is_live = True
        except BrokerUnavailable:
            self.is_live = False
        return {name: tuple(lines) for name, lines in heard.items()}

    def _attempt(self, view: AttemptView, heard: Sequence[bytes]) -> AttemptLog:
        key = keys.log(self.job, view.id)
        is_left = key in {file.key for file in view.files}
        left = tuple(self._storage.lines(key)) if is_left else ()
        later = (line for line in heard if line not in left)  # what it said after it had left its log
        lines = (*left, *later)
        moment = view.started or view.ended
        began = _time(lines[0]) if lines else moment.isoformat() if moment else ""
        return AttemptLog(view.id, view.outcome, view.host, lines, began)

    def _has_ended(self) -> bool:
        try:
            (progress,) = self._ledger.progress([self.job])
            if progress and progress.state not in ENDED:
                return False
        except BrokerUnavailable:
            pass
        return self._storage.stat(keys.manifest(self.job)) is not None


def _time(line: bytes) -> str:
    return log_line(line).time


def said(attempt: AttemptLog, lines: Sequence[bytes]) -> Iterator[Said]:
    """Lines of an attempt, read."""
    return (Said(attempt, log_line(line)) for line in lines)


def chosen(attempts: Sequence[AttemptLog], which: str | None, job: str) -> list[AttemptLog]:
    """All of them, or the one of that place or id.

    Raises:
        NotFound: there is none of that place or id.
    """
    if which is None:
        return list(attempts)
    found = [each for each in attempts if which in (str(each.place), each.id)]
    if not found:
        there = f"its attempts are 1 to {len(attempts)}" if attempts else "no attempt at it has begun"
        raise NotFound(f"there is no attempt {which!r} at job {job[:12]}; {there}")
    return found
