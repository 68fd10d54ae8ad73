"""A host of workers, as the fleet sees it: a port, so that the rules can be tried without an engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

NODE = "worker"
"""Celery calls a worker NODE@HOSTNAME."""


@dataclass(frozen=True, order=True)
class Slot:
    """A place for one worker: a GPU of a host, or a share of its CPUs."""

    host: str
    name: str
    """gpu0, cpu1: what a container's label says."""
    device: int | None = None
    """Index of the GPU, as the driver counts; None: no GPU."""

    def __str__(self) -> str:
        return f"{self.name} of {self.host}"


def slots_of(host: str, gpus: int, per_host: int) -> tuple[Slot, ...]:
    """One for each GPU; of a host without any, `per_host`."""
    if gpus:
        return tuple(Slot(host, f"gpu{each}", each) for each in range(gpus))
    return tuple(Slot(host, f"cpu{each}") for each in range(per_host))


@dataclass(frozen=True)
class Exit:
    """How a container ended."""

    code: int
    lived_seconds: float
    out_of_memory: bool = False


@dataclass(frozen=True)
class Container:
    """One worker's container."""

    id: str
    name: str
    slot: str
    hostname: str
    draining: bool = False
    """It was told to go: it takes no more jobs."""
    deaths: int = 0
    """How many containers of this slot ended soon, one after the other, before this one."""
    exit: Exit | None = None
    """None while it runs, or is about to."""

    @property
    def node(self) -> str:
        """The worker's name, as Celery and the roster have it."""
        return f"{NODE}@{self.hostname}"


@dataclass(frozen=True)
class HostView:
    """A host, at one moment."""

    containers: tuple[Container, ...] = ()
    """Those of this fleet."""
    taken: frozenset[int] = field(default_factory=frozenset)
    """GPUs that somebody else's containers were given."""


@dataclass(frozen=True)
class Order:
    """What a worker's container is to be."""

    image: str
    fleet: str
    environment: Mapping[str, str]
    network: str | None = None
    volumes: tuple[str, ...] = ()
    """NAME:/path:ro, as Docker writes them."""
    stop_seconds: int = 60
    """From the signal to stop until it is killed."""


class Host(Protocol):
    """A container engine. Every method raises `HostUnavailable` while it is away."""

    name: str

    def check(self, image: str) -> None:
        """Raises ConfigurationError when the engine refuses, or does not have the image."""

    def gpus(self, image: str) -> int:
        """How many the engine can give. Raises ConfigurationError when it has none, or cannot say."""

    def look(self) -> HostView:
        """What is on it now."""

    def start(self, slot: Slot, order: Order, deaths: int) -> Container | None:
        """Start a worker; None when another fleet process of the same name did in this moment.

        Raises:
            ConfigurationError: the engine cannot do what the order says.
        """

    def mark_draining(self, container: Container) -> None:
        """Note on the container itself that its worker takes no more jobs."""

    def stop(self, container: Container, seconds: int) -> None:
        """Tell it to stop, wait, and remove it with what it wrote; killed after so many seconds."""

    def remove(self, container: Container) -> None:
        """Remove one that has ended, and what it wrote."""

    def last_lines(self, container: Container, lines: int) -> list[str]:
        """The end of its log."""

    def close(self) -> None:
        """End the connections."""
