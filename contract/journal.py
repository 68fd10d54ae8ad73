"""How every process logs: one line an event, for people as text or for machines as JSON, with the names of what it is about.

A name comes from the block that a line is logged in (`about`), or from the line itself: `extra={"batch": name}`.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from contract.settings import LogFormat

NAMES = ("batch", "row", "job", "attempt")
LINE_BYTES = 16 * 1024
"""Longer messages are cut."""
TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
TEXT_ABOUT = "%(asctime)s %(levelname)s %(about)s %(name)s: %(message)s"
_DIGITS = 12
"""Of a job's id, in text."""

_at_hand: ContextVar[Mapping[str, str]] = ContextVar("_at_hand", default={})  # noqa: B039 - nobody changes it


@contextmanager
def about(**names: str) -> Iterator[None]:
    """Have every line that is logged meanwhile in this context say what it is about, by `NAMES`."""
    token = _at_hand.set({**_at_hand.get(), **names})
    try:
        yield
    finally:
        _at_hand.reset(token)


def log_as(
    log_format: LogFormat, *filters: logging.Filter, text: str = TEXT, stream: TextIO | None = None
) -> None:
    """Log from here on to the stream, standard error where there is none given; `text` is the line for people.

    What libraries log comes out the same way, and so do warnings where machines read.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if log_format == "json" else logging.Formatter(text))
    handler.addFilter(_name)
    for each in filters:
        handler.addFilter(each)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    if log_format == "json":
        logging.captureWarnings(True)


def _name(record: logging.LogRecord) -> bool:
    """Note what the line is about: what it says itself comes first."""
    here = _at_hand.get()
    for name in NAMES:
        if name in here and not hasattr(record, name):
            setattr(record, name, here[name])
    shown = [f"{name}={getattr(record, name)}" for name in ("batch", "row") if hasattr(record, name)]
    if hasattr(record, "job"):
        shown.append(f"job={record.job[:_DIGITS]}")
    record.about = " ".join(shown) or "-"
    return True


class JsonFormatter(logging.Formatter):
    """A line as one JSON object: time, level, logger, message, the names of what it is about, and a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The object; it has no line breaks."""
        told = fields(record)
        names = {name: getattr(record, name) for name in NAMES if hasattr(record, name)}
        traceback = {"traceback": told.pop("traceback")} if "traceback" in told else {}
        return json.dumps(told | names | traceback, ensure_ascii=False, default=str)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """What every line says: time, level, logger, message, and its traceback where it has one."""
    told: dict[str, Any] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname,
        "logger": record.name,
        "message": record.getMessage()[:LINE_BYTES],
    }
    if record.exc_info:
        told["traceback"] = logging.Formatter().formatException(record.exc_info)[-LINE_BYTES:]
    return told
