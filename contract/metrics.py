"""Every metric of the feeder, the watcher and the worker, and how Prometheus gets them. The API's are in producer/api/figures.py.

The values of a label are a closed list (`BOUNDS`): never a batch, a row, a job or an owner, of which there is no end.
Figures of what others hold are asked for when Prometheus asks: while Redis is away they are missing, never old.
"""

import shutil
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from contract.backlog import Backlog, BacklogRecord
from contract.broker import LISTS
from contract.connection import PULSE_SECONDS
from contract.errors import BY_CODE, DublineError
from contract.job import EngineName
from contract.ledger import Progress
from contract.manifest import Manifest
from contract.pace import Pace
from contract.queue import Queue, QueueFigures
from contract.settings import Settings
from contract.workers import Doing, Roster, Worker

STAGES = (
    "stage_in", "setup", "track", "reuse", "prepare", "keep", "listen", "resume", "gather", "stream",
    "generate", "blend", "measure", "sync_check", "evaluate", "stage_out",
)  # fmt: skip
"""As a manifest's `timings` name them."""
OTHER = "other"
BOUNDS: dict[str, frozenset[str]] = {
    "engine": frozenset(get_args(EngineName)),
    "outcome": frozenset({"succeeded", "failed", "cancelled"}),
    "code": frozenset({*BY_CODE, OTHER}),
    "stage": frozenset({*STAGES, OTHER}),
    "priority": frozenset(LISTS),
    "doing": frozenset(get_args(Doing)),
    "result": frozenset({"hit", "miss"}),
    "state": frozenset({"starting", "idle", "busy", "leaving"}),
}
"""All that each label may say."""
FREE = frozenset({"currency", "gpu"})
"""Labels with one value in a process: a setting, and the name of its GPU."""
SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000)


def bounded(label: str, value: str) -> str:
    """The value, or `other`: what a newer version says does not become a series of its own."""
    return value if value in BOUNDS[label] else OTHER


