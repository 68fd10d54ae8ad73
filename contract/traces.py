"""One trace for each row, from its submission to its manifest, where the settings name a collector. Else nothing is done or imported.

No context travels with a row, for a row is what it asks for and nothing more: the trace, and the span of the submission that
all others hang below, have ids that every process computes from the names of batch and row. Nobody waits for the collector.
This is the only file that knows OpenTelemetry; the extra `otel` brings it.
"""

import hashlib
import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from itertools import islice
from typing import TYPE_CHECKING

from contract.errors import ConfigurationError
from contract.settings import PREFIX, Settings

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

logger = logging.getLogger(__name__)

Fact = str | int | float
EXPORT_SECONDS = 5.0
"""Most that one request to the collector takes, repetitions included."""
FLUSH_SECONDS = 3.0
"""Most that a process waits at its end for spans to be taken."""
DELAY_SECONDS = 1.0
"""Spans are sent together, so often."""
QUEUE_SPANS = 16_384
"""Most that wait to be sent; what is more is dropped."""
SUBMITTED_ROWS = 10_000
"""Of one submission so many rows get the span of it; the traces of the others begin with what the feeder does."""
_NANOSECONDS = 10**9


@dataclass(frozen=True)
class _Sink:
    """Where spans of this process go."""

    provider: "TracerProvider"
    tracer: "Tracer"


_sink: _Sink | None = None
_planned: ContextVar[tuple[int, int] | None] = ContextVar("_planned", default=None)
"""The ids of a trace and of its first span, while that is made."""


def begin(settings: Settings, service: str) -> None:
    """Have this process send its spans, as that service of Dubline, to the settings' collector, if they name one.

    Raises:
        ConfigurationError: they do, and the extra is not installed.
    """
    global _sink
    require(settings)
    if settings.otlp_endpoint and _sink is None:
        _sink = _make(settings.otlp_endpoint, settings.trace_ratio, service)


def require(settings: Settings) -> None:
    """Return where traces are off, or what they need is installed.

    Raises:
        ConfigurationError: it is not.
    """
    if settings.otlp_endpoint:
        try:
            import opentelemetry.exporter.otlp.proto.http.trace_exporter
            import opentelemetry.sdk.trace  # noqa: F401 - whether they can be imported
        except ImportError as error:
            raise ConfigurationError(
                f"traces need {error.name}: pip install 'dubline[otel]', or leave {PREFIX}OTLP_ENDPOINT out"
            ) from error


def end() -> None:
    """Send what is left, for a few seconds at most, and no more from then on."""
    global _sink
    if _sink is not None:
        last = threading.Thread(target=_sink.provider.shutdown, name="traces-end", daemon=True)
        _sink = None
        last.start()
        last.join(FLUSH_SECONDS)


@contextmanager
def traced(settings: Settings, service: str) -> Iterator[None]:
    """`begin`, and `end` after the block."""
    begin(settings, service)
    try:
        yield
    finally:
        end()


def submitted(batch: str, rows: Iterable[str], began: float) -> None:
    """Note that these rows were submitted together just now; `began`: when that was begun, in seconds since 1970."""
    if _sink is None:
        return
    for row in islice(rows, SUBMITTED_ROWS):
        token = _planned.set(_ids(batch, row))
        try:
            span = _sink.tracer.start_span(
                "submit", _nowhere(), attributes=_told({"batch": batch, "row": row}), start_time=_at(began)
            )
        finally:
            _planned.reset(token)
        span.end()


@contextmanager
def span(name: str, batch: str | None = None, row: str | None = None, **facts: Fact) -> Iterator[None]:
    """Measure the block: of that row's trace, where one is named, else as a part of the span around it."""
    if _sink is None:
        yield
        return
    below = _below(batch, row) if batch and row else None
    named = {"batch": batch, "row": row} if batch and row else {}
    with _sink.tracer.start_as_current_span(
        name, below, attributes=_told({**named, **facts}), record_exception=False
    ):
        yield


def passed(name: str, began_ns: int, ended_ns: int, **facts: Fact) -> None:
    """Note a part of the span around this that is over; both times in nanoseconds since 1970."""
    if _sink is not None:
        part = _sink.tracer.start_span(name, attributes=_told(facts), start_time=began_ns)
        part.end(ended_ns)


def note(**facts: Fact) -> None:
    """Add to what the span around this says."""
    if _sink is not None:
        from opentelemetry.trace import get_current_span

        get_current_span().set_attributes(_told(facts))


def failed(code: str, message: str) -> None:
    """Say that the span around this ends in that error."""
    if _sink is not None:
        from opentelemetry.trace import Status, StatusCode, get_current_span

        note(code=code)
        get_current_span().set_status(Status(StatusCode.ERROR, message))


def _told(facts: dict[str, Fact]) -> dict[str, Fact]:
    return {f"dubline.{name}": fact for name, fact in facts.items()}


def _at(seconds: float) -> int:
    return int(seconds * _NANOSECONDS)


@lru_cache(maxsize=1024)
def _ids(batch: str, row: str) -> tuple[int, int]:
    """Of a row: its trace, and the span of its submission. No batch has a slash in its name."""
    digest = hashlib.sha256(f"{batch}/{row}".encode()).digest()
    return int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])


def _below(batch: str, row: str) -> "Context":
    """The place of what is done for a row after its submission, by whichever process."""
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    trace, first = _ids(batch, row)
    above = SpanContext(trace, first, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(above), Context())


def _nowhere() -> "Context":
    from opentelemetry.context import Context

    return Context()


def _make(endpoint: str, ratio: float, service: str) -> _Sink:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

    class PlannedIds(RandomIdGenerator):
        """Random ones, but for the first span of a trace."""

        def generate_trace_id(self) -> int:
            planned = _planned.get()
            return planned[0] if planned else super().generate_trace_id()

        def generate_span_id(self) -> int:
            planned = _planned.get()
            return planned[1] if planned else super().generate_span_id()

    provider = TracerProvider(
        resource=Resource.create(
            {"service.name": f"dubline-{service}", "service.version": version("dubline")}
        ),
        sampler=TraceIdRatioBased(ratio),  # by the trace's id, which all processes compute: they agree
        id_generator=PlannedIds(),
        shutdown_on_exit=False,  # it would wait for half a minute
    )
    processor = BatchSpanProcessor(
        _exporter(endpoint), max_queue_size=QUEUE_SPANS, schedule_delay_millis=DELAY_SECONDS * 1000
    )
    provider.add_span_processor(processor)
    return _Sink(provider, provider.get_tracer("dubline"))


def _exporter(endpoint: str) -> "SpanExporter":
    """Sends spans to a collector; that it is away is said once, in one line."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # a line or more for each batch of spans

    class Exporter(SpanExporter):
        def __init__(self) -> None:
            self._sender = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS)
            self._is_away = False

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = self._sender.export(spans)
            was_away, self._is_away = self._is_away, result is not SpanExportResult.SUCCESS
            if self._is_away and not was_away:
                logger.warning("traces are dropped: %s does not take them", endpoint.rpartition("@")[2])
            if was_away and not self._is_away:
                logger.info("traces are taken again")
            return result

        def shutdown(self) -> None:
            self._sender.shutdown()  # type: ignore[no-untyped-call]

    return Exporter()
