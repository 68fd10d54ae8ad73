"""Everything that can be known of a CSV before money is spent: its rows, its local files, its stored inputs."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from contract.errors import BadRequest, Fault, InputNotFound, InputRejected
from contract.settings import Settings
from contract.storage import Storage, StoredObject
from producer.cells import refuse_size
from producer.pairs import Mention, Pair, Reading, read_pairs

THREADS = 16


@dataclass(frozen=True)
class Checked:
    """A CSV after everything that can be checked before money is spent."""

    name: str
    """What batches of them are named after: the stem of their CSV."""
    pairs: list[Pair]
    faults: list[Fault]
    pins: dict[str, StoredObject]
    """The stored inputs by address, as they are now."""
    pinned: bool
    """False: more stored inputs than `pin_limit`; none was looked at, and the key alone is the identity."""
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


def check_reading(name: str, reading: Reading, storage: Storage, settings: Settings) -> Checked:
    """Look at every stored object of a reading, up to `pin_limit`."""
    addresses = _distinct(reading, settings.pin_limit)
    if addresses is None:
        return Checked(name, reading.pairs, reading.faults, {}, pinned=False)
    with ThreadPoolExecutor(THREADS) as pool:
        seen = dict(
            zip(addresses, pool.map(lambda each: _look(storage, each, settings), addresses), strict=True)
        )
    refused = {address: error for address, error in seen.items() if isinstance(error, InputRejected)}
    reading.reject(
        [_fault(each, refused[each.address]) for each in reading.mentions() if each.address in refused]
    )
    pins = {address: found for address, found in seen.items() if isinstance(found, StoredObject)}
    return Checked(name, reading.pairs, reading.faults, pins, pinned=True)


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


def _distinct(reading: Reading, limit: int) -> list[str] | None:
    """The stored inputs, each once; None if there are more than `limit`."""
    addresses: dict[str, None] = {}
    for mention in reading.mentions():
        addresses[mention.address] = None
        if len(addresses) > limit:
            return None
    return list(addresses)


def _look(storage: Storage, address: str, settings: Settings) -> StoredObject | InputRejected:
    try:
        found = storage.stat(address)
        if found is None:
            raise InputNotFound(f"{address} does not exist")
        refuse_size(address, found.bytes, settings)
    except InputRejected as error:
        return error
    return found


def _fault(mention: Mention, error: InputRejected) -> Fault:
    return Fault(mention.line, f"{mention.column} {error.message}", error.code)
