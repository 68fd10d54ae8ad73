"""What `dubline show` shows to a person: one job, from the request to what each attempt at it left."""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from contract.figures import Figures
from contract.job import Job, JobOptions, Row, Source
from contract.manifest import InputRecord, Manifest
from producer.logs import AttemptLog
from producer.screen import clock, count, delivery_text, state_text, trouble_text
from producer.show import AttemptView, JobView, LogLine, log_line
from producer.status import row_status

LOG_LINES = 8
"""So many of an attempt's last lines are shown; --json has more."""
MESSAGE_CHARACTERS = 600
"""Of a longer message the rest is cut."""

_LEVELS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}
_OUTCOMES = {"succeeded": "green", "failed": "red", "cancelled": "yellow"}

Fact = tuple[str, RenderableType]


def job_picture(view: JobView) -> Group:
    """Everything that is known of one job."""
    parts: list[RenderableType] = [_title(view), _facts(_lines(view))]
    if view.manifest and view.manifest.error:
        parts += [Text(), Text(f"[{view.manifest.error.code}] {view.manifest.error.message}", "red")]
    if view.advice:
        parts.append(Text(view.advice, "yellow"))
    for number, attempt in enumerate(view.attempts, 1):
        parts += [Text(), *_attempt(attempt, number)]
    if not view.live:
        parts += [
            Text(),
            Text("Redis is away: only what has ended is known (see DUBLINE_REDIS_URL)", "yellow"),
        ]
    return Group(*parts)


def _title(view: JobView) -> Text:
    name = f"{view.row} of batch {view.batch}" if view.batch else f"job {view.id[:12]}"
    return Text.assemble((name, "bold"), "  ", state_text(view.state))


def _facts(lines: Iterable[Fact]) -> Padding:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines:
        table.add_row(name, value)
    return Padding(table, (0, 0, 0, 2))


def _lines(view: JobView) -> Iterator[Fact]:
    yield "job", view.id
    if view.job:
        yield from _request(view.job, view.manifest)
    if view.asked and (unusual := _handling(view.asked)):
        yield "as", unusual
    if view.manifest:
        yield from _result(view.manifest)
    elif view.progress:
        yield from _standing(view)
    if view.segments:
        yield "kept", f"{count(view.segments, 'finished segment')}, for the attempt that goes on from there"
    for each in view.webhooks:
        yield "webhook", Text(f"{each.type} to {each.url}: ").append(delivery_text(each))


def _request(job: Job, manifest: Manifest | None) -> Iterator[Fact]:
    yield "video", _input(job.video, manifest.video if manifest else None)
    yield "audio", _input(job.audio, manifest.audio if manifest else None)
    options = job.options.model_dump(mode="json")
    usual = JobOptions(engine=job.options.engine).model_dump(mode="json")
    unusual = [f"{name} {value}" for name, value in options.items() if value != usual[name]]
    yield "engine", ", ".join([job.options.engine, *unusual])


def _handling(row: Row) -> str:
    """How urgent it is and how long it may take, where that is not as ever."""
    parts = [f"{row.priority} priority"] if row.priority != "normal" else []
    if row.time_limit_seconds:
        parts.append(f"time limit {clock(row.time_limit_seconds)}")
    return ", ".join(parts)


def _input(source: Source, record: InputRecord | None) -> Text:
    """Where it lies, and what was read there."""
    text = Text(source.shown)
    facts = record.facts if record else None
    figures = [f"{record.bytes / 1e6:,.1f} MB"] if record else []
    if facts:
        figures += [f"{facts.width}x{facts.height}"] if facts.width else []
        codecs = (facts.video_codec, facts.audio_codec)
        figures += [each for each in codecs if each]
        figures += [f"{facts.duration_seconds:.1f} s"] if facts.duration_seconds else []
    return text.append(f"\n{', '.join(figures)}", "dim") if figures else text


def _standing(view: JobView) -> Iterator[Fact]:
    row = row_status(view.row or "", view.id, view.progress)
    if row.total:
        pace = f", {row.fps:.0f} fps" if row.fps else ""
        yield "frames", f"{row.frames:,} of {row.total:,}{pace}"
    if trouble := trouble_text(row):
        yield "before", Text(trouble, "yellow")