class WorkerMetrics:
    """What the process that runs jobs counts: ended jobs at their commit, all else when it happens."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._ended = Counter(
            "dubline_jobs_ended", "Jobs that this worker ended.", ["engine", "outcome"], registry=registry
        )
        self._failures = Counter(
            "dubline_job_failures", "Jobs that ended without a video, by why.", ["code"], registry=registry
        )
        self._attempts = Counter("dubline_attempts", "Attempts begun.", registry=registry)
        self._attempt_failures = Counter(
            "dubline_attempt_failures",
            "Attempts that made no video, by why: their job ends, or is tried again.",
            ["code"],
            registry=registry,
        )
        self._stages = Histogram(
            "dubline_stage_seconds",
            "Seconds of each stage of an attempt that ended its job; stages of one stream overlap.",
            ["stage"],
            buckets=SECONDS,
            registry=registry,
        )
        self._jobs = Histogram(
            "dubline_job_seconds",
            "Seconds of attempts that ended their job.",
            buckets=SECONDS,
            registry=registry,
        )
        self._frames = Counter("dubline_frames", "Frames of the videos made.", registry=registry)
        self._output = Counter("dubline_output_seconds", "Seconds of the videos made.", registry=registry)
        self._prepared = Counter(
            "dubline_prepared_frames",
            "Source frames that an engine needed prepared: found in the cache (hit), or not (miss).",
            ["result"],
            registry=registry,
        )
        self._cost = Counter(
            "dubline_cost",
            "Worker seconds of ended jobs times the configured price.",
            ["currency"],
            registry=registry,
        )
        self._children = Counter(
            "dubline_worker_children",
            "Processes for jobs that this worker started, each after the end of the one before.",
            registry=registry,
        )
        self._fps = self._gauge("dubline_job_fps", "Frames a second of the job at hand; 0 between jobs.")
        self._moved = self._gauge(
            "dubline_job_moved_timestamp_seconds",
            "When something of the job at hand last moved, in seconds since 1970; 0 between jobs.",
        )
        self._gpu_used = self._gauge(
            "dubline_gpu_memory_used_bytes", "Of the GPU's memory, by whomever.", "gpu"
        )
        self._gpu_total = self._gauge("dubline_gpu_memory_bytes", "The GPU's memory.", "gpu")
        self._gpu_use = self._gauge("dubline_gpu_use_ratio", "Share of time in which the GPU worked.", "gpu")
        self._begin_at_zero()

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(name, meaning, labels, registry=self.registry, multiprocess_mode="livemostrecent")

    def _begin_at_zero(self) -> None:
        """Have every series there from the start: what goes from nothing to 1 is no increase to Prometheus."""
        for engine in BOUNDS["engine"]:
            for outcome in BOUNDS["outcome"]:
                self._ended.labels(engine, outcome)
        for code in BOUNDS["code"]:
            self._failures.labels(code)
            self._attempt_failures.labels(code)
        for stage in STAGES:
            self._stages.labels(stage)
        for result in BOUNDS["result"]:
            self._prepared.labels(result)
        self.at_hand(None)

    def child_begins(self) -> None:
        """Count this process."""
        self._children.inc()

    def attempt_begins(self) -> None:
        """Count an attempt."""
        self._attempts.inc()

    def attempt_failed(self, code: str) -> None:
        """Count an attempt that made no video."""
        self._attempt_failures.labels(bounded("code", code)).inc()

    def job_ended(self, manifest: Manifest) -> None:
        """Count a job whose manifest this process has committed."""
        self._ended.labels(manifest.job.options.engine, manifest.status).inc()
        if manifest.error:
            self._failures.labels(bounded("code", manifest.error.code)).inc()
        self._jobs.observe((manifest.attempt.ended - manifest.attempt.started).total_seconds())
        for stage, seconds in manifest.timings.items():
            self._stages.labels(bounded("stage", stage)).observe(seconds)
        if manifest.cost:
            self._cost.labels(manifest.cost.currency).inc(manifest.cost.amount)
        self._count_frames(manifest)

    def _count_frames(self, manifest: Manifest) -> None:
        if manifest.output:
            self._output.inc(manifest.output.duration_seconds)
            self._frames.inc(manifest.output.frames)
        if manifest.frames:
            self._prepared.labels("hit").inc(manifest.frames.reused)
            self._prepared.labels("miss").inc(manifest.frames.prepared)

    def at_hand(self, progress: Progress | None, moved_seconds_ago: float = 0.0) -> None:
        """Say how fast the job at hand is, and when it last moved; without one: that there is none."""
        self._fps.set(progress.fps if progress else 0.0)
        self._moved.set(time.time() - moved_seconds_ago if progress else 0.0)

    def gpu(self, name: str, used_bytes: int, total_bytes: int, use_ratio: float | None) -> None:
        """Say how full the GPU is, and how busy where that is known."""
        self._gpu_used.labels(name).set(used_bytes)
        self._gpu_total.labels(name).set(total_bytes)
        if use_ratio is not None:
            self._gpu_use.labels(name).set(use_ratio)


class FeederMetrics:
    """What a feeder counts, and how much it holds."""

    def __init__(self, open_batches: Callable[[], int], taken_rows: Callable[[], int]) -> None:
        self.registry = registry = CollectorRegistry()
        Gauge(
            "dubline_batches_open", "Batches whose rows have not all ended.", registry=registry
        ).set_function(open_batches)
        Gauge(
            "dubline_rows_taken", "Rows of open batches that are on their way.", registry=registry
        ).set_function(taken_rows)
        self._stepped = Gauge(
            "dubline_feeder_step_timestamp_seconds",
            "When the feeder last looked at everything, in seconds since 1970.",
            registry=registry,
        )
        self._failures = _failures(
            "dubline_feeder_step_failures", "Looks of the feeder that failed.", registry
        )

    def stepped(self) -> None:
        """Note that everything was looked at."""
        self._stepped.set_to_current_time()

    def step_failed(self, code: str) -> None:
        """Count a look that ended in an error."""
        self._failures.labels(bounded("code", code)).inc()


class WatchMetrics:
    """What a watcher counts, and what it saw in its last look."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._objects = Gauge("dubline_drop_objects", "Objects in the drop folder.", registry=registry)
        self._singles = Gauge(
            "dubline_drop_singles", "Halves that wait for their partner.", registry=registry
        )
        self._refused = Gauge("dubline_drop_refused", "What lies there and is refused.", registry=registry)
        self._batches = Counter("dubline_drop_batches", "Batches submitted.", registry=registry)
        self._rows = Counter("dubline_drop_rows", "Rows submitted.", registry=registry)
        self._looked = Gauge(
            "dubline_drop_look_timestamp_seconds",
            "When the folder was last looked at, in seconds since 1970.",
            registry=registry,
        )
        self._failures = _failures("dubline_drop_look_failures", "Looks at the folder that failed.", registry)

    def looked(self, objects: int, singles: int, refused: int, rows: Iterable[int]) -> None:
        """Note a look; `rows` of each batch that it submitted."""
        self._objects.set(objects)
        self._singles.set(singles)
        self._refused.set(refused)
        for count in rows:
            self._batches.inc()
            self._rows.inc(count)
        self._looked.set_to_current_time()

    def look_failed(self, code: str) -> None:
        """Count a look that ended in an error."""
        self._failures.labels(bounded("code", code)).inc()


