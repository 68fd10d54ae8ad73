"""Where the rows of a batch stand. What has ended is told by manifests (truth), what moves by the ledger (live)."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Literal

from contract import keys
from contract.errors import BrokerUnavailable
from contract.ledger import ENDED, STATE_OF, Ledger, Progress, State
from contract.manifest import Manifest
from contract.storage import Storage
from contract.summary import Summary
from contract.workers import Roster, Worker
from producer.batches import MANIFEST_LIMIT, batch_rows, manifests, of_this_version

LEDGER_CHUNK = 1000
"""Jobs asked for in one round trip."""
FPS = 25
"""Of every output."""
SEARCH_SECONDS = 10.0
"""Pause between two searches of the store for a batch that is watched."""

RowState = State | Literal["waiting", "later", "stopping"]
"""The ledger's states, and three more. `waiting`: submitted, and not in the queue yet; `later`: it failed, and waits
before it is tried again; `stopping`: a worker holds it, and a person has cancelled it."""
STATES: tuple[RowState, ...] = (
    "waiting",
    "queued",
    "later",
    "staging",
    "preparing",
    "generating",
    "evaluating",
    "uploading",
    "stopping",
    "done",
    "failed",
    "cancelled",
)
ACTIVE: frozenset[RowState] = frozenset(
    ("staging", "preparing", "generating", "evaluating", "uploading", "stopping")
)


@dataclass(frozen=True)
class RowStatus:
    """Where one row stands."""

    id: str
    job: str
    state: RowState
    frames: int = 0
    """Done so far; of `total` where that is known."""
    total: int = 0
    fps: float = 0.0
    eta_seconds: float | None = None
    error: str | None = None
    """Code of the error of a row that failed, or of its last attempt where it waits to be tried again."""
    attempts: int = 0
    """Those that have failed or were lost; of a row that has ended, the number of the one that ended it."""
    later_seconds: float | None = None
    """In how long it is tried again."""


@dataclass(frozen=True)
class BatchStatus:
    """Where a batch stands, at one moment."""

    batch: str
    rows: list[RowStatus]
    live: bool
    """False: Redis is away; only what has ended is known."""
    workers: tuple[Worker, ...] = ()
    """Those that are at work on its rows."""

    def record(self) -> dict[str, Any]:
        """For scripts."""
        return {**asdict(self), "counts": self.counts}

    @property
    def counts(self) -> dict[RowState, int]:
        """Rows by state, in the order of a job's life, without the empty ones."""
        counted = Counter(row.state for row in self.rows)
        return {state: counted[state] for state in STATES if counted[state]}

    @property
    def ended(self) -> bool:
        """No row has anything left to do."""
        return all(row.state in ENDED for row in self.rows)

    @property
    def succeeded(self) -> bool:
        """Every row has its video."""
        return all(row.state == "done" for row in self.rows)

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1: rows at work count by their frames."""
        return sum(map(share_done, self.rows)) / len(self.rows) if self.rows else 1.0

    @property
    def minutes(self) -> float | None:
        """Of finished video; None where the length of some of it is not known."""
        done = [row.frames for row in self.rows if row.state == "done"]
        return sum(done) / FPS / 60 if all(done) else None

    @property
    def fps(self) -> float:
        """Frames a second, of all rows at work."""
        return sum(row.fps for row in self.rows if row.state in ACTIVE)

    @property
    def frames_left(self) -> float | None:
        """Frames still to draw, where rows that nobody has begun are as long as the others; None where none is known."""
        totals = [row.total for row in self.rows if row.total]
        if not totals:
            return None
        open_rows = [row for row in self.rows if row.state not in ENDED]
        unknown = sum(not row.total for row in open_rows)
        known = sum(row.total - row.frames for row in open_rows if row.total)
        return known + unknown * sum(totals) / len(totals)


def share_done(row: RowStatus) -> float:
    """How much of a row is done, 0 to 1."""
    if row.state in ENDED:
        return 1.0
    return row.frames / row.total if row.total else 0.0


@dataclass(frozen=True)
class BatchCounts:
    """A batch in one line."""

    batch: str
    rows: int
    counts: dict[RowState, int]
    share: float = 1.0
    """How much of it is done, 0 to 1."""
    minutes: float | None = None
    """Of finished video, where that is known."""
    eta_seconds: float | None = None
    """How long it will take, by the pace of the rows at work; None while there is none."""

    @property
    def ended(self) -> bool:
        """No row has anything left to do."""
        return not set(self.counts) - ENDED


def standing_summary(storage: Storage, name: str, listed: Mapping[str, str]) -> Summary | None:
    """The summary of a batch that has ended, unless rows of it were requeued since; `listed`: ETags by key."""
    summary = _summary(storage, name) if keys.summary(name) in listed else None
    stands = summary and summary.requeued in (None, listed.get(keys.requeued(name)))
    return summary if stands else None


def _summary(storage: Storage, batch: str) -> Summary | None:
    body = storage.get(keys.summary(batch))
    with of_this_version(f"the summary of batch {batch}"):
        return Summary.model_validate_json(body) if body else None


def summed(summary: Summary) -> BatchCounts:
    """One that has ended."""
    counts: dict[RowState, int] = {
        "done": summary.succeeded,
        "failed": summary.failed,
        "cancelled": summary.cancelled,
    }
    shown = {state: number for state, number in counts.items() if number}
    return BatchCounts(summary.batch, summary.rows, shown, minutes=summary.output_minutes)


def counted(status: BatchStatus, fps: float | None = None) -> BatchCounts:
    """One that was looked at; `fps`: its pace, where somebody has watched it for longer."""
    pace, left = fps or status.fps, status.frames_left
    eta = left / pace if pace and left is not None and not status.ended else None
    return BatchCounts(status.batch, len(status.rows), status.counts, status.share, status.minutes, eta)


@dataclass(frozen=True)
class _End:
    state: State
    frames: int = 0
    error: str | None = None
    attempts: int = 0


class BatchView:
    """A batch that may be looked at again and again; what has ended is not asked for twice.

    Of more than `MANIFEST_LIMIT` rows, those that neither the ledger nor the listing of outputs knows count as waiting.

    Raises:
        NotFound: there is no such batch.
    """

    def __init__(self, storage: Storage, ledger: Ledger, batch: str, roster: Roster | None = None) -> None:
        self.batch = batch
        self._roster = roster
        self._storage = storage
        self._ledger = ledger
        self._rows = [(row.id, row.job.id) for row in batch_rows(storage, batch)]
        self._ends: dict[str, _End] = {}
        self._next_search = 0.0

    def look(self) -> BatchStatus:
        """Where every row stands now, in the order of the batch."""
        jobs = list(dict.fromkeys(job for _, job in self._rows if job not in self._ends))
        known, live = self._ask_ledger(jobs)
        self._note_ended(known)
        self._search([job for job in jobs if job not in known])
        rows = [self._status(name, job, known.get(job)) for name, job in self._rows]
        return BatchStatus(self.batch, rows, live, self._crew(rows) if live else ())

    def _crew(self, rows: Sequence[RowStatus]) -> tuple[Worker, ...]:
        """Who works on rows that have not ended."""
        jobs = {row.job for row in rows if row.state not in ENDED}
        if self._roster is None:
            return ()
        with suppress(BrokerUnavailable):  # in this moment; the next look says so
            return tuple(each for each in self._roster.workers() if each.job in jobs)
        return ()

    def _ask_ledger(self, jobs: Sequence[str]) -> tuple[dict[str, Progress], bool]:
        """What the ledger knows of them, and whether it answers."""
        known: dict[str, Progress] = {}
        try:
            for start in range(0, len(jobs), LEDGER_CHUNK):
                chunk = jobs[start : start + LEDGER_CHUNK]
                seen = zip(chunk, self._ledger.progress(chunk), strict=True)
                known |= {job: progress for job, progress in seen if progress}
        except BrokerUnavailable:
            return known, False
        return known, True

    def _note_ended(self, known: dict[str, Progress]) -> None:
        ends = {
            job: _End(each.state, each.total, attempts=each.attempts + 1)
            for job, each in known.items()
            if each.state in ENDED
        }
        self._ends |= ends
        # why a job did not succeed stands in its manifest only
        self._read_manifests([job for job, end in ends.items() if end.state != "done"][:MANIFEST_LIMIT])

    def _search(self, jobs: list[str]) -> None:
        """Look in the store for jobs that ended and that the ledger has forgotten, or never knew."""
        if not jobs or time.monotonic() < self._next_search:
            return
        if len(jobs) > MANIFEST_LIMIT:
            self._ends |= dict.fromkeys(self._listed(set(jobs)), _End("done"))
            jobs = [job for job in jobs if job not in self._ends]
        if len(jobs) <= MANIFEST_LIMIT:
            self._read_manifests(jobs)
        self._next_search = time.monotonic() + SEARCH_SECONDS

    def _read_manifests(self, jobs: list[str]) -> None:
        found = zip(jobs, manifests(self._storage, jobs), strict=True)
        self._ends |= {job: _end(manifest) for job, manifest in found if manifest}

    def _listed(self, jobs: set[str]) -> list[str]:
        """Those whose output lies under the batch's name: 1,000 in one round trip."""
        present = {each.key for each in self._storage.list(f"{keys.OUTPUTS}{self.batch}/")}
        return [
            job
            for name, job in self._rows
            if job in jobs and keys.output(self.batch, name, ".json") in present
        ]

    def _status(self, name: str, job: str, progress: Progress | None) -> RowStatus:
        if end := self._ends.get(job):
            return RowStatus(
                name, job, end.state, end.frames, end.frames, error=end.error, attempts=end.attempts
            )
        return row_status(name, job, progress)


def row_status(name: str, job: str, progress: Progress | None) -> RowStatus:
    """Where a row stands that has not ended."""
    if progress is None:
        return RowStatus(name, job, "waiting")
    state = state_of(progress)
    return RowStatus(
        name,
        job,
        state,
        progress.frames,
        progress.total,
        progress.fps,
        progress.eta_seconds,
        error=progress.reason if state == "later" else None,
        attempts=progress.attempts,
        later_seconds=progress.later_seconds if state == "later" else None,
    )


def state_of(progress: Progress) -> RowState:
    """What a person is told of a row that has not ended."""
    if progress.state == "queued":
        return "later" if progress.later_seconds else "queued"
    return "stopping" if progress.cancelling else progress.state


def _end(manifest: Manifest) -> _End:
    frames = manifest.output.frames if manifest.output else 0
    error = manifest.error.code if manifest.error else None
    return _End(STATE_OF[manifest.status], frames, error, manifest.attempt.number)
