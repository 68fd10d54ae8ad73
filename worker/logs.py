"""A worker's log: one line an event, and in each the job at hand; and what is kept of it for each attempt."""

import json
import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

from contract.job import Delivery

LOG_LINES = 2000
LOG_BYTES = 256 * 1024
"""So much of an attempt's log is kept: its end."""
LINE_BYTES = 16 * 1024
"""Longer messages are cut."""

_AWAY = ("consumer: Connection to broker lost", "consumer: Cannot connect")
_THERE = "Connected to"
_ADVICE = "worker_cancel_long_running_tasks_on_connection_loss"
"""Celery's words for Redis being away, for its being there again, and its advice, at every loss, on what is decided here."""

_at_hand: ContextVar[str] = ContextVar("_at_hand", default="-")


@contextmanager
def about(delivery: Delivery) -> Iterator[None]:
    """Name the delivery's batch, row and job in every line that is logged meanwhile in this context."""
    row = delivery.row
    token = _at_hand.set(f"batch={delivery.batch} row={row.id} job={row.job.id[:12]}")
    try:
        yield
    finally:
        _at_hand.reset(token)


def log_plainly(stream: TextIO | None = None) -> None:
    """Log from here on to the stream, standard error where there is none given."""
    handler = logging.StreamHandler(stream)
    handler.addFilter(_name_job)
    handler.addFilter(OutageFilter())
    line = "%(asctime)s %(levelname)s %(job)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.INFO, format=line, handlers=[handler])


def _name_job(record: logging.LogRecord) -> bool:
    record.job = _at_hand.get()
    return True


class OutageFilter(logging.Filter):
    """Of what Celery says while Redis is away lets the first line pass, and the one that says it is there again."""

    def __init__(self) -> None:
        super().__init__()
        self._is_away = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is worth reading."""
        if record.name == "py.warnings":
            return _ADVICE not in record.getMessage()
        return not record.name.startswith("celery.worker.consumer") or self._is_news(record.getMessage())

    def _is_news(self, line: str) -> bool:
        was_away = self._is_away
        self._is_away = line.startswith(_AWAY) or (was_away and not line.startswith(_THERE))
        return not (was_away and line.startswith(_AWAY))


class AttemptLog(logging.Handler):
    """The last lines that this process logged, as JSON objects: time, level, logger, message, traceback."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line, and drop the oldest ones that are too many."""
        try:
            self._lines.append(_json_line(record))
        except Exception:  # noqa: BLE001 - a record that cannot be formatted must not end what logs it
            self.handleError(record)
            return
        self._bytes += len(self._lines[-1])
        while len(self._lines) > LOG_LINES or self._bytes > LOG_BYTES:
            self._bytes -= len(self._lines.popleft())
            self._dropped += 1

    def after(self, count: int) -> tuple[list[bytes], int]:
        """Those lines that came after the first `count`, as far as they are kept; and how many there have been."""
        self.acquire()
        try:
            lines, total = list(self._lines), self._dropped + len(self._lines)
        finally:
            self.release()
        new = total - count
        return (lines[-new:] if new else []), total

    def jsonl(self) -> bytes:
        """The lines, oldest first; the first one says how many were dropped before it."""
        self.acquire()
        try:
            lines = list(self._lines)
        finally:
            self.release()
        if self._dropped:
            lines.insert(0, json.dumps({"message": f"{self._dropped} earlier lines are not kept"}).encode())
        return b"\n".join(lines) + b"\n" if lines else b""


@contextmanager
def recorded() -> Iterator[AttemptLog]:
    """Keep what this process logs meanwhile: it runs one attempt at a time."""
    log = AttemptLog()
    logging.getLogger().addHandler(log)
    try:
        yield log
    finally:
        logging.getLogger().removeHandler(log)


def _json_line(record: logging.LogRecord) -> bytes:
    fields = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname,
        "logger": record.name,
        "message": record.getMessage()[:LINE_BYTES],
    }
    if record.exc_info:
        fields["traceback"] = logging.Formatter().formatException(record.exc_info)[-LINE_BYTES:]
    return json.dumps(fields, ensure_ascii=False).encode(errors="replace")
