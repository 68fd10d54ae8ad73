"""The feeder: keeps the queue short and full, puts back what got lost, and closes batches whose rows have all ended.

It believes the store. The queue and the ledger may be wiped at any moment: what has no manifest is published again,
and what has one never is. Any number of feeders may run, for everything they do may be done twice.
"""

import logging
import signal
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice

from celery import Celery
from pydantic import ValidationError

from contract import keys
from contract.broker import make_app, publish
from contract.errors import BrokerUnavailable, InputNotFound, InputRejected, TemporaryFailure
from contract.job import Delivery, Row
from contract.ledger import STATE_OF, Ledger
from contract.manifest import Manifest
from contract.outputs import publish_output
from contract.settings import Settings
from contract.storage import Storage
from producer.openbatch import OpenBatch

logger = logging.getLogger(__name__)

STEP_SECONDS = 1.0
WINDOW_MARGIN = 4
"""Jobs in the queue beyond two for each worker."""
LOST_AFTER_LEASES = 3
"""A message that nobody claimed for so many leases is published again."""
LATER_ROWS = 1000
"""Rows that may wait after a failure without taking a place in the window."""
SCAN_ROWS = 5000
"""Rows looked at in one step in search of those that have not ended."""
SETTLE_ROWS = 500
"""Ended rows settled in one step."""
THREADS = 16


