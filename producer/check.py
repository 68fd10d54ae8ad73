"""Everything that can be known of a CSV before money is spent: its rows, its local files, its stored inputs."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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

    csv: Path
    pairs: list[Pair]
    faults: list[Fault]
    pins: dict[str, StoredObject]
    """The stored inputs by address, as they are now."""
    pinned: bool
    """False: more stored inputs than `pin_limit`; none was looked at, and the key alone is the identity."""

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
    reading = read_pairs(csv, settings)
    addresses = _distinct(reading, settings.pin_limit)
    if addresses is None:
        return Checked(csv, reading.pairs, reading.faults, {}, pinned=False)
    with ThreadPoolExecutor(THREADS) as pool:
        seen = dict(
            zip(addresses, pool.map(lambda each: _look(storage, each, settings), addresses), strict=True)
        )
    refused = {address: error for address, error in seen.items() if isinstance(error, InputRejected)}
    reading.reject(
        [_fault(each, refused[each.address]) for each in reading.mentions() if each.address in refused]
    )
    pins = {address: found for address, found in seen.items() if isinstance(found, StoredObject)}
    return Checked(csv, reading.pairs, reading.faults, pins, pinned=True)


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
