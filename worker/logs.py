"""A worker's log: one line an event, and in each the job at hand."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

from contract.job import Delivery

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
    line = "%(asctime)s %(levelname)s %(job)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.INFO, format=line, handlers=[handler])


def _name_job(record: logging.LogRecord) -> bool:
    record.job = _at_hand.get()
    return True
