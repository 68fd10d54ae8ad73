"""The figures as tables on a terminal."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from worker.evaluation.bench.report import Core, EndToEnd, Report, Spread

GIB = 2**30


def tables(report: Report) -> RenderableType:
    """All of a report."""
    return Group(*_parts(report))


def _parts(report: Report) -> Iterator[RenderableType]:
    machine, clip = report.machine, report.clip
    yield Text(f"{report.engine}, {report.weights} weights, on {machine.device} ({machine.dtype})", "bold")
    yield Text(f"{clip.video} {clip.width}x{clip.height}, {clip.audio}: {clip.frames} frames a job")
    if report.core:
        yield _core(report)
    yield _jobs(report)
    yield Text(f"most memory in use: {_memory(report)}")
    yield from (Text(note, "yellow") for note in report.notes)


def _core(report: Report) -> Table:
    table = Table("layout", "batch size", "networks alone, fps", "share of matmul rate", "", box=None)
    for each in report.core:
        ships = "as jobs use them" if each.is_shipped else ""
        table.add_row(each.layout, str(each.batch_size), _figure(each.fps), _share(each), ships)
    if report.matmul and report.gflop_per_frame:
        table.caption = (
            f"{report.gflop_per_frame:.4g} GFLOP a frame; matmul {report.matmul.tflops:.4g} TFLOP/s "
            f"{report.machine.dtype}, measured"
        )
    return table


def _jobs(report: Report) -> Table:
    cost = f"{report.currency}\na minute"
    table = Table(
        "jobs", "fps", "of networks\nalone", "of their\nbest", "p50 s", "p95 s", "runs", cost, box=None
    )
    if report.cold:
        table.add_row("cold, new source", "", "", "", *_spread(report.cold), "")
    for each in report.end_to_end:
        table.add_row(*_job(each))
    table.caption = f"at {report.price_per_hour:g} {report.currency} an hour"
    return table


def _job(each: EndToEnd) -> tuple[str, ...]:
    shares = ("" if share is None else f"{share:.0%}" for share in (each.share_of_core, each.share_of_best))
    cost = f"{each.cost_per_output_minute:.4g}"
    return (f"warm, {each.source} source", _figure(each.fps), *shares, *_spread(each.latency), cost)


def _spread(spread: Spread) -> tuple[str, str, str]:
    return _figure(spread.p50_seconds), _figure(spread.p95_seconds), str(spread.runs)


def _share(core: Core) -> str:
    return "not known" if core.share_of_matmul is None else f"{core.share_of_matmul:.1%}"


def _memory(report: Report) -> str:
    memory = report.memory
    if memory.where == "ram":
        return f"{memory.peak_bytes / GIB:.2f} GiB of RAM"
    device = f", {memory.device_bytes / GIB:.2f} GiB in use on the whole card" if memory.device_bytes else ""
    return f"{memory.peak_bytes / GIB:.2f} GiB of the GPU{device}"


def _figure(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
