"""The feeder: keeps the queue short and full, puts back what got lost, and closes batches whose rows have all ended.

Rows take turns: priorities by their weight, and the batches of one priority one after the other (`producer/turns.py`).
It believes the store. The queue and the ledger may be wiped at any moment: what has no manifest is published again,
and what has one never is. Any number of feeders may run, for everything they do may be done twice.
"""

import json
import logging
import random
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import get_args

from celery import Celery
from pydantic import ValidationError

from contract import keys, traces
from contract.backlog import Backlog, BacklogRecord
from contract.broker import make_app, publish
from contract.cancel import CancelRequest
from contract.errors import (
    BrokerUnavailable,
    DublineError,
    InputNotFound,
    InputRejected,
    NotFound,
    TemporaryFailure,
)
from contract.job import Delivery, Priority, Row
from contract.journal import about
from contract.ledger import STATE_OF, Ledger
from contract.manifest import Manifest
from contract.metrics import FeederMetrics, QueueMetrics
from contract.outputs import publish_output
from contract.scrape import exposed
from contract.settings import Settings
from contract.storage import Storage, StoredObject
from contract.summary import Summary
from contract.waiting import until_it_passes
from contract.workers import Roster
from producer.cancelling import CancelledRow, Canceller
from producer.courier import Courier
from producer.openbatch import OpenBatch
from producer.outbox import Outbox
from producer.sweep import Sweeper, Swept
from producer.turns import Turns

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
SWEEP_SECONDS = 3600.0
"""Between two slices of old files that are swept."""
CANCEL_ROWS = 1000
"""Rows of wholly cancelled batches ended in one step, besides those whose turn it is."""
THREADS = 16


