"""One look at everything, and what follows from it: START HERE."""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from contract.errors import BrokerUnavailable, ConfigurationError, HostUnavailable
from contract.workers import Worker
from producer.fleet.crashes import Crashes, backoff_seconds
from producer.fleet.crew import Crew, Hand
from producer.fleet.draining import Draining
from producer.fleet.host import Host, HostView, Order, Slot
from producer.fleet.policy import Load, Member, Rules, decide, done_in_seconds

LOG_LINES = 10
"""Of a container in a crash loop."""
STOP_THREADS = 8

What = Literal["started", "draining", "stopped", "ended", "crash loop", "refused", "away", "back"]


@dataclass(frozen=True)
class Change:
    """Something that happened."""

    what: What
    host: str
    slot: str | None = None
    worker: str | None = None
    """As Celery and `dubline status` call it."""
    note: str = ""
    log: tuple[str, ...] = ()


@dataclass(frozen=True)
class Standing:
    """The fleet after one look."""

    changes: tuple[Change, ...]
    load: Load
    members: tuple[Member, ...]

    @property
    def done_in_seconds(self) -> float | None:
        """When all there is to do will be done by those who are at it; None: nobody is."""
        staying = sum(each.state != "leaving" for each in self.members)
        return done_in_seconds(self.load, staying + self.load.others)


class Watch(Protocol):
    """What the fleet asks Redis: `contract.workers.Roster`."""

    def workers(self) -> list[Worker]:
        """All that are there."""


class Demand(Protocol):
    """What the fleet asks of the queue: `producer.fleet.load.Demand`."""

    def look(self, others: int = 0) -> Load:
        """What there is to do."""


@dataclass(frozen=True)
class Services:
    """What tells the fleet how things stand, but for its hosts."""

    roster: Watch
    demand: Demand
    draining: Draining
    crashes: Crashes


