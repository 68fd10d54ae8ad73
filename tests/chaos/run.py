"""One run: plan, submit, break things until every job has ended, then judge.

python -m tests.chaos --seed 1 --jobs 1000
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from contract import keys
from contract.errors import TemporaryFailure
from contract.job import Delivery
from contract.ledger import Ledger
from contract.settings import Settings
from contract.storage import Storage
from tests.chaos import report, witness, workload
from tests.chaos.checker import check, excused
from tests.chaos.cluster import Cluster, Mutant
from tests.chaos.faults import Fault, Saboteur, schedule
from tests.chaos.history import Event, History, read
from tests.chaos.proxy import CALM, ROUGH, Proxy, Rates
from tests.chaos.report import Report
from tests.chaos.script import Kind
from tests.chaos.witness import Witness

TICK_SECONDS = 0.05
SETTLE_SECONDS = 60.0
"""After the last job has ended and all is calm, the feeder closes the batches within this."""
STORM_AFTER_SECONDS = 3.0
"""Nothing is broken before: processes start."""

NEVER = 1e9
"""Seconds, for `fault_seconds`."""


@dataclass(frozen=True)
class Options:
    """What a run is to be."""

    seed: int = 1
    jobs: int = 1000
    workers: int = 4
    lease_seconds: float = 4.0
    lost_attempts: int = 8
    fault_seconds: float = 3.0
    """Between two faults, on average."""
    stall_seconds: float = 180.0
    """A run in which no job ends for so long is given up."""
    kinds: tuple[Kind, ...] = ()
    """Exactly these jobs, in this order, instead of `jobs` by their shares."""
    rates: Rates = ROUGH
    """What the network does all the while."""
    mutant: Mutant = ""
    feederless: bool = False
    """The feeder is stopped for good after the first job has ended. The checker must find that."""


def settings_of(options: Options, folder: Path, given: Settings) -> Settings:
    """Settings of the cluster: everything short, so that much happens."""
    changed = {
        "lease_seconds": options.lease_seconds,
        "lost_attempts": options.lost_attempts,
        "grace_seconds": 2.0,
        "scratch": folder / "scratch",
        "prepared": folder / "prepared",
        "threads": 1,
    }
    return given.model_copy(
        update={name: each for name, each in changed.items() if name in Settings.model_fields}
    )


def run(
    options: Options, folder: Path, given: Settings, say: Callable[[str], None] = lambda _: None
) -> Report:
    """Do it in this folder; the history stays there as `history.jsonl`, logs below `stack/logs`."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = settings_of(options, folder, given)
    path = folder / "history.jsonl"
    history = History(path, "harness")
    kinds = options.kinds or workload.kinds(options.seed, options.jobs)
    batches = workload.plan(options.seed, kinds, options.lease_seconds)
    with Cluster.start(
        folder, settings, workers=options.workers, seed=options.seed, mutant=options.mutant
    ) as cluster:
        storage = Storage(cluster.direct)
        workload.furnish(storage, batches, folder)
        with Witness(cluster.direct, history) as seen:
            storm = Storm(options, cluster, history, seen, batches, folder, say)
            seconds = storm.blow()
            storm.settle(storage)
            cluster.retire([*cluster.workers, "feeder"])
        seen.look()
        asked = workload.expected(storage, batches)
        found = witness.take_stock(storage, written(cluster.proxy))
        closed = witness.closed(storage, [each.name for each in batches])
    events, _ = read(path)
    bodies, again, lost_races = report.count_attempts(events)
    return Report(
        seed=options.seed,
        jobs=len(kinds),
        workers=options.workers,
        seconds=round(seconds, 1),
        statuses=report.statuses(found),
        faults=dict(storm.saboteur.counts),
        requests=dict(cluster.proxy.counts),
        bodies=bodies,
        again=again,
        lost_races=lost_races,
        wrong=check(excused(asked, events, options.lost_attempts), events, found, closed),
        left_alive=cluster.living(),
    )


def written(proxy: Proxy) -> dict[str, int]:
    """How often the store took a manifest of each job. One that it took while dying was seen by nobody: it counts
    where no other was taken.
    """
    return dict.fromkeys(proxy.unanswered, 1) | dict(+proxy.accepted)


