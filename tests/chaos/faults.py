"""What is broken when: a schedule from a seed, and the saboteur who carries it out."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import redis

from contract.broker import make_app, publish
from contract.errors import BrokerUnavailable
from contract.job import Delivery
from tests.chaos.cluster import Cluster
from tests.chaos.history import History
from tests.chaos.proxy import OUTAGE, ROUGH

Kind = Literal[
    "kill child",
    "kill worker",
    "terminate worker",
    "pause worker",
    "kill broker",
    "wipe broker",
    "kill store",
    "store outage",
    "kill feeder",
    "pause feeder",
    "duplicate deliveries",
]
WEIGHTS: dict[Kind, float] = {
    "kill child": 4,
    "kill worker": 5,
    "terminate worker": 3,
    "pause worker": 2,
    "kill broker": 2,
    "wipe broker": 0.5,
    "kill store": 1.5,
    "store outage": 1,
    "kill feeder": 2,
    "pause feeder": 0.5,
    "duplicate deliveries": 2,
}
DUPLICATES = 10


@dataclass(frozen=True)
class Fault:
    """One thing to break."""

    at: float
    """Seconds after the start."""
    kind: Kind
    worker: int
    """Which of them, from 1, where it is a worker's turn."""
    strength: float
    """From 0 to 1: how long it lasts."""

    @property
    def target(self) -> str:
        """The worker's name."""
        return f"worker{self.worker}"


def schedule(seed: int, workers: int, mean_seconds: float) -> Iterator[Fault]:
    """Faults without end, on average one in so many seconds."""
    dice = random.Random(f"faults {seed}")
    at = 0.0
    while True:
        at += dice.expovariate(1 / mean_seconds)
        (kind,) = dice.choices([*WEIGHTS], [*WEIGHTS.values()])
        yield Fault(at, kind, dice.randint(1, workers), dice.random())


class Saboteur:
    """Carries out faults, and counts those that met something."""

    def __init__(
        self, cluster: Cluster, history: History, deliveries: Callable[[], list[Delivery]], seed: int
    ) -> None:
        self.counts: Counter[Kind] = Counter()
        self._cluster, self._history, self._deliveries = cluster, history, deliveries
        self._lease = cluster.settings.lease_seconds
        self._dice = random.Random(f"saboteur {seed}")
        self._outage_until: float | None = None
        self._app = make_app(cluster.settings)

    def strike(self, fault: Fault) -> None:
        """Do it now."""
        doing: dict[Kind, Callable[[Fault], bool]] = {
            "kill child": self._kill_child,
            "kill worker": self._kill_worker,
            "terminate worker": self._terminate,
            "pause worker": self._pause_worker,
            "kill broker": lambda fault: self._kill("broker", 2 * fault.strength),
            "wipe broker": lambda _: self._wipe(),
            "kill store": lambda fault: self._kill("store", 2 * fault.strength),
            "store outage": self._close_the_store,
            "kill feeder": lambda fault: self._kill("feeder", 3 * fault.strength),
            "pause feeder": lambda fault: self._pause("feeder", fault),
            "duplicate deliveries": lambda _: self._duplicate(),
        }
        if doing[fault.kind](fault):
            self.counts[fault.kind] += 1
            self._history.note("fault", note=f"{fault.kind} {fault.worker}")

    def tend(self, now: float) -> None:
        """End an outage of the store when its time has come; `now` in seconds since the start."""
        if self._outage_until is not None and now >= self._outage_until:
            self._outage_until = None
            self._cluster.proxy.rates = ROUGH

    def _kill_child(self, fault: Fault) -> bool:
        return self._cluster.kill_child(fault.target)

    def _kill_worker(self, fault: Fault) -> bool:
        return self._kill(fault.target, fault.strength)

    def _terminate(self, fault: Fault) -> bool:
        self._cluster.terminate(fault.target)
        return True

    def _pause_worker(self, fault: Fault) -> bool:
        return self._pause(fault.target, fault)

    def _kill(self, name: str, away_seconds: float) -> bool:
        self._cluster.kill(name, away_seconds)
        return True

    def _pause(self, name: str, fault: Fault) -> bool:
        self._cluster.pause(name, self._lease * (0.5 + 2 * fault.strength))
        return True

    def _close_the_store(self, fault: Fault) -> bool:
        self._cluster.proxy.rates = OUTAGE
        self._outage_until = fault.at + 1 + 4 * fault.strength
        return True

    def _wipe(self) -> bool:
        with (
            suppress(redis.RedisError),
            redis.Redis.from_url(self._cluster.settings.redis_url.get_secret_value()) as client,
        ):
            client.flushall()
            return True
        return False

    def _duplicate(self) -> bool:
        known = self._deliveries()
        some = self._dice.sample(known, min(DUPLICATES, len(known)))
        with suppress(BrokerUnavailable):
            for each in some:
                publish(self._app, each)
            return bool(some)
        return False
