"""A few of many: items evenly spaced over a stream whose length nobody knows yet."""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass
class Spread(Generic[Item]):
    """Keeps every item while they are at most `most`, then every second, fourth, eighth of all, and so on.

    So it holds more than half of `most` once there were that many, the same ones for the same stream.
    """

    most: int
    stride: int = 1
    items: list[Item] = field(default_factory=list)
    """Those of positions 0, stride, 2 stride, ..., in order."""

    def wants(self, position: int) -> bool:
        """Whether the item at that position would be kept as things stand."""
        return position % self.stride == 0

    def add(self, position: int, item: Item) -> None:
        """The item at that position, from 0, later than all before; not kept where it is not wanted any more."""
        if not self.wants(position):
            return
        self.items.append(item)
        if len(self.items) > self.most:
            del self.items[1::2]
            self.stride *= 2
