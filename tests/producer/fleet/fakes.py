"""A host of the tests' own: containers that do what a test says. And workers that answer what it says."""

import itertools
from dataclasses import replace

from contract.errors import BrokerUnavailable, ConfigurationError, HostUnavailable
from producer.fleet.host import Container, Exit, HostView

NUMBERS = itertools.count(1)


class FakeHost:
    """An engine without one."""

    def __init__(self, name="here"):
        self.name = name
        self.containers = {}
        self.taken = frozenset()
        self.is_away = False
        self.refuses = None
        self.started, self.stopped, self.removed = [], [], []
        self.log = ["Traceback", "it broke"]

    def look(self):
        self._reach()
        return HostView(tuple(self.containers.values()), self.taken)

    def start(self, slot, order, deaths):
        self._reach()
        if self.refuses:
            raise ConfigurationError(self.refuses)
        running = [each.slot for each in self.containers.values() if not each.exit and not each.draining]
        assert slot.name not in running, "an engine has one container of a name"
        number = next(NUMBERS)
        made = Container(f"id{number}", f"dubline-{slot.name}", slot.name, f"host{number}", deaths=deaths)
        self.containers[made.id] = made
        self.started.append(slot.name)
        return made

    def mark_draining(self, container):
        self._reach()
        self.containers[container.id] = replace(container, draining=True)

    def stop(self, container, seconds):
        self._reach()
        self.stopped.append(container.node)
        del self.containers[container.id]

    def remove(self, container):
        self._reach()
        assert container.exit, "a container that runs is never removed"
        self.removed.append(container.node)
        del self.containers[container.id]

    def last_lines(self, container, lines):
        return self.log[-lines:]

    def crash(self, lived=2.0, code=1):
        """All that run end."""
        for each in list(self.containers.values()):
            self.containers[each.id] = replace(each, exit=each.exit or Exit(code, lived))

    @property
    def nodes(self):
        return [each.node for each in self.containers.values() if not each.exit]

    def _reach(self):
        if self.is_away:
            raise HostUnavailable(f"the container engine of {self.name} does not answer")


class FakeControl:
    """Workers that answer, but for those that a test makes deaf."""

    def __init__(self):
        self.deaf = set()
        self.is_away = False
        self.told = set()
        self.holding = {}

    def stop_consuming(self, names):
        if self.is_away:
            raise BrokerUnavailable("Redis does not take messages")
        heard = frozenset(names) - self.deaf
        self.told |= heard
        return heard

    def held(self, names):
        return {each: self.holding.get(each, 0) for each in names if each not in self.deaf}
