"""CSVs in a drop folder: relative names mean objects beside them, `s3://` as always, and never a file of this machine."""

import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from contract.errors import BadRequest, InputRejected
from contract.settings import Settings
from contract.storage import Storage, StoredObject
from producer.cells import Place, has_scheme, place_of
from producer.check import Checked, check_reading
from producer.pairs import Reading, pairs_of
from producer.table import read_table
from producer.watch.folder import Content, Folder
from producer.watch.names import content_id

NOWHERE = Path("nowhere")
"""What relative paths would start at; no cell that gets so far is one."""
MAX_BYTES = 256 * 2**20
"""A million rows and more."""


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV, and what of the folder it names."""

    name: str
    csv: StoredObject
    inputs: tuple[StoredObject, ...]
    """Those that are there."""

    @property
    def parts(self) -> tuple[StoredObject, ...]:
        """All of it."""
        return (self.csv, *self.inputs)

    def id(self, folder: Folder) -> str:
        """SHA-256 of what it is made of: with other inputs under the same names it is another one."""
        return content_id(folder, self.parts)


class Tables:
    """Reads each version of a CSV once to know what it names, and again to submit it."""

    def __init__(self, storage: Storage, folder: Folder, settings: Settings) -> None:
        self._storage = storage
        self._folder = folder
        self._settings = settings
        self._named: dict[str, tuple[str, frozenset[str]]] = {}
        """By key: the version that was read, and the keys that it names."""

    def among(self, content: Content) -> list[Table]:
        """The CSVs of the folder, in the order of their keys."""
        self._named = {key: known for key, known in self._named.items() if key in content.tables}
        return [self._table(csv, content) for csv in content.tables.values()]

    def check(self, table: Table) -> Checked:
        """The CSV after everything that can be checked before money is spent.

        Raises:
            InputRejected: it cannot be read as a whole, or rows of it have faults.
        """
        listed = {self._folder.address(each.key): each for each in table.inputs}
        checked = check_reading(table.name, self._read(table.csv), self._storage, self._settings, listed)
        if bad := len({fault.line for fault in checked.faults}):
            total = bad + len(checked.pairs)
            raise BadRequest(
                f"{bad:,} of {total:,} rows cannot become jobs, and none of it is submitted; correct them",
                checked.faults,
            )
        return checked

    def _table(self, csv: StoredObject, content: Content) -> Table:
        name = PurePosixPath(csv.key).stem
        inputs = (content.inputs.get(key) for key in sorted(self._names(csv)))
        return Table(name, csv, tuple(each for each in inputs if each))

    def _names(self, csv: StoredObject) -> frozenset[str]:
        etag, names = self._named.get(csv.key, (None, frozenset()))
        if etag != csv.etag:
            try:
                names = self._mentioned(self._read(csv))
            except InputRejected:  # `check` says so
                names = frozenset()
            self._named[csv.key] = csv.etag, names
        return names

    def _mentioned(self, reading: Reading) -> frozenset[str]:
        start = self._folder.address()
        bucket = f"s3://{self._folder.bucket}/"
        addresses = (each.address for each in reading.mentions())
        return frozenset(each.removeprefix(bucket) for each in addresses if each.startswith(start))

    def _read(self, csv: StoredObject) -> Reading:
        name = csv.key.removeprefix(self._folder.prefix)
        if csv.bytes > MAX_BYTES:
            raise BadRequest(f"{name} has {csv.bytes:,} bytes; a CSV has at most {MAX_BYTES:,}")
        address = self._folder.address(csv.key)
        beside = address.rpartition("/")[0]
        with tempfile.TemporaryDirectory(prefix="dubline-drop-") as scratch:
            path = Path(scratch) / "dropped.csv"
            self._storage.download(address, path, etag=csv.etag)
            return pairs_of(
                read_table(path, name),
                name,
                lambda text: _place(text, beside, self._settings),
                self._settings,
            )


def _place(text: str, beside: str, settings: Settings) -> Place:
    """Where an input lies: always an address, for a CSV that somebody dropped must not read this machine's files."""
    if text and not has_scheme(text):
        path = PurePosixPath(text)
        if path.is_absolute() or ".." in path.parts:
            raise BadRequest(f"{text} leads away from the CSV; write a name beside it, or s3://bucket/key")
        text = f"{beside}/{path}"
    return place_of(text, NOWHERE, settings)