@dataclass
class _Waiting:
    """A row in the window."""

    batch: OpenBatch
    row: Row
    job: str
    later: bool = False
    """It failed, and waits to be tried again."""
    taken: bool = True
    """The batch has handed it out, and waits for it to be counted; False: its turn is still to come."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """A row whose job has ended, says the ledger. Small: a restarted feeder may hold a whole batch of them."""

    batch: OpenBatch
    row: str
    job: str
    webhook_url: str | None


class Feeder:
    """Turns batches into messages, a window at a time; with `only`, one batch and no other."""

    def __init__(
        self, storage: Storage, ledger: Ledger, app: Celery, settings: Settings, only: str | None = None
    ) -> None:
        self._storage = storage
        self._ledger = ledger
        self._app = app
        self._only = only
        self._listed = f"{keys.BATCHES}{only}/" if only else keys.BATCHES
        self._currency = settings.currency
        self._fleet_size = settings.fleet_size
        self._roster = Roster(settings)
        self._backlog = Backlog(settings)
        self._window_size = 0
        self._lost_after_seconds = LOST_AFTER_LEASES * settings.lease_seconds
        self._batches: dict[str, OpenBatch] = {}
        self._submitted: dict[str, datetime] = {}
        """When each open batch was, by the store's clock."""
        self._counted_at: dict[str, str | None] = {}
        """By summary: the version of the note on requeued rows that it was counted at."""
        self._turns = Turns()
        self.aside: dict[str, Exception] = {}
        self._cancelling: list[_Waiting] = []
        self._window: list[_Waiting] = []
        self._ended: deque[_Ended] = deque()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="feeder")
        self._sweeper = Sweeper(storage, timedelta(days=settings.sweep_days)) if settings.sweep_days else None
        self._sweep_at = time.monotonic() + SWEEP_SECONDS * random.random()  # noqa: S311 - feeders take turns
        self._canceller = Canceller(storage, ledger, self._threads)
        self._courier = Courier.of(settings, storage)
        self._outbox = Outbox(storage, self._courier.tell)
        self.metrics = FeederMetrics(
            open_batches=lambda: len(self._batches), taken_rows=lambda: len(self._window) + len(self._ended)
        )

    def run(self, stop: threading.Event) -> None:
        """Step until told to stop, or until the only batch has ended; an outage is said once and waited for.

        Raises:
            ConfigurationError: a credential or a setting is wrong.
        """
        with self._courier.running(drain=self._only is not None):
            self._run(stop)

    def _run(self, stop: threading.Event) -> None:
        waiting = False
        while not stop.is_set():
            try:
                self.step()
                if self._has_nothing_left():
                    break
            except TemporaryFailure as error:
                if not waiting:
                    logger.warning("the feeder waits: %s", error)
                waiting = True
                self.metrics.step_failed(error.code)
            else:
                self.metrics.stepped()
                if waiting:
                    logger.info("the feeder goes on")
                waiting = False
            busy = self._ended and not waiting
            stop.wait(0 if busy else STEP_SECONDS)
        self._threads.shutdown()

    def _has_nothing_left(self) -> bool:
        """Whether its only batch has ended, is gone, or cannot be fed."""
        only = self._only
        if only is None or only in self._batches:
            return False
        closed = self._storage.stat(keys.summary(only)) is not None
        return only in self.aside or closed or self._storage.stat(keys.rows(only)) is None

    def step(self) -> None:
        """Look at everything once.

        Raises:
            TemporaryFailure: Redis or the store is away; the next step takes up where this one stopped.
        """
        self._ledger.ping()
        self._look_for_batches()
        self._offer(list(self._window))
        self._fit_window()
        self._fill_window()
        self._end_cancelled()
        self._settle_ended()
        self._close_batches()
        self._tell_backlog()
        self._sweep()

    def _fit_window(self) -> None:
        """Two jobs for each worker that is expected, or is there, if those are more: a fleet may grow beyond its setting."""
        workers = max(self._fleet_size, len(self._roster.workers()))
        self._window_size = 2 * workers + WINDOW_MARGIN

    def _tell_backlog(self) -> None:
        """What is still to be done, for a fleet; a feeder of one batch alone does not know it."""
        if self._only is not None:
            return
        fed = [each for name, each in self._batches.items() if name not in self.aside]
        settling = Counter(each.batch.name for each in self._ended)
        rows = sum(max(each.left - settling[each.name], 0) for each in fed)
        oldest = min((self._submitted[each.name] for each in fed), default=None)
        self._backlog.tell(BacklogRecord(batches=len(fed), rows=rows, oldest=oldest))

    def _sweep(self) -> None:
        """Once an hour, some of what nobody needs any more; beside the feeding, which does not wait for it."""
        if self._sweeper and time.monotonic() > self._sweep_at:
            self._sweep_at = time.monotonic() + SWEEP_SECONDS
            self._threads.submit(_sweep_some, self._sweeper)

    def _look_for_batches(self) -> None:
        """Open those with rows and without a summary; forget those that others closed or deleted."""
        listed = {each.key: each for each in self._storage.list(self._listed)}
        names = {key.removeprefix(keys.BATCHES).partition("/")[0] for key in listed}
        unended = {
            name: listed[keys.rows(name)].bytes
            for name in names
            if keys.rows(name) in listed and name not in self.aside and not self._is_closed(name, listed)
        }
        for name, batch in list(self._batches.items()):
            if name not in unended or batch.requeued != _etag(listed.get(keys.requeued(name))):
                self._forget(name)
        for name in sorted(unended.keys() - self._batches.keys()):
            requeued = _etag(listed.get(keys.requeued(name)))
            self._batches[name] = OpenBatch(self._storage, name, unended[name], requeued)
            self._submitted[name] = listed[keys.rows(name)].modified
            self._turns.join(self._batches[name])
            logger.info("batch %s is open", name, extra={"batch": name})
        for batch in self._batches.values():
            with self._setting_aside(batch):
                self._heed(batch, listed.get(keys.cancelled(batch.name)))

    def _is_closed(self, name: str, listed: dict[str, StoredObject]) -> bool:
        """Whether its summary stands; one that was counted before rows were requeued is removed, whoever left it."""
        summary, requeued = listed.get(keys.summary(name)), _etag(listed.get(keys.requeued(name)))
        if summary is None or requeued is None or self._counted_at.get(summary.etag) == requeued:
            return summary is not None
        body = self._storage.get(summary.key)
        self._counted_at[summary.etag] = json.loads(body).get("requeued") if body else None
        if self._counted_at[summary.etag] == requeued:
            return True
        self._storage.delete_if_same(summary.key, summary.etag)
        return False

    def _heed(self, batch: OpenBatch, wish: StoredObject | None) -> None:
        """Learn what a person wants cancelled, and take it out of the window."""
        if _etag(wish) == batch.cancel_etag:
            return
        body = self._storage.get(wish.key) if wish else None
        batch.cancel = CancelRequest.model_validate_json(body) if body else None
        wanted = set((batch.cancel.rows if batch.cancel else None) or ())
        ahead = [_Waiting(batch, row, row.job.id, taken=False) for row in batch.named(wanted)]
        here = {id(each) for each in self._window if each.batch is batch and batch.is_cancelled(each.row.id)}
        self._cancelling += [each for each in self._window if id(each) in here] + ahead
        self._window = [each for each in self._window if id(each) not in here]
        batch.cancel_etag = _etag(wish)

    def _fill_window(self) -> None:
        """Take rows until enough of them are on their way; those that have ended leave their place at once."""
        seen = 0
        while seen < SCAN_ROWS and (taken := self._take(self._free_places())):
            self._offer([each for each in taken if not each.batch.is_cancelled(each.row.id)])
            seen += len(taken)

    def _free_places(self) -> int:
        later = sum(each.later for each in self._window)
        free = self._window_size - (len(self._window) - later)
        return min(free, self._window_size + LATER_ROWS - len(self._window))

    def _take(self, count: int) -> list[_Waiting]:
        """Take up to `count` rows, each batch and priority in its turn; the next call goes on from there."""
        taken: list[_Waiting] = []
        while len(taken) < count and (found := self._turns.next(self._next_row)):
            taken.append(self._place(*found))
        return taken

    def _place(self, batch: OpenBatch, row: Row) -> _Waiting:
        """Keep a row that was just taken, at once: it is not handed out again."""
        waiting = _Waiting(batch, row, row.job.id)
        (self._cancelling if batch.is_cancelled(row.id) else self._window).append(waiting)
        return waiting

    def _next_row(self, batch: OpenBatch, priority: Priority) -> Row | None:
        with self._setting_aside(batch):
            return batch.take(priority)
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
        urgent = self._ledger.urgent([each.job for each in due])
        due.sort(key=lambda each: each.job not in urgent)
        unsent = deque(due)
        try:
            for each, manifest in zip(due, self._threads.map(self._result_of, due), strict=True):
                if manifest:
                    self._ledger.finish(each.job, STATE_OF[manifest.status])
                    self._leave_window([each])
                elif each.batch.name not in self.aside:
                    row = each.row.model_copy(update={"webhook_url": None})  # no worker's business
                    delivery = Delivery(batch=each.batch.name, row=row)
                    with traces.span("publish", each.batch.name, row.id):
                        publish(self._app, delivery, urgent=each.job in urgent)
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

    def _end_cancelled(self) -> None:
        """End what a person cancelled; what a worker holds is ended by it, and looked at again in the next step."""
        for batch in self._batches.values():
            if batch.cancel and batch.cancel.rows is None:
                self._drain(batch)
        if not self._cancelling:
            return
        ended = self._canceller.end([CancelledRow(each.batch.name, each.row) for each in self._cancelling])
        self._ended += (
            _Ended(each.batch, each.row.id, each.job, each.row.webhook_url)
            for each in self._cancelling
            if each.taken and each.job in ended
        )
        self._cancelling = [each for each in self._cancelling if each.job not in ended]

    def _drain(self, batch: OpenBatch) -> None:
        """Take rows of a batch that is cancelled as a whole, also while no place is free in the window."""
        for priority in get_args(Priority):
            while len(self._cancelling) < CANCEL_ROWS and (row := self._next_row(batch, priority)):
                self._place(batch, row)

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
            logger.warning(
                "batch %s: %d jobs that the ledger calls ended have no manifest",
                name,
                count,
                extra={"batch": name},
            )
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
                lost, names = "row %s of batch %s has lost its video: %s", (ended.row, ended.batch.name)
                with about(batch=ended.batch.name, row=ended.row, job=ended.job):
                    logger.error(lost, *names, error)  # noqa: TRY400
            if ended.webhook_url:
                self._outbox.row_ended(ended.batch.name, ended.row, manifest, ended.webhook_url)
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
            if batch.name not in self.aside:
                with about(batch=batch.name):
                    logger.error("batch %s is set aside until the feeder starts anew: %s", batch.name, error)  # noqa: TRY400
            self.aside[batch.name] = error

    def _leave_window(self, ended: Iterable[_Waiting]) -> None:
        left = {id(each): each for each in ended}
        self._window = [each for each in self._window if id(each) not in left]
        self._ended += (
            _Ended(each.batch, each.row.id, each.job, each.row.webhook_url) for each in left.values()
        )

    def _forget(self, name: str) -> None:
        batch = self._batches.pop(name)
        self._submitted.pop(name, None)
        self._turns.leave(batch)
        self._window = [each for each in self._window if each.batch is not batch]
        self._cancelling = [each for each in self._cancelling if each.batch is not batch]
        self._ended = deque(each for each in self._ended if each.batch is not batch)

    def _close_batches(self) -> None:
        for batch in [each for each in self._batches.values() if each.ended]:
            summary = batch.summary(self._currency)
            with self._setting_aside(batch):
                self._outbox.batch_ended(summary)  # first: with a summary nobody looks at the batch again
            self._storage.put_if_absent(keys.summary(batch.name), summary.model_dump_json(indent=1).encode())
            self._forget(batch.name)
            if batch.requeued != _etag(self._storage.stat(keys.requeued(batch.name))):
                self._storage.delete(
                    keys.summary(batch.name)
                )  # rows that were counted have no result any more
                continue
            logger.info(
                "batch %s has ended: %d succeeded, %d failed, %d cancelled",
                batch.name,
                summary.succeeded,
                summary.failed,
                summary.cancelled,
                extra={"batch": batch.name},
            )


