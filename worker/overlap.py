"""Stages side by side: a thread that reads ahead and a thread that writes behind, with bounded queues between."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")

POLL_SECONDS = 0.2
"""How often a blocked stage looks whether the other side is gone."""


@dataclass(frozen=True)
class _Failed:
    error: BaseException


class _End:
    """The stream is over."""


@contextmanager
def read_ahead(items: Iterable[Item], depth: int) -> Iterator[Iterator[Item]]:
    """The same items, produced by a thread that stays at most `depth` of them ahead.

    An exception of the producer is raised where its item would have come. Leaving the block ends the thread,
    which closes the producer.
    """
    ready: queue.Queue[Item | _Failed | type[_End]] = queue.Queue(depth)
    left = threading.Event()
    run_here = copy_context().run  # so that the thread's log lines name the job, too
    produce = (_produce, items, ready, left)
    thread = threading.Thread(target=run_here, args=produce, name="read-ahead", daemon=True)
    thread.start()
    try:
        yield _consume(ready)
    finally:
        left.set()
        thread.join()


def _produce(
    items: Iterable[Item], ready: "queue.Queue[Item | _Failed | type[_End]]", left: threading.Event
) -> None:
    try:
        for item in items:
            if not _offer(ready, item, left):
                return
        _offer(ready, _End, left)
    except BaseException as error:  # noqa: BLE001 - carried to the consumer and raised there
        _offer(ready, _Failed(error), left)
    finally:
        close = getattr(items, "close", None)
        if close:
            close()


def _offer(ready: "queue.Queue[Item]", item: Item, left: threading.Event) -> bool:
    while not left.is_set():
        try:
            ready.put(item, timeout=POLL_SECONDS)
        except queue.Full:
            continue
        return True
    return False


def _consume(ready: "queue.Queue[Item | _Failed | type[_End]]") -> Iterator[Item]:
    while True:
        item = ready.get()
        if isinstance(item, _Failed):
            raise item.error
        if item is _End:
            return
        yield item  # type: ignore[misc]  # neither _Failed nor _End


def gathered(
    items: Iterable[Item],
    counts: Callable[[Item], bool],
    size: int,
    most: int,
    ends: Callable[[Item], bool] = lambda _: False,
) -> Iterator[list[Item]]:
    """The items in order, in lists with `size` of those that count.

    A list has fewer of them at the end, where it would grow longer than `most` items, and with an item that `ends`
    it. It never waits without one: what comes before the first that counts goes on at once.
    """
    waiting: list[Item] = []
    counted = 0
    for item in items:
        waiting.append(item)
        counted += counts(item)
        if counted in (0, size) or len(waiting) == most or ends(item):
            yield waiting
            waiting, counted = [], 0
    if waiting:
        yield waiting


class WriteBehind(Generic[Item]):
    """Calls `write` for each item on a thread of its own, at most `depth` items behind (0: any number). A context manager.

    An exception of `write` is raised by the next `put`, by `finish` or at the block's end; after it nothing more is
    written.
    """

    def __init__(self, write: Callable[[Item], None], depth: int) -> None:
        self._write = write
        self._waiting: queue.Queue[Item | type[_End]] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._abandoned = False
        run_here = copy_context().run
        self._thread = threading.Thread(target=run_here, args=(self._run,), name="write-behind", daemon=True)

    def put(self, item: Item) -> None:
        """Hand an item over; blocks while the queue is full."""
        self._raise()
        self._waiting.put(item)

    def finish(self) -> None:
        """Return when everything is written; nothing may be put afterwards."""
        self._waiting.put(_End)
        self._thread.join()
        self._raise()

    def __enter__(self) -> "WriteBehind[Item]":
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._abandoned = error is not None
        self._waiting.put(_End)
        self._thread.join()
        if error is None:
            self._raise()

    def _run(self) -> None:
        # Goes on taking items after a failure, so that `put` never blocks for ever.
        while (item := self._waiting.get()) is not _End:
            if self._error is None and not self._abandoned:
                try:
                    self._write(item)  # type: ignore[arg-type]  # not _End
                except BaseException as error:  # noqa: BLE001 - carried to the caller and raised there
                    self._error = error

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
