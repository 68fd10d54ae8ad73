"""Which pairs of the folder can become jobs: what a CSV with the same words in its cells would be told, they are told."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby

from contract.errors import BadRequest
from contract.settings import Settings
from contract.storage import Storage
from producer.cells import Place, place_of
from producer.check import check_reading
from producer.pairs import pairs_of
from producer.table import Record
from producer.watch.batching import Good
from producer.watch.folder import Folder
from producer.watch.names import Dropped
from producer.watch.options import read_options
from producer.watch.reports import Report
from producer.watch.tables import NOWHERE

THREADS = 16


@dataclass
class Vetted:
    """Pairs by id."""

    good: dict[str, Good] = field(default_factory=dict)
    refused: dict[str, Report] = field(default_factory=dict)
    changed: int = 0
    """Those whose options were replaced in this moment; the next look sees others."""


def vet(storage: Storage, folder: Folder, settings: Settings, pairs: Mapping[str, Dropped]) -> Vetted:
    """Read the options of pairs and check all of it, as `submit` would; inputs are not asked for, they were just listed."""
    vetted, ids = Vetted(), list(pairs)
    records = _records(storage, folder, pairs, vetted)
    if not records:
        return vetted

    def resolve(text: str) -> Place:
        return place_of(text, NOWHERE, settings)

    reading = pairs_of(records, folder.name, resolve, settings)
    listed = {folder.address(part.key): part for pair in pairs.values() for part in pair.parts}
    checked = check_reading(folder.name, reading, storage, settings, listed)
    for line, faults in groupby(checked.faults, key=lambda fault: fault.line):
        error = BadRequest("it cannot become a job", tuple(faults))
        vetted.refused[ids[line]] = Report.of(pairs[ids[line]].name, error)
    for pair in checked.pairs:
        each = ids[pair.line]
        vetted.good[each] = Good(each, pair, pairs[each].video, pairs[each].audio)
    return vetted


def _records(storage: Storage, folder: Folder, pairs: Mapping[str, Dropped], vetted: Vetted) -> list[Record]:
    """Each pair as the row of a CSV, its line being its place among them; without those whose options cannot be read."""

    def read(pair: Dropped) -> dict[str, str] | BadRequest | None:
        try:
            return read_options(storage, folder, pair.options) if pair.options else {}
        except BadRequest as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        options = list(pool.map(read, pairs.values()))
    records = []
    for line, ((each, pair), found) in enumerate(zip(pairs.items(), options, strict=True)):
        if isinstance(found, BadRequest):
            vetted.refused[each] = Report.of(pair.name, found)
        elif found is None:
            vetted.changed += 1
        else:
            records.append(Record(line, _cells(folder, pair) | found))
    return records


def _cells(folder: Folder, pair: Dropped) -> dict[str, str]:
    return {
        "id": pair.name,
        "video": folder.address(pair.video.key),
        "audio": folder.address(pair.audio.key),
    }