class Fleet:
    """Keeps workers in slots, as many as the rules want."""

    def __init__(
        self, hosts: Sequence[Host], slots: Sequence[Slot], order: Order, rules: Rules, services: Services
    ) -> None:
        self._hosts = {each.name: each for each in hosts}
        self._slots = slots
        self._order = order
        self._rules = rules
        self._roster = services.roster
        self._demand = services.demand
        self._draining = services.draining
        self._crashes = services.crashes
        self._views: dict[str, HostView] = {}
        self._away: set[str] = set()
        self._refusals: set[str] = set()
        self._changes: list[Change] = []
        self._started_at: float | None = None
        self._looked = False

    def step(self) -> Standing:
        """Look once, and do what the rules say.

        Raises:
            BrokerUnavailable: Redis is away: nothing is started or stopped without it.
            ConfigurationError: at the first look alone: a host cannot start a worker at all.
        """
        try:
            return self._look_and_act()
        except BrokerUnavailable:
            self._draining.begin_anew()
            raise

    def _look_and_act(self) -> Standing:
        roster = self._roster.workers()
        self._look_at_hosts()
        crew = Crew.of(self._views, self._slots, roster)
        load = self._demand.look(crew.others)
        self._note_ends(crew)
        stopped = self._stop_drained(crew)
        free = self._free_slots(crew)
        decision = decide(self._rules, load, crew.members, len(free), self._since_start_seconds())
        started = self._start(free[: decision.start], crew)
        leaving = self._drain(crew, decision.drain)
        self._looked = True
        staying = [each for each in crew.members if each.name not in stopped | leaving]
        going = [replace(each, state="leaving") for each in crew.members if each.name in leaving - stopped]
        changes, self._changes = (
            tuple(self._changes),
            [],
        )  # what a look saw that an outage cut short is told by the next
        return Standing(changes, load, (*staying, *going, *started))

    def dismiss(self) -> None:
        """From the next look on all workers are drained."""
        self._rules = replace(self._rules, minimum=0, maximum=0)

    @property
    def is_over(self) -> bool:
        """No worker is to be kept, and none is left."""
        return (
            self._looked and not self._rules.maximum and not any(v.containers for v in self._views.values())
        )

    def _since_start_seconds(self) -> float:
        return float("inf") if self._started_at is None else time.monotonic() - self._started_at

    def _look_at_hosts(self) -> None:
        """Of a host that is away what was seen last counts: its workers go on."""
        for name, host in self._hosts.items():
            with self._reaching(name):
                self._views[name] = host.look()
                if name in self._away:
                    self._away.discard(name)
                    self._changes.append(Change("back", name))

    def _note_ends(self, crew: Crew) -> None:
        """What ended in its turn is removed; what ended by itself stays until its slot is used again, for its log."""
        for each in crew.hands:
            if each.worker is not None:
                self._crashes.note_well(each.slot, each.worker.since_seconds)
        for each in crew.ended:
            if each.container.draining or not self._rules.maximum:
                self._remove(each)
            elif self._crashes.note_end(each.slot, each.container):
                self._report_end(each)

    def _report_end(self, hand: Hand) -> None:
        slot, container = hand.slot, hand.container
        if self._crashes.begins_to_loop(slot):
            with self._reaching(slot.host):
                log = self._hosts[slot.host].last_lines(container, LOG_LINES)
                self._changes.append(self._end(hand, "crash loop", log))
        elif not self._crashes.is_looping(slot):
            self._changes.append(self._end(hand, "ended"))

    def _end(self, hand: Hand, what: What, log: Iterable[str] = ()) -> Change:
        ended, deaths = hand.container.exit, self._crashes.deaths(hand.slot)
        said = f"exit code {ended.code} after {ended.lived_seconds:.0f} s" if ended else ""
        said += ", out of memory" if ended and ended.out_of_memory else ""
        said += f", {deaths} times in a row" if deaths > 1 else ""
        said += f"; again in {backoff_seconds(deaths):.0f} s" if deaths else ""
        return Change(what, hand.slot.host, hand.slot.name, hand.container.node, said, tuple(log))

    def _remove(self, hand: Hand) -> None:
        with self._reaching(hand.slot.host):
            self._hosts[hand.slot.host].remove(hand.container)
            self._forget(hand)
            self._changes.append(Change("stopped", hand.slot.host, hand.slot.name, hand.container.node))

    def _forget(self, hand: Hand) -> None:
        view = self._views[hand.slot.host]
        kept = tuple(each for each in view.containers if each.id != hand.container.id)
        self._views[hand.slot.host] = replace(view, containers=kept)

    def _free_slots(self, crew: Crew) -> list[Slot]:
        """Where a worker can be started now: first where none died lately, then on the host that has fewest."""
        taken = {(name, gpu) for name, view in self._views.items() for gpu in view.taken}
        free = [
            each
            for each in self._slots
            if each.host not in self._away
            and each not in crew.occupied
            and (each.host, each.device) not in taken
            and not self._crashes.rest_seconds(each)
        ]
        crowd = Counter(each.host for each in crew.occupied)
        ranked: list[tuple[int, int, Slot]] = []
        for each in sorted(free, key=lambda each: (self._crashes.deaths(each), each)):
            ranked.append((self._crashes.deaths(each), crowd[each.host], each))
            crowd[each.host] += 1  # the next of this host comes after one of another
        return [slot for *_, slot in sorted(ranked)]

    def _start(self, slots: Sequence[Slot], crew: Crew) -> list[Member]:
        dead = {each.slot: each for each in crew.ended}
        started = [self._start_one(each, dead) for each in slots]
        return [each for each in started if each]

    def _start_one(self, slot: Slot, dead: Mapping[Slot, Hand]) -> Member | None:
        host, deaths = self._hosts[slot.host], self._crashes.deaths(slot)
        with self._reaching(slot.host), self._refusing(slot):
            if slot in dead:
                host.remove(dead[slot].container)
                self._forget(dead[slot])
            container = host.start(slot, self._order, deaths)
            self._started_at = time.monotonic()
            if container is None:
                return None
            view = self._views[slot.host]
            self._views[slot.host] = replace(view, containers=(*view.containers, container))
            if not self._crashes.is_looping(slot):
                self._changes.append(Change("started", slot.host, slot.name, container.node))
            return Member(container.node, "starting")
        return None

    def _drain(self, crew: Crew, names: Collection[str]) -> set[str]:
        """Mark them, then tell them: one that was told and is not marked would be there and take no job, for ever. By name."""
        marked = [each for each in crew.hands if each.container.node in names and self._mark(each)]
        self._draining.tell(marked)
        return {each.container.node for each in marked}

    def _mark(self, hand: Hand) -> bool:
        slot, busy = hand.slot, "after the job it has" if hand.member.state == "busy" else ""
        with self._reaching(slot.host):
            self._hosts[slot.host].mark_draining(hand.container)
            self._changes.append(Change("draining", slot.host, slot.name, hand.container.node, busy))
            return True
        return False

    def _stop_drained(self, crew: Crew) -> set[str]:
        """Stop them at the same time, for each takes some seconds; those that are gone, by name."""
        done = self._draining.done(crew.draining)
        with ThreadPoolExecutor(STOP_THREADS, thread_name_prefix="fleet") as pool:
            stopped = list(pool.map(self._stop, done))
        gone = [hand for hand, is_stopped in zip(done, stopped, strict=True) if is_stopped]
        for hand in gone:
            self._forget(hand)
            self._changes.append(Change("stopped", hand.slot.host, hand.slot.name, hand.container.node))
        return {hand.container.node for hand in gone}

    def _stop(self, hand: Hand) -> bool:
        with self._reaching(hand.slot.host):
            self._hosts[hand.slot.host].stop(hand.container, self._order.stop_seconds)
            return True
        return False

    @contextmanager
    def _reaching(self, name: str) -> Iterator[None]:
        """A host that is away is said once, and tried again at the next look; the others go on."""
        try:
            yield
        except HostUnavailable as error:
            if name not in self._away:
                self._changes.append(Change("away", name, note=error.message))
            self._away.add(name)

    @contextmanager
    def _refusing(self, slot: Slot) -> Iterator[None]:
        """What can never work ends the fleet at its first look; later the slot rests, and it is said once."""
        try:
            yield
        except ConfigurationError as error:
            if not self._looked:
                raise
            self._crashes.note_refusal(slot)
            if error.message not in self._refusals:
                self._changes.append(Change("refused", slot.host, slot.name, note=error.message))
            self._refusals.add(error.message)
