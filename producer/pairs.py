"""The rows of a CSV as pairs to render, read with suspicion: every fault of every row, before anything is spent."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from contract.errors import BadRequest, Fault, InputRejected
from contract.job import JobOptions, Priority
from contract.settings import Settings
from contract.weburl import is_web
from producer.cells import Place, id_of, made_id, options_of, place_of, priority_of, time_limit_of, webhook_of
from producer.table import OPTIONS, Record, read_table

T = TypeVar("T")
V = TypeVar("V")

Resolve = Callable[[str], Place]
"""Where the input lies that a cell names; raises `InputRejected` where it means nothing."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One good row: what to render from what, under which name. Nothing is uploaded yet."""

    line: int
    id: str
    video: Place
    audio: Place
    options: JobOptions
    priority: Priority
    time_limit_seconds: float | None = None
    """Of one attempt; None: the setting's."""
    webhook_url: str | None = None
    """Who is told that it has ended."""


@dataclass(frozen=True, slots=True)
class Mention:
    """One `s3://` address and the cell that names it."""

    line: int
    column: str
    address: str


@dataclass
class Reading:
    """What a CSV holds: the pairs that can become jobs, and what is wrong with the other rows."""

    pairs: list[Pair] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    strays: list[Mention] = field(default_factory=list)
    """Addresses in rows that have a fault already; they may hold another one."""

    def mentions(self) -> Iterator[Mention]:
        """Every `s3://` address of the CSV with its cell."""
        for pair in self.pairs:
            yield from _stored(pair.line, pair.video, pair.audio)
        yield from self.strays

    def reject(self, faults: list[Fault]) -> None:
        """Take out the pairs of those lines."""
        lines = {fault.line for fault in faults}
        self.pairs = [pair for pair in self.pairs if pair.line not in lines]
        self.faults = sorted([*self.faults, *faults], key=lambda fault: fault.line)


def read_pairs(path: Path, settings: Settings) -> Reading:
    """The pairs of a CSV, and the faults of all its rows. Local files are looked at, stored objects are not.

    Raises:
        BadRequest: the file as a whole cannot be read: its encoding, its header, or no rows at all.
        InputNotFound: there is no such file.
    """
    folder = path.parent
    return pairs_of(read_table(path), str(path), lambda text: place_of(text, folder, settings), settings)


def pairs_of(records: Iterable[Record], name: str, resolve: Resolve, settings: Settings) -> Reading:
    """The pairs that records of any origin ask for, and the faults of all of them.

    Raises:
        BadRequest: there are no records; `name` says where.
    """
    rows = _Rows(resolve, settings)
    for record in records:
        rows.add(record)
    if not rows.reading.pairs and not rows.reading.faults:
        raise BadRequest(f"{name} has a header and no rows")
    return rows.reading


@dataclass
class _Rows:
    """Reads row after row, and remembers what two rows must not share."""

    resolve: Resolve
    settings: Settings
    reading: Reading = field(default_factory=Reading)
    _places: dict[str, Place] = field(default_factory=dict)
    """By text: a file that many rows name is looked at once."""
    _lines: dict[str, int] = field(default_factory=dict)
    """By output name."""

    def add(self, record: Record) -> None:
        """Into the pairs if all of it is right, else into the faults."""
        cells, trial = record.cells, _Trial(record.line)
        if record.problem:
            self.reading.faults.append(Fault(record.line, record.problem))
            return
        video = trial.value("video ", self._place, cells.get("video", ""))
        audio = trial.value("audio ", self._place, cells.get("audio", ""))
        options, problems = options_of(tuple(cells.get(name, "") for name in OPTIONS), self.settings.engine)
        trial.faults += [Fault(record.line, problem) for problem in problems]
        priority = trial.value("", priority_of, cells.get("priority", ""))
        limit = trial.value("", time_limit_of, cells.get("time_limit", ""))
        webhook = trial.value("webhook_url ", self._webhook, cells.get("webhook_url", ""))
        # an id made of cells that mean nothing would only repeat what is wrong with them
        name = trial.value("", self._unique_id, record) if cells.get("id") or (video and audio) else None
        if video and audio and options and priority and name and not trial.faults:
            pair = Pair(record.line, name, video, audio, options, priority, limit, webhook)
            self.reading.pairs.append(pair)
        else:
            self.reading.faults += trial.faults
            self.reading.strays += _stored(record.line, video, audio)

    def _place(self, text: str) -> Place:
        if text not in self._places:
            self._places[text] = self.resolve(text)
        return self._places[text]

    def _webhook(self, text: str) -> str | None:
        return webhook_of(text, self.settings)

    def _unique_id(self, record: Record) -> str:
        cells = record.cells
        name = id_of(cells.get("id") or made_id(cells.get("video", ""), cells.get("audio", "")))
        first = self._lines.setdefault(file_name(name), record.line)
        if first != record.line:
            raise BadRequest(f"id {name!r} writes the same output as line {first}; give each row its own id")
        return name


@dataclass
class _Trial:
    """Collects what is wrong with one row, so that one fault does not hide the next."""

    line: int
    faults: list[Fault] = field(default_factory=list)

    def value(self, where: str, meaning: Callable[[T], V], cell: T) -> V | None:
        """What the cell means; None where it means nothing, and a fault tells why."""
        try:
            return meaning(cell)
        except InputRejected as error:
            self.faults.append(Fault(self.line, where + error.message, error.code))
            return None


def file_name(row: str) -> str:
    """Equal for ids that one file of a disk blind to case or to Unicode composition would hold."""
    return row.lower() if row.isascii() else unicodedata.normalize("NFC", row).casefold()


def _stored(line: int, video: Place | None, audio: Place | None) -> Iterator[Mention]:
    for column, place in (("video", video), ("audio", audio)):
        if isinstance(place, str) and not is_web(place):
            yield Mention(line, column, place)
