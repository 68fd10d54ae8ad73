"""Everything that can be known of pairs before money is spent: their rows, local files and stored inputs."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from contract.errors import BadRequest, Fault, InputNotFound, InputRejected
from contract.settings import Settings
from contract.storage import Storage, StoredObject
from producer.cells import refuse_size
from producer.pairs import Mention, Pair, Reading, read_pairs

THREADS = 16
NOTHING: Mapping[str, StoredObject] = MappingProxyType({})

Seen = StoredObject | InputRejected
"""A stored input, or why it can be none."""


@dataclass(frozen=True)
class Checked:
    """Pairs after everything that can be checked before money is spent."""

    name: str
    """What batches of them are named after: the stem of their CSV."""
    pairs: list[Pair]
    faults: list[Fault]
    pins: dict[str, StoredObject]
    """The stored inputs by address, as they are now."""
    pinned: bool
    """False: more stored inputs than `pin_limit`; none was looked at, and the key alone is the identity.

    What somebody has listed before is pinned all the same, and does not count."""
    contents: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of those stored inputs by address that lie under their content: that is their identity then."""

    @property
    def files(self) -> set[Path]:
        """The local files of the good rows."""
        places = (place for pair in self.pairs for place in (pair.video, pair.audio))
        return {place for place in places if isinstance(place, Path)}


def check(csv: Path, storage: Storage, settings: Settings) -> Checked:
    """Look at every row, every local file and, up to `pin_limit`, every stored object; change nothing.

    Raises:
        BadRequest: the CSV as a whole cannot be read.
        InputNotFound: there is no such CSV.
    """
    return check_reading(csv.stem, read_pairs(csv, settings), storage, settings)


def check_reading(
    name: str,
    reading: Reading,
    storage: Storage,
    settings: Settings,
    listed: Mapping[str, StoredObject] = NOTHING,
) -> Checked:
    """Look at every stored object of a reading, up to `pin_limit`, but for those that were `listed` a moment ago."""
    addresses = _distinct(reading, settings.pin_limit, listed)
    with ThreadPoolExecutor(THREADS) as pool:
        looked = pool.map(lambda each: _look(storage, each, settings), addresses or ())
        seen = _listed(reading, listed, settings) | dict(zip(addresses or (), looked, strict=True))
    refused = {address: error for address, error in seen.items() if isinstance(error, InputRejected)}
    reading.reject(
        [_fault(each, refused[each.address]) for each in reading.mentions() if each.address in refused]
    )
    pins = {address: found for address, found in seen.items() if isinstance(found, StoredObject)}
    return Checked(name, reading.pairs, reading.faults, pins, pinned=addresses is not None)


def refuse_faults(checked: Checked, skip_bad: bool) -> None:
    """Return if the good rows may be submitted.

    Raises:
        BadRequest: rows have faults and are not to be skipped, or no row is good.
    """
    bad = len({fault.line for fault in checked.faults})
    if not bad or (skip_bad and checked.pairs):
        return
    total = bad + len(checked.pairs)
    remedy = "correct them, or submit the others with --skip-bad" if checked.pairs else "correct them"
    raise BadRequest(f"{bad:,} of {total:,} rows cannot become jobs; {remedy}", checked.faults)


def _distinct(reading: Reading, limit: int, listed: Iterable[str]) -> list[str] | None:
    """The stored inputs that nobody has listed, each once; None if there are more than `limit`."""
    addresses: dict[str, None] = {}
    for mention in reading.mentions():
        if mention.address not in listed:
            addresses[mention.address] = None
        if len(addresses) > limit:
            return None
    return list(addresses)


def _listed(reading: Reading, listed: Mapping[str, StoredObject], settings: Settings) -> dict[str, Seen]:
    addresses = {mention.address for mention in reading.mentions()} & listed.keys()
    return {address: _sized(address, listed[address], settings) for address in addresses}


def _look(storage: Storage, address: str, settings: Settings) -> Seen:
    try:
        found = storage.stat(address)
    except InputRejected as error:
        return error
    return _sized(address, found, settings) if found else InputNotFound(f"{address} does not exist")


def _sized(address: str, found: StoredObject, settings: Settings) -> Seen:
    try:
        refuse_size(address, found.bytes, settings)
    except InputRejected as error:
        return error
    return found


def _fault(mention: Mention, error: InputRejected) -> Fault:
    return Fault(mention.line, f"{mention.column} {error.message}", error.code)
