"""A worker's log: one line an event, and in each the job at hand; and what is kept of it for each attempt."""

import json
import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from contract import journal
from contract.job import Delivery
from contract.settings import LogFormat

LOG_LINES = 2000
LOG_BYTES = 256 * 1024
"""So much of an attempt's log is kept: its end."""

_AWAY = ("consumer: Connection to broker lost", "consumer: Cannot connect")
_THERE = "Connected to"
_ADVICE = "worker_cancel_long_running_tasks_on_connection_loss"
"""Celery's words for Redis being away, for its being there again, and its advice, at every loss, on what is decided here."""


@contextmanager
def about(delivery: Delivery) -> Iterator[None]:
    """Name the delivery's batch, row and job in every line that is logged meanwhile in this context."""
    row = delivery.row
    with journal.about(batch=delivery.batch, row=row.id, job=row.job.id):
        yield


def begin(log_format: LogFormat, stream: TextIO | None = None) -> None:
    """Log from here on to the stream, standard error where there is none given."""
    journal.log_as(log_format, OutageFilter(), text=journal.TEXT_ABOUT, stream=stream)


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
    return json.dumps(journal.fields(record), ensure_ascii=False).encode(errors="replace")
