"""Whose job that is, and where it stands: one question to the ledger, and to the store only what nobody remembers."""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from contract.errors import BrokerUnavailable, DublineError, NotFound
from contract.job import Job, Priority, Row
from contract.ledger import ENDED, STATE_OF, Ledger, Progress
from contract.manifest import Manifest
from producer.api.services import Services
from producer.api.submitting import single_name
from producer.batches import batch_rows, manifests
from producer.status import RowStatus, row_status

K = TypeVar("K")
V = TypeVar("V")

REMEMBERED = 5000
"""Jobs of which a process remembers what was asked for; a row never changes."""
SCANNED = 500
"""Rows of a batch that are remembered together, when one of them is looked for."""
FRESH_SECONDS = 2.0
"""For so long a result counts that somebody may yet requeue, and the lack of one."""

_JOB = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Found:
    """A job that the caller may see, in the batch where it was looked for."""

    id: str
    batch: str
    row: str
    job: Job
    """Of a job that was found by its result alone, as the manifest shows it."""
    priority: Priority | None = None
    time_limit_seconds: float | None = None


@dataclass(frozen=True)
class Standing:
    """Where a job stands."""

    row: RowStatus
    live: bool
    manifest: Manifest | None


class Recent(Generic[K, V]):
    """What was learned last, for a while; `forever` tells of which it stays true."""

    def __init__(self, size: int, seconds: float, forever: Callable[[V], bool] = lambda _: False) -> None:
        self._size = size
        self._seconds = seconds
        self._forever = forever
        self._known: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def get(self, key: K) -> tuple[V] | None:
        """What is known of it, in a tuple of its own, for None may be known too."""
        found = self._known.get(key)
        if found is None:
            return None
        if not self._forever(found[1]) and time.monotonic() - found[0] > self._seconds:
            del self._known[key]
            return None
        self._known.move_to_end(key)
        return (found[1],)

    def put(self, key: K, value: V) -> V:
        """Remember it; what was asked for longest ago is forgotten."""
        self._known[key] = time.monotonic(), value
        self._known.move_to_end(key)
        if len(self._known) > self._size:
            self._known.popitem(last=False)
        return value

    def forget(self, key: K) -> None:
        """Know nothing of it."""
        self._known.pop(key, None)


class Glances:
    """Progress of jobs. Whoever asks while an answer is on its way shares the next question with all others."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._ledger: Ledger = services.ledger
        self._waiting: dict[str, asyncio.Future[Progress | DublineError | None]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def at(self, job: str) -> Progress | None:
        """What the ledger knows of a job.

        Raises:
            BrokerUnavailable: Redis is away.
        """
        answer = self._waiting.get(job)
        if answer is None:
            answer = self._waiting[job] = asyncio.get_running_loop().create_future()
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        told = await asyncio.shield(answer)
        if isinstance(told, DublineError):
            raise told
        return told

    async def _ask(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, {}
                for answer, told in zip(asked.values(), await self._progress(list(asked)), strict=True):
                    answer.set_result(told)
        finally:
            self._asking = None

    async def _progress(self, jobs: list[str]) -> list[Progress | None] | list[DublineError]:
        try:
            return await self._services.redis(self._ledger.progress, jobs)
        except DublineError as error:
            return [error] * len(jobs)


class Lookup:
    """Finds jobs for their owners, and tells where they stand."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._storage = services.storage
        self._glances = Glances(services)
        self._found: Recent[tuple[str | None, str | None, str], Found] = Recent(REMEMBERED, 0, lambda _: True)
        self._manifests: Recent[str, Manifest | None] = Recent(REMEMBERED, FRESH_SECONDS, _is_final)

    async def job(self, owner: str | None, job: str, batch: str | None) -> Found:
        """The job of that id, in that batch, or alone, or wherever its result was made.

        Raises:
            NotFound: there is none, or it is another's.
        """
        where = (owner, batch, job)
        if known := self._found.get(where):
            return known[0]
        if not _JOB.fullmatch(job):
            raise NotFound("the id of a job has 64 hexadecimal digits; links in answers carry it")
        found, others = await self._services.store(self._look, owner, job, batch)
        for each in others:
            self._found.put((owner, each.batch, each.id), each)
        return self._found.put(where, found)

    def remember(self, owner: str | None, batch: str, row: Row) -> Found:
        """A job that was submitted this moment."""
        found = _found(batch, row)
        return self._found.put((owner, batch, found.id), found)

    def _look(self, owner: str | None, job: str, batch: str | None) -> tuple[Found, list[Found]]:
        """The job, and others of its batch that somebody may ask for next."""
        others: list[Found] = []
        for found in self._rows(owner, single_name(owner, job) if batch is None else batch):
            if found.id == job:
                return found, others
            others += [found] if len(others) < SCANNED else []
        if batch is None and (made := self._by_result(owner, job)):
            return made, []
        hint = (
            ""
            if batch is not None
            else "; a job that has not ended is found with ?batch=, as its links have it"
        )
        raise NotFound(f"there is no job {job}{' in that batch' if batch is not None else ''}{hint}")

    def _rows(self, owner: str | None, batch: str) -> Iterator[Found]:
        """The rows of a batch, none where it is another's or there is none."""
        try:
            for row in batch_rows(self._storage, batch):
                if row.job.owner != owner:
                    return
                yield _found(batch, row)
        except NotFound:
            return

    def _by_result(self, owner: str | None, job: str) -> Found | None:
        (manifest,) = manifests(self._storage, [job])
        if manifest is None or manifest.job.owner != owner:
            return None
        return Found(job, manifest.batch, manifest.row, manifest.job)

    async def standing(self, found: Found) -> Standing:
        """Where a job stands now."""
        try:
            progress, live = await self._glances.at(found.id), True
        except BrokerUnavailable:
            progress, live = None, False
        if progress and progress.state not in ENDED:
            return Standing(row_status(found.row, found.id, progress), live, None)
        manifest = await self.manifest(found)
        if progress and (manifest is None or STATE_OF[manifest.status] != progress.state):
            self.forget(found)  # it ended this moment: what was remembered is of before
            manifest = await self.manifest(found)
        if manifest:
            return Standing(_ended(found, manifest), live, manifest)
        return Standing(row_status(found.row, found.id, None), live, None)

    async def manifest(self, found: Found) -> Manifest | None:
        """The result of a job, or None: it has not ended."""
        if known := self._manifests.get(found.id):
            return known[0]
        (manifest,) = await self._services.store(lambda: list(manifests(self._storage, [found.id])))
        return self._manifests.put(found.id, manifest)

    def forget(self, found: Found) -> None:
        """Its result is looked for anew."""
        self._manifests.forget(found.id)


def _is_final(manifest: Manifest | None) -> bool:
    """A video stands for ever; a failure may be requeued."""
    return manifest is not None and manifest.status == "succeeded"


def _found(batch: str, row: Row) -> Found:
    return Found(row.job.id, batch, row.id, row.job, row.priority, row.time_limit_seconds)


def _ended(found: Found, manifest: Manifest) -> RowStatus:
    frames = manifest.output.frames if manifest.output else 0
    return RowStatus(
        found.row,
        found.id,
        STATE_OF[manifest.status],
        frames,
        frames,
        error=manifest.error.code if manifest.error else None,
        attempts=manifest.attempt.number,
    )