@dataclass
class _Waiting:
    """A row in the window."""

    batch: OpenBatch
    row: Row
    job: str
    later: bool = False
    """It failed, and waits to be tried again."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """A row whose job has ended, says the ledger. Small: a restarted feeder may hold a whole batch of them."""

    batch: OpenBatch
    row: str
    job: str


class Feeder:
    """Turns batches into messages, a window at a time."""

    def __init__(self, storage: Storage, ledger: Ledger, app: Celery, settings: Settings) -> None:
        self._storage = storage
        self._ledger = ledger
        self._app = app
        self._currency = settings.currency
        self._window_size = 2 * settings.fleet_size + WINDOW_MARGIN
        self._lost_after_seconds = LOST_AFTER_LEASES * settings.lease_seconds
        self._batches: dict[str, OpenBatch] = {}
        self._aside: set[str] = set()
        self._window: list[_Waiting] = []
        self._ended: deque[_Ended] = deque()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="feeder")

    def run(self, stop: threading.Event) -> None:
        """Step until told to stop; an outage of Redis or the store is said once and waited for.

        Raises:
            ConfigurationError: a credential or a setting is wrong.
        """
        waiting = False
        while not stop.is_set():
            try:
                self.step()
            except TemporaryFailure as error:
                if not waiting:
                    logger.warning("the feeder waits: %s", error)
                waiting = True
            else:
                if waiting:
                    logger.info("the feeder goes on")
                waiting = False
            busy = self._ended and not waiting
            stop.wait(0 if busy else STEP_SECONDS)
        self._threads.shutdown()

    def step(self) -> None:
        """Look at everything once.

        Raises:
            TemporaryFailure: Redis or the store is away; the next step takes up where this one stopped.
        """
        self._ledger.ping()
        self._look_for_batches()
        self._offer(list(self._window))
        self._fill_window()
        self._settle_ended()
        self._close_batches()

    def _look_for_batches(self) -> None:
        """Open those with rows and without a summary; forget those that others closed or deleted."""
        listed = {each.key: each.bytes for each in self._storage.list(keys.BATCHES)}
        names = {key.removeprefix(keys.BATCHES).partition("/")[0] for key in listed}
        unended = {
            name: listed[keys.rows(name)]
            for name in names
            if keys.rows(name) in listed and keys.summary(name) not in listed and name not in self._aside
        }
        for name in self._batches.keys() - unended.keys():
            self._forget(name)
        for name in sorted(unended.keys() - self._batches.keys()):
            self._batches[name] = OpenBatch(self._storage, name, unended[name])
            logger.info("batch %s is open", name)

    def _fill_window(self) -> None:
        """Take rows until enough of them are on their way; those that have ended leave their place at once."""
        seen = 0
        while seen < SCAN_ROWS and (taken := self._take(self._free_places())):
            self._offer(taken)
            seen += len(taken)

    def _free_places(self) -> int:
        later = sum(each.later for each in self._window)
        free = self._window_size - (len(self._window) - later)
        return min(free, self._window_size + LATER_ROWS - len(self._window))

    def _take(self, count: int) -> list[_Waiting]:
        """Put up to `count` rows into the window, one of each batch in turn; the next call goes on from there."""
        turns, spent = deque(self._batches.values()), []
        taken: list[_Waiting] = []
        while turns and len(taken) < count:
            batch = turns.popleft()
            if row := self._next_row(batch):
                taken.append(_Waiting(batch, row, row.job.id))
                self._window.append(taken[-1])  # at once: a row that was taken is not handed out again
                turns.append(batch)
            else:
                spent.append(batch)
        self._batches = {each.name: each for each in (*turns, *spent)}
        return taken

    def _next_row(self, batch: OpenBatch) -> Row | None:
        with self._setting_aside(batch):
            return batch.take()
        return None

    def _offer(self, waiting: list[_Waiting]) -> None:
        """Publish, in this order, what the ledger says is to be published and the store has no result of."""
        answers = [
            self._ledger.offer(each.job, lost_after_seconds=self._lost_after_seconds) for each in waiting
        ]
        answered = list(zip(waiting, answers, strict=True))
        for each, answer in answered:
            each.later = answer == "later"
        self._leave_window(each for each, answer in answered if answer == "ended")
        self._publish([each for each, answer in answered if answer == "publish"])

    def _publish(self, due: list[_Waiting]) -> None:
        unsent = deque(due)
        try:
            for each, manifest in zip(due, self._threads.map(self._result_of, due), strict=True):
                if manifest:
                    self._ledger.finish(each.job, STATE_OF[manifest.status])
                    self._leave_window([each])
                elif each.batch.name not in self._aside:
                    publish(self._app, Delivery(batch=each.batch.name, row=each.row))
                unsent.popleft()
        except TemporaryFailure:
            with suppress(BrokerUnavailable):  # then they are offered again when their time is over
                for each in unsent:
                    self._ledger.withdraw(each.job)
            raise

    def _result_of(self, waiting: _Waiting) -> Manifest | None:
        with self._setting_aside(waiting.batch):
            return self._manifest(waiting.job)
        return None

    def _settle_ended(self) -> None:
        """Count ended rows, and publish their outputs where the worker did not."""
        some = list(islice(self._ended, SETTLE_ROWS))
        doubtful: Counter[str] = Counter()
        for each, manifest in zip(some, self._threads.map(self._publish_result, some), strict=True):
            self._ended.popleft()
            if manifest:
                each.batch.count(each.row, manifest)
            else:
                doubtful[each.batch.name] += 1
        for name, count in doubtful.items():
            logger.warning("batch %s: %d jobs that the ledger calls ended have no manifest", name, count)
            self._forget(name)  # the next step opens it again, and reads it from the start

    def _publish_result(self, ended: _Ended) -> Manifest | None:
        with self._setting_aside(ended.batch):
            manifest = self._manifest(ended.job)
            if manifest is None:
                self._ledger.forget(ended.job)
                return None
            try:
                publish_output(self._storage, ended.batch.name, ended.row, manifest)
            except InputNotFound as error:
                logger.error("row %s of batch %s has lost its video: %s", ended.row, ended.batch.name, error)  # noqa: TRY400
            return manifest
        return None

    def _manifest(self, job: str) -> Manifest | None:
        body = self._storage.get(keys.manifest(job))
        return Manifest.model_validate_json(body) if body else None

    @contextmanager
    def _setting_aside(self, batch: OpenBatch) -> Iterator[None]:
        """A batch that cannot be fed does not keep the others from it."""
        try:
            yield
        except (InputRejected, ValidationError) as error:
            if batch.name not in self._aside:
                logger.error("batch %s is set aside until the feeder starts anew: %s", batch.name, error)  # noqa: TRY400
            self._aside.add(batch.name)

    def _leave_window(self, ended: Iterable[_Waiting]) -> None:
        left = {id(each): each for each in ended}
        self._window = [each for each in self._window if id(each) not in left]
        self._ended += (_Ended(each.batch, each.row.id, each.job) for each in left.values())

    def _forget(self, name: str) -> None:
        batch = self._batches.pop(name)
        self._window = [each for each in self._window if each.batch is not batch]
        self._ended = deque(each for each in self._ended if each.batch is not batch)

    def _close_batches(self) -> None:
        for batch in [each for each in self._batches.values() if each.ended]:
            summary = batch.summary(self._currency)
            self._storage.put_if_absent(keys.summary(batch.name), summary.model_dump_json(indent=1).encode())
            self._forget(batch.name)
            logger.info(
                "batch %s has ended: %d succeeded, %d failed, %d cancelled",
                batch.name,
                summary.succeeded,
                summary.failed,
                summary.cancelled,
            )


def serve(settings: Settings) -> None:
    """Feed until SIGTERM or Ctrl-C.

    Raises:
        ConfigurationError: a credential or a setting is wrong.
    """
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    Feeder(Storage(settings), Ledger(settings), make_app(settings), settings).run(stop)
