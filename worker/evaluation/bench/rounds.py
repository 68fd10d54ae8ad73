"""START HERE: what a bench measures, in order.

cold      first jobs, each in a new process, while this one has nothing on the device
core      the networks alone, by batch size, against the device's own rate
new       whole jobs of a source that was never seen, in a process that is set up
prepared  whole jobs of a source that an earlier job has prepared
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

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
        alone = _alone(plan, tools, show)
        new, prepared = _whole_jobs(plan, ground, tools, show)
        return _report(plan, settings, tools, alone, cold, new, prepared)


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

    @property
    def best_fps(self) -> float | None:
        """Of all batch sizes."""
        return max((each.fps for each in self.core), default=None)


def _alone(plan: Plan, tools: Tools, show: Show) -> Alone:
    networks: Networks | None = getattr(tools.engine, "networks", None)
    if networks is None:
        return Alone(notes=(f"{tools.engine.name} has no networks of its own to measure alone",))
    from worker.evaluation.bench import core, flops, matmul  # heavy

    show("matrix products", 0, 0)
    most = matmul.measure(networks.device, networks.dtype)
    sizes = plan.batch_sizes or (core.SIZES_GPU if networks.device.type == "cuda" else core.SIZES_CPU)
    measured = tuple(
        core.measure(
            networks,
            sizes,
            most,
            lambda size: show(f"networks alone, batches of {size}", sizes.index(size), len(sizes)),
        )
    )
    too_large = ", ".join(map(str, sizes[len(measured) :]))
    notes = (f"there is not enough memory for batches of {too_large}",) if too_large else ()
    return Alone(round(flops.per_frame(networks), 4), most, measured, notes)


# ---------------------------------------------------------------------------------------------------- whole jobs


def _whole_jobs(plan: Plan, ground: Ground, tools: Tools, show: Show) -> tuple[list[Done], list[Done]]:
    def shown(job: str, now: Progress) -> None:
        show(f"{job}: {now.state}", now.frames, now.total)

    return jobs.new_and_prepared(ground, tools, plan.runs, shown)


# ------------------------------------------------------------------------------------------------------ the report


def _report(
    plan: Plan,
    settings: Settings,
    tools: Tools,
    alone: Alone,
    cold: list[float],
    new: list[Done],
    prepared: list[Done],
) -> Report:
    on_gpu = alone.matmul is not None and _on_gpu(tools)
    return Report(
        dubline=version("dubline"),
        engine=tools.engine.name,
        weights="random" if plan.random_weights else "real" if alone.core else "none",
        machine=machine(on_gpu),
        clip=Clip(
            video=plan.video.name,
            audio=plan.audio.name,
            width=new[0].width,
            height=new[0].height,
            frames=new[0].frames,
        ),
        gflop_per_frame=alone.gflop_per_frame,
        matmul=alone.matmul,
        core=alone.core,
        cold=Spread.of(cold) if cold else None,
        end_to_end=tuple(_end_to_end(settings, alone, new, prepared)),
        memory=memory.peak(on_gpu),
        price_per_hour=settings.price_per_hour,
        currency=settings.currency,
        notes=(*alone.notes, *_notes(tools, prepared)),
    )


def _on_gpu(tools: Tools) -> bool:
    networks: Networks = tools.engine.networks  # type: ignore[attr-defined]
    return networks.device.type == "cuda"


def _end_to_end(
    settings: Settings, alone: Alone, new: list[Done], prepared: list[Done]
) -> Iterator[EndToEnd]:
    measured: tuple[tuple[SourceState, list[Done]], ...] = (("new", new), ("prepared", prepared))
    for source, done in measured:
        if done:
            yield _of_source(source, done, settings, alone)


def _of_source(source: SourceState, done: list[Done], settings: Settings, alone: Alone) -> EndToEnd:
    seconds = [each.seconds for each in done]
    fps = done[0].frames / percentile(seconds, 0.5)
    best = alone.best_fps
    return EndToEnd(
        source=source,
        fps=round(fps, 4),
        share_of_core=round(fps / best, 4) if best else None,
        latency=Spread.of(seconds),
        cost_per_output_minute=cost_per_output_minute(fps, settings.price_per_hour),
        stages=min(done, key=lambda each: each.seconds).stages,
    )


def _notes(tools: Tools, prepared: list[Done]) -> Iterator[str]:
    if not prepared:
        yield f"no prepared source: {tools.engine.name} keeps nothing, or may not (DUBLINE_PREPARED_BYTES)"
    elif any(each.prepared for each in prepared):
        yield "frames of the prepared source were prepared again: it did not fit into DUBLINE_PREPARED_BYTES"