class Storm:
    """The time between the first submission and the last job's end."""

    def __init__(
        self,
        options: Options,
        cluster: Cluster,
        history: History,
        seen: Witness,
        batches: Sequence[workload.Batch],
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        self.saboteur = Saboteur(cluster, history, self._deliveries, options.seed)
        self._options, self._cluster, self._history = options, cluster, history
        self._seen, self._batches, self._folder, self._say = seen, batches, folder, say
        self._jobs = sum(len(each.scripts) for each in batches)
        self._sent: list[Delivery] = []
        self._sleepers = _Sleepers(cluster, seen, folder / "history.jsonl", options.lease_seconds)

    def blow(self) -> float:
        """Submit, and break things until all jobs have ended or nothing moves any more; seconds that took."""
        start = moved = time.monotonic()
        sender = threading.Thread(target=self._send_all, name="sender", daemon=True)
        sender.start()
        self._cluster.proxy.rates = self._options.rates
        faults = self._faults()
        fault, ended = next(faults), 0
        while len(self._seen.ended) < self._jobs or self._sleepers.asleep:
            now = time.monotonic()
            while now - start >= fault.at:
                self.saboteur.strike(fault)
                fault = next(faults)
            self.saboteur.tend(now - start)
            self._sleepers.tend()
            self._cluster.tend()
            if len(self._seen.ended) != ended:
                ended, moved = len(self._seen.ended), now
                self._say(f"{now - start:5.0f} s: {ended} of {self._jobs} jobs have ended")
                self._stop_the_feeder()
            if now - moved > self._options.stall_seconds:
                break
            time.sleep(TICK_SECONDS)
        return time.monotonic() - start

    def settle(self, storage: Storage) -> None:
        """Let everything come back, and the feeder close the batches."""
        self._cluster.proxy.rates = CALM
        self._cluster.calm()
        deadline = time.monotonic() + (SETTLE_SECONDS if len(self._seen.ended) >= self._jobs else 0)
        while time.monotonic() < deadline and not self._all_closed(storage):
            self._sleepers.tend()
            self._cluster.tend()
            time.sleep(0.2)

    def _all_closed(self, storage: Storage) -> bool:
        with suppress(TemporaryFailure):
            return all(storage.stat(keys.summary(each.name)) for each in self._batches)
        return False

    def _faults(self) -> Iterator[Fault]:
        options = self._options
        for each in schedule(options.seed, options.workers, options.fault_seconds):
            if each.at > STORM_AFTER_SECONDS:
                yield each

    def _send_all(self) -> None:
        """Submit one batch after the other, then cancel some rows; on a thread, for all of it may have to wait."""
        storage = Storage(self._cluster.settings)
        for each in self._batches:
            workload.send(each, storage, self._cluster.settings, self._folder, self._history)
            with suppress(TemporaryFailure):
                self._sent += witness.deliveries(storage, [each.name])

        ledger = Ledger(self._cluster.settings)
        for each in self._batches:
            workload.cancel(each, storage, ledger)

    def _deliveries(self) -> list[Delivery]:
        return self._sent

    def _stop_the_feeder(self) -> None:
        if self._options.feederless:
            self._cluster.retire(["feeder"])


class _Sleepers:
    """Jobs that stopped their own process right before the commit: woken when it is too late."""

    def __init__(self, cluster: Cluster, seen: Witness, path: Path, lease_seconds: float) -> None:
        self._cluster, self._seen, self._path = cluster, seen, path
        self._patience = 4 * lease_seconds
        self._position = 0
        self.asleep: dict[int, tuple[Event, float]] = {}

    def tend(self) -> None:
        """Wake those whose job another attempt has ended, or that slept long enough."""
        events, self._position = read(self._path, self._position) if self._path.exists() else ([], 0)
        now = time.monotonic()
        self.asleep |= {each.pid: (each, now) for each in events if each.what == "pausing"}
        for pid, (event, since) in [*self.asleep.items()]:
            if event.job in self._seen.ended or now - since > self._patience:
                del self.asleep[pid]
                self._cluster.resume_child(pid)