def _result(manifest: Manifest) -> Iterator[Fact]:
    output, cost = manifest.output, manifest.cost
    if output:
        yield "result", Text(output.key)
        yield (
            "",
            Text(
                f"{output.bytes / 1e6:,.1f} MB, {output.width}x{output.height}, {output.frames:,} frames, "
                f"{output.duration_seconds:.2f} s, sha256 {output.sha256[:12]}",
                "dim",
            ),
        )
    if manifest.evaluation:
        yield "evaluation", Text(manifest.evaluation.sync.words)
        yield "", Text(", ".join(_figures(manifest.evaluation)), "dim")
    if manifest.device:
        yield "device", Text(manifest.device)
    if manifest.timings:
        stages = (f"{stage} {seconds:.2f}" for stage, seconds in manifest.timings.items())
        yield "seconds", ", ".join(stages)
    if cost:
        yield "cost", f"{cost.amount:.4f} {cost.currency} for {cost.seconds:.1f} s"
    for warning in manifest.warnings:
        yield "warning", Text(warning.message, "yellow")


def _figures(figures: Figures) -> Iterator[str]:
    """What was measured; what could not be is in the manifest, with its reason."""
    for each in figures.metrics.values():
        if each.value is not None:
            yield f"{each.title} {each.value:.3g}"


def _attempt(attempt: AttemptView, place: int) -> Iterator[RenderableType]:
    yield Text.assemble(
        (_heading(attempt, place), "bold"),
        "  ",
        (attempt.outcome, _OUTCOMES.get(attempt.outcome, "dim")),
        ", requeued" if attempt.requeued else "",
    )
    yield _facts(_attempt_lines(attempt))
    if attempt.log:
        yield Padding(_log(attempt.log[-LOG_LINES:]), (0, 0, 0, 2))


def _heading(attempt: AttemptView, place: int) -> str:
    return "no worker" if attempt.number == 0 else f"attempt {attempt.number or place}"


def _attempt_lines(attempt: AttemptView) -> Iterator[Fact]:
    if attempt.number == 0:
        yield "by", f"the feeder on {attempt.host}, {attempt.ended:%Y-%m-%d %H:%M:%S} UTC"
    elif attempt.started and attempt.ended:
        seconds = (attempt.ended - attempt.started).total_seconds()
        yield "began", f"{attempt.started:%Y-%m-%d %H:%M:%S} UTC, {seconds:.1f} s on {attempt.host}"
    elif attempt.ended:
        yield "last seen", f"{attempt.ended:%Y-%m-%d %H:%M:%S} UTC"
    if attempt.requeued and attempt.error:
        yield "error", Text(attempt.error, "red")
    if attempt.files:
        folder = attempt.files[0].key.rpartition("/")[0] + "/"
        names = [f"{each.key.removeprefix(folder)} {each.bytes:,} bytes" for each in attempt.files]
        yield "files", Text(folder).append(f"\n{', '.join(names)}", "dim")


def logs_picture(attempts: Sequence[AttemptLog]) -> Group:
    """Whole logs, under a heading for each attempt."""
    parts: list[Text] = []
    for each in attempts:
        parts += [attempt_heading(each), *(line_text(log_line(line)) for line in each.lines)]
        parts += [] if each.lines else [Text("left no log", "dim")]
        parts.append(Text())
    return Group(*parts[:-1]) if parts else Group(Text("nothing is logged yet: no attempt has begun", "dim"))


def attempt_heading(attempt: AttemptLog) -> Text:
    """Which attempt, what became of it, and where and when it began."""
    began = f"{attempt.began[:10]} {attempt.began[11:19]} UTC" if attempt.began else ""
    where = " ".join(filter(None, [began, f"on {attempt.host}" if attempt.host else ""]))
    outcome = (
        attempt.outcome,
        _OUTCOMES.get(attempt.outcome, "cyan" if attempt.outcome == "running" else "dim"),
    )
    return Text.assemble(
        (f"attempt {attempt.place}", "bold"), "  ", outcome, "  ", (f"{attempt.id}  {where}", "dim")
    )


def line_text(line: LogLine) -> Text:
    """One line of a log with its level in its colour, a traceback below it."""
    style = _LEVELS.get(line.level, "")
    text = Text.assemble(
        (f"{line.time[11:19]:<8}  ", "dim"),
        (f"{line.level:<8}", style or "green"),
        (_visible(line.message), style),
    )
    for each in _visible(line.traceback).splitlines():
        text.append(f"\n{'':18}{each}", "dim")
    return text


def _visible(text: str) -> str:
    """Without the control characters that would move a terminal's cursor, or do worse."""
    return "".join(each if each in "\n\t" or each.isprintable() else "\ufffd" for each in text)


def _log(lines: Iterable[LogLine]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for line in lines:
        message = line.message[:MESSAGE_CHARACTERS]
        text = Text(message, _LEVELS.get(line.level, ""))
        if line.traceback:
            text.append(f"\n{line.traceback[-MESSAGE_CHARACTERS:]}", "dim")
        table.add_row(line.time[11:19], text)
    return table