def _failures(name: str, meaning: str, registry: CollectorRegistry) -> Counter:
    counter = Counter(name, meaning, ["code"], registry=registry)
    for code in ("store_unavailable", "broker_unavailable"):
        counter.labels(code)
    return counter


@dataclass(frozen=True)
class Scene:
    """The queue, and what stands around it, at one moment."""

    queue: QueueFigures
    workers: Sequence[Worker] = ()
    backlog: BacklogRecord | None = None
    seconds_per_job: float | None = None


class QueueMetrics(Collector):
    """The queue, the workers and the backlog, as Redis has them in the moment that Prometheus asks."""

    def __init__(self, look: Callable[[], Scene]) -> None:
        self._look = look

    @classmethod
    def of(cls, settings: Settings) -> "QueueMetrics":
        """Of the Redis that the settings name; nothing connects yet."""
        bound = {"answer_seconds": PULSE_SECONDS, "tries": 0}  # Prometheus waits 10 s, no longer
        queue, roster = Queue(settings, **bound), Roster(settings, **bound)
        backlog, pace = Backlog(settings, **bound), Pace(settings)
        return cls(lambda: Scene(queue.look(), roster.workers(), backlog.look(), pace.look().seconds_per_job))

    def collect(self) -> Iterator[Metric]:
        """All figures; only that Redis is away while it is."""
        try:
            scene = self._look()
        except DublineError:
            yield _family("dubline_redis_up", "Whether Redis answers.", 0)
            return
        yield _family("dubline_redis_up", "Whether Redis answers.", 1)
        yield from _of_queue(scene.queue)
        doing = Tally[str](each.doing for each in scene.workers)
        counts = {each: doing[each] for each in sorted(BOUNDS["doing"])}
        yield _by("dubline_workers", "Workers, by what they do.", "doing", counts)
        if scene.backlog:
            rows = scene.backlog.rows
            yield _family("dubline_backlog_rows", "Rows of open batches that have not ended.", rows)
        if scene.seconds_per_job is not None:
            meaning = "Worker seconds of a job, mean of the last ones."
            yield _family("dubline_pace_seconds", meaning, scene.seconds_per_job)


def _of_queue(figures: QueueFigures) -> Iterator[Metric]:
    yield _by("dubline_queue_depth", "Messages that nobody has taken.", "priority", figures.waiting)
    yield _family("dubline_queue_held", "Messages that a worker has taken.", figures.held)
    oldest = figures.oldest_seconds if figures.depth else 0.0
    if oldest is not None:
        yield _family("dubline_queue_oldest_seconds", "Age of the oldest that waits.", oldest)


class ScratchMetrics(Collector):
    """The disk under the scratch folder, in the moment that Prometheus asks."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder.expanduser() if folder else Path(gettempdir())

    def collect(self) -> Iterator[Metric]:
        """Its size and what is free. The folder is made with the first job: until then, of where it will be."""
        there = next(each for each in (self._folder, *self._folder.absolute().parents) if each.exists())
        disk = shutil.disk_usage(there)
        yield _family("dubline_scratch_free_bytes", "Free on the disk of the scratch folder.", disk.free)
        yield _family("dubline_scratch_bytes", "Size of the disk of the scratch folder.", disk.total)


class FleetMetrics:
    """What a fleet keeps, and what became of it."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._members = Gauge(
            "dubline_fleet_workers", "Workers of the fleet, by what they do.", ["state"], registry=registry
        )
        self._crash_loops = Counter(
            "dubline_fleet_crash_loops", "Slots whose worker began to die again and again.", registry=registry
        )
        self._done = Gauge(
            "dubline_fleet_done_seconds",
            "Until all there is to do is done by those who are at it; NaN while nobody is.",
            registry=registry,
        )
        self._looked = Gauge(
            "dubline_fleet_look_timestamp_seconds",
            "When the fleet last looked at everything, in seconds since 1970.",
            registry=registry,
        )

    def looked(self, states: Iterable[str], crash_loops: int, done_in_seconds: float | None) -> None:
        """Note a look: the state of each worker, and the crash loops that began in it."""
        tally = Tally(states)
        for state in BOUNDS["state"]:
            self._members.labels(state).set(tally[state])
        self._crash_loops.inc(crash_loops)
        self._done.set(float("nan") if done_in_seconds is None else done_in_seconds)
        self._looked.set_to_current_time()


def _family(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, meaning, value=value)


def _by(name: str, meaning: str, label: str, figures: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, meaning, labels=[label])
    for value, figure in figures.items():
        family.add_metric([value], figure)
    return family
