"""The fleet's workers: each container of it, with what its worker says of itself on the roster."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from contract.workers import Worker
from producer.fleet.host import Container, HostView, Slot
from producer.fleet.policy import Member, State


@dataclass(frozen=True)
class Hand:
    """One worker's container in its slot."""

    slot: Slot
    container: Container
    worker: Worker | None
    """None: not on the roster, because it is still starting, or says nothing."""

    @property
    def member(self) -> Member:
        """As the policy sees it."""
        since = self.worker.since_seconds if self.worker else 0.0
        return Member(self.container.node, self._state, since)

    @property
    def _state(self) -> State:
        if self.container.draining:
            return "leaving"
        if self.worker is None:
            return "starting"
        if self.worker.doing == "stopping":
            return "leaving"
        return "idle" if self.worker.doing == "idle" else "busy"


@dataclass(frozen=True)
class Crew:
    """All of them, at one moment."""

    hands: tuple[Hand, ...]
    """Those whose containers run."""
    ended: tuple[Hand, ...]
    """Those whose containers have ended."""
    others: int
    """Workers on the roster that are not of this fleet."""

    @classmethod
    def of(cls, views: Mapping[str, HostView], slots: Iterable[Slot], roster: Sequence[Worker]) -> "Crew":
        """Of what hosts and the roster show; a container of a slot that is not asked for any more counts, too."""
        known = {(each.host, each.name): each for each in slots}
        named = {each.name: each for each in roster}
        hands = [
            Hand(known.get((host, each.slot), Slot(host, each.slot)), each, named.get(each.node))
            for host, view in views.items()
            for each in view.containers
        ]
        own = {each.container.node for each in hands}
        return cls(
            tuple(each for each in hands if each.container.exit is None),
            tuple(each for each in hands if each.container.exit is not None),
            sum(each.name not in own and each.doing != "stopping" for each in roster),
        )

    @property
    def members(self) -> list[Member]:
        """As the policy sees them."""
        return [each.member for each in self.hands]

    @property
    def draining(self) -> list[Hand]:
        """Those that were told to go."""
        return [each for each in self.hands if each.container.draining]

    @property
    def occupied(self) -> set[Slot]:
        """Slots where nobody else can be started."""
        return {each.slot for each in self.hands}
