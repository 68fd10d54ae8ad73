"""Which source picture is shown at which output position."""

from collections.abc import Iterator
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, Protocol

from worker.media.child.film import Placed

if TYPE_CHECKING:  # the child is started often and needs none of pydantic
    from contract.job import SyncMode


class Source(Protocol):
    """A film or a still."""

    def forward(self) -> Iterator[Placed]: ...
    def backward(self) -> Iterator[Placed]: ...


def in_order(source: Source, mode: "SyncMode", length: int) -> Iterator[Placed]:
    """`length` pictures with their source positions; fewer only for `cut`, where the source ends first.

    bounce and silence mirror the source with both end points doubled (0 1 2 2 1 0 0 1 ...), loop starts it
    again, freeze holds its last picture.
    """
    return islice(chain.from_iterable(_passes(source, mode)), length)


def _passes(source: Source, mode: "SyncMode") -> Iterator[Iterator[Placed]]:
    if mode == "freeze":
        yield _held(source.forward())
    yield source.forward()
    while mode != "cut":
        yield source.forward() if mode == "loop" else source.backward()
        yield source.forward()


def _held(placed: Iterator[Placed]) -> Iterator[Placed]:
    last: Placed | None = None
    for last in placed:
        yield last
    if last is not None:
        yield from repeat(last)