def _etag(found: StoredObject | None) -> str | None:
    return found.etag if found else None


def _sweep_some(sweeper: Sweeper) -> None:
    try:
        swept = sweeper.sweep_some()
    except DublineError as error:
        logger.warning("the sweep is put off: %s", error)
    else:
        if swept != Swept():
            logger.info("swept %d files of %d bytes, %d uploads", swept.objects, swept.bytes, swept.uploads)


def serve(settings: Settings) -> None:
    """Feed until SIGTERM or Ctrl-C.

    Raises:
        ConfigurationError: a credential or a setting is wrong.
        StoreRefused: the store is not one that a cancelled job's end can rest on.
    """
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    storage = Storage(settings)
    feeder = Feeder(storage, Ledger(settings), make_app(settings), settings)
    with (
        traces.traced(settings, "feeder"),
        exposed(settings, feeder.metrics.registry, QueueMetrics.of(settings)),
    ):
        until_it_passes(storage.check, stop)
        feeder.run(stop)


def resume(settings: Settings, batch: str, stop: threading.Event | None = None) -> Summary | None:
    """Feed one batch until it has ended, beside any feeders; what became of it, or None when told to stop before.

    Raises:
        NotFound: there is no such batch.
        InputRejected: it cannot be fed: another version of Dubline wrote it, say.
        ConfigurationError: a credential or a setting is wrong.
        StoreRefused: the store is not one that a cancelled job's end can rest on.
    """
    storage = Storage(settings)
    if storage.stat(keys.rows(batch)) is None:
        raise NotFound(f"there is no batch {batch}; `dubline status` lists them")
    if storage.stat(keys.summary(batch)) is None:
        storage.check()
    with make_app(settings) as app:
        feeder = Feeder(storage, Ledger(settings), app, settings, only=batch)
        feeder.run(stop or threading.Event())
    if error := feeder.aside.get(batch):
        raise InputRejected(f"batch {batch} cannot be fed: {error}") from error
    summary = storage.get(keys.summary(batch))
    return Summary.model_validate_json(summary) if summary else None
