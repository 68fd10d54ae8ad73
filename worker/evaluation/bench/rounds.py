"""START HERE: what a bench measures, in order.

cold      first jobs, each in a new process, while this one has nothing on the device
new       whole jobs of a source that was never seen, in a process that is set up
prepared  whole jobs of a source that an earlier job has prepared
memory    the most that was in use until here: as in a worker
core      the networks alone, by layout and batch size, against the device's own rate
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from contract.errors import BadRequest, ConfigurationError
from contract.ledger import Progress
from contract.settings import Settings
from worker import weights
from worker.evaluation.bench import jobs, memory
from worker.evaluation.bench.jobs import Done, Ground, Pair
from worker.evaluation.bench.machine import machine
from worker.evaluation.bench.plan import Plan, Show
from worker.evaluation.bench.report import (
    Clip,
    Core,
    EndToEnd,
    Matmul,
    Memory,
    Report,
    SourceState,
    Spread,
    cost_per_output_minute,
    percentile,
)
from worker.render import Tools

if TYPE_CHECKING:
    from worker.engines.musetalk.networks import Networks
    from worker.evaluation.bench.stand_ins import StandIns


def measure(plan: Plan, settings: Settings, show: Show) -> Report:
    """All figures of one engine on this machine.

    Raises:
        DublineError: the engine cannot be set up, or the pair cannot be rendered.
    """
    with TemporaryDirectory(prefix="dubline-bench-", dir=settings.scratch) as name:
        ground = lay_ground(plan, settings, Path(name), show)
        cold = [_cold(ground, run, plan, show) for run in range(plan.cold_runs)]
        show("setting up", 0, 0)
        tools = ground.set_up()
        warm = _warm(plan, ground, tools, show)
        alone = _alone(plan, tools, show)
        return _report(plan, settings, tools, alone, cold, warm)


def lay_ground(plan: Plan, settings: Settings, folder: Path, show: Show) -> Ground:
    """The pair as it will be rendered, and settings with a cache and weights of this bench alone.

    Raises:
        DublineError: weights are missing, or the sound cannot be read.
    """
    engine = plan.options.engine
    stand_ins = None
    if plan.random_weights:
        show("writing random weights", 0, 0)
        stand_ins = _stand_ins(plan, settings, folder)
    else:
        weights.provide(engine, settings.weights)
    audio = plan.audio
    if plan.seconds is not None:
        audio = jobs.shortened(audio, plan.seconds, folder, settings)
    own = {"prepared": folder / "prepared", "weights": stand_ins.folder if stand_ins else settings.weights}
    return Ground(Pair(plan.video, audio, plan.options), settings.model_copy(update=own), folder, stand_ins)


def _stand_ins(plan: Plan, settings: Settings, folder: Path) -> "StandIns":
    engine = plan.options.engine
    if engine == "preview":
        raise BadRequest("preview has no weights that could be random; leave out --random-weights")
    weights.provide("preview", settings.weights)  # the face networks are the real ones
    try:
        from worker.evaluation.bench import stand_ins  # heavy, and not everywhere installed
    except ImportError as error:
        raise ConfigurationError(
            f"{engine} cannot be imported ({error}); pip install 'dubline[musetalk]'"
        ) from error
    return stand_ins.write(folder / "weights", engine, settings.weights)


def _cold(ground: Ground, run: int, plan: Plan, show: Show) -> float:
    show("first job of a new process", run, plan.cold_runs)
    return jobs.cold(replace(ground, settings=jobs.with_shelf(ground.settings, f"cold-{run}")))


# ------------------------------------------------------------------------------------------- the networks alone


@dataclass(frozen=True)
class Alone:
    """What there is to know without a job; nothing of an engine without networks."""

    gflop_per_frame: float | None = None
    matmul: Matmul | None = None
    core: tuple[Core, ...] = ()
    notes: tuple[str, ...] = ()

    def share(self, fps: float) -> float | None:
        """Of what the networks gave as jobs use them."""
        return next((round(fps / each.fps, 4) for each in self.core if each.is_shipped), None)

    def share_of_best(self, fps: float) -> float | None:
        """Of what they gave in any layout, at any batch size."""
        best = max((each.fps for each in self.core), default=None)
        return round(fps / best, 4) if best else None


def _alone(plan: Plan, tools: Tools, show: Show) -> Alone:
    networks: Networks | None = getattr(tools.engine, "networks", None)
    if networks is None:
        return Alone(notes=(f"{tools.engine.name} has no networks of its own to measure alone",))
    from worker.evaluation.bench import flops, matmul  # heavy

    show("matrix products", 0, 0)
    most = matmul.measure(networks.device, networks.dtype)
    layouts = (networks.layout, *(each for each in plan.layouts if each != networks.layout))
    measured, notes = [], []
    for layout in layouts:
        core, note = _in_layout(layout, plan, tools.engine, most, show)
        measured += core
        notes += note
    return Alone(round(flops.per_frame(networks), 4), most, tuple(measured), tuple(notes))


def _in_layout(
    layout: str, plan: Plan, engine: Any, most: Matmul, show: Show
) -> tuple[list[Core], list[str]]:
    """All batch sizes, and a note of those that there was no memory for."""
    from worker.evaluation.bench import core  # heavy

    networks = engine.networks if layout == engine.networks.layout else engine.load(layout)
    suiting = core.SIZES_GPU if networks.device.type == "cuda" else core.SIZES_CPU
    sizes = sorted({*(plan.batch_sizes or suiting), engine.batch_size})

    def shown(size: int) -> None:
        show(f"networks alone, {layout}, batches of {size}", sizes.index(size), len(sizes))

    shipped = engine.batch_size if networks is engine.networks else None
    measured = list(core.measure(networks, sizes, most, shown, shipped))
    too_large = ", ".join(map(str, sizes[len(measured) :]))
    return measured, [f"{layout}: there is not enough memory for batches of {too_large}"] if too_large else []


# ---------------------------------------------------------------------------------------------------- whole jobs


@dataclass(frozen=True)
class Warm:
    """Jobs in a process that is set up, and the most memory that they left behind them."""

    new: list[Done]
    prepared: list[Done]
    memory: Memory


def _warm(plan: Plan, ground: Ground, tools: Tools, show: Show) -> Warm:
    def shown(job: str, now: Progress) -> None:
        show(f"{job}: {now.state}", now.frames, now.total)

    new, prepared = jobs.new_and_prepared(ground, tools, plan.runs, shown)
    return Warm(new, prepared, memory.peak(_on_gpu(tools)))


# ------------------------------------------------------------------------------------------------------ the report


def _report(
    plan: Plan,
    settings: Settings,
    tools: Tools,
    alone: Alone,
    cold: list[float],
    warm: Warm,
) -> Report:
    first = warm.new[0]
    return Report(
        dubline=version("dubline"),
        engine=tools.engine.name,
        weights="random" if plan.random_weights else "real" if alone.core else "none",
        machine=machine(_on_gpu(tools)),
        clip=Clip(
            video=plan.video.name,
            audio=plan.audio.name,
            width=first.width,
            height=first.height,
            frames=first.frames,
        ),
        gflop_per_frame=alone.gflop_per_frame,
        matmul=alone.matmul,
        core=alone.core,
        cold=Spread.of(cold) if cold else None,
        end_to_end=tuple(_end_to_end(settings, alone, warm)),
        memory=warm.memory,
        price_per_hour=settings.price_per_hour,
        currency=settings.currency,
        notes=(*alone.notes, *_notes(tools, warm.prepared)),
    )


def _on_gpu(tools: Tools) -> bool:
    """Whether the engine computes there; one without networks does not."""
    networks: Networks | None = getattr(tools.engine, "networks", None)
    return networks is not None and networks.device.type == "cuda"


def _end_to_end(settings: Settings, alone: Alone, warm: Warm) -> Iterator[EndToEnd]:
    measured: tuple[tuple[SourceState, list[Done]], ...] = (("new", warm.new), ("prepared", warm.prepared))
    for source, done in measured:
        if done:
            yield _of_source(source, done, settings, alone)


def _of_source(source: SourceState, done: list[Done], settings: Settings, alone: Alone) -> EndToEnd:
    seconds = [each.seconds for each in done]
    fps = done[0].frames / percentile(seconds, 0.5)
    return EndToEnd(
        source=source,
        fps=round(fps, 4),
        share_of_core=alone.share(fps),
        share_of_best=alone.share_of_best(fps),
        latency=Spread.of(seconds),
        cost_per_output_minute=cost_per_output_minute(fps, settings.price_per_hour),
        stages=min(done, key=lambda each: each.seconds).stages,
    )


def _notes(tools: Tools, prepared: list[Done]) -> Iterator[str]:
    if not prepared:
        yield f"no prepared source: {tools.engine.name} keeps nothing, or may not (DUBLINE_PREPARED_BYTES)"
    elif any(each.prepared for each in prepared):
        yield "frames of the prepared source were prepared again: it did not fit into DUBLINE_PREPARED_BYTES"
