"""Looks at a drop folder again and again, and has what is complete there submitted once."""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby

from contract import keys
from contract.errors import BadRequest, InputChanged, InputRejected, NoPartner, TemporaryFailure
from contract.settings import Settings
from contract.storage import Storage, StoredObject
from producer.cells import Place as CellPlace
from producer.cells import place_of
from producer.check import check_reading
from producer.pairs import pairs_of
from producer.submit import name_batch
from producer.table import Record
from producer.watch.archive import Archive
from producer.watch.batching import Batching, Good, Place, Submitted, put
from producer.watch.claims import Claims
from producer.watch.doorbell import Doorbell
from producer.watch.folder import TABLE_SUFFIX, Content, Folder, look_into
from producer.watch.names import Dropped, Half, Refused, sort_out
from producer.watch.options import read_options
from producer.watch.reports import Report, Reports
from producer.watch.tables import NOWHERE, Table, Tables

logger = logging.getLogger(__name__)

THREADS = 16
SETTLE = timedelta(seconds=5)
"""What was written later may yet be written again, or get its options."""
RECHECK = timedelta(seconds=300)
"""A refused CSV of which nothing in the folder changes is checked again after so long: it may name objects elsewhere."""


@dataclass
class Scan:
    """What one look at the folder saw and did."""

    folder: str
    objects: int = 0
    pairs: int = 0
    """That are in a batch, now or before."""
    tables: int = 0
    """CSVs, likewise."""
    submitted: list[Submitted] = field(default_factory=list)
    unsettled: int = 0
    """Names and CSVs that were written to a moment ago."""
    pending: int = 0
    """Claimed by another watcher that has not submitted them yet."""
    singles: list[Half] = field(default_factory=list)
    refused: list[Report] = field(default_factory=list)
    archived: int = 0
    """Objects."""
    ignored: int = 0
    """Objects that are neither video nor audio nor options."""


@dataclass
class _Look:
    """What one look has found so far."""

    scan: Scan
    now: datetime
    """By the store's clock."""
    content: Content
    pairs: dict[str, Dropped] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)
    """By what they are about, as a path below the folder."""

    def is_settled(self, parts: Iterable[StoredObject]) -> bool:
        settled = all(each.modified <= self.now - SETTLE for each in parts)
        self.scan.unsettled += not settled
        return settled

    def refuse(self, report: Report) -> None:
        before = self.reports.get(report.name)
        self.reports[report.name] = before + report if before else report


class Watcher:
    """Remembers what it knows to be submitted; all else it sees anew in each look."""

    def __init__(
        self, storage: Storage, settings: Settings, folder: Folder, *, archive: bool = False
    ) -> None:
        self._storage = storage
        self._settings = settings
        self._folder = folder
        self._tables = Tables(storage, folder, settings)
        self._batching = Batching(storage, folder.name)
        self._claims = Claims(storage)
        self._reports = Reports(storage, folder)
        self._archive = Archive(storage, folder) if archive else None
        self._places: dict[str, Place] = {}
        """By id: pairs of the folder that are in a batch."""
        self._batches: dict[str, str] = {}
        """By id: the batches of CSVs of the folder."""
        self._refused: dict[str, tuple[Report, datetime]] = {}
        """By id, and since when: nothing of it changes while the id is the same."""
        self._stop = threading.Event()

    def run(self, stop: threading.Event, doorbell: Doorbell, seen: Callable[[Scan], None]) -> None:
        """Look until told to stop, at each interval and when it rings; an outage is said once and waited for.

        Raises:
            ConfigurationError: a credential or a setting is wrong.
            InputRejected: the folder's bucket is not there, or refuses us.
        """
        self._stop = stop
        waiting = False
        while not stop.is_set():
            heard = doorbell.heard()
            unsettled = 0
            try:
                scan = self.scan()
                seen(scan)
                doorbell.answered(heard)
                unsettled = scan.unsettled
            except TemporaryFailure as error:
                if not waiting:
                    logger.warning("the watcher waits: %s", error)
                waiting = True
            else:
                if waiting:
                    logger.info("the watcher goes on")
                waiting = False
            doorbell.wait(SETTLE.total_seconds() if unsettled else None)

    def scan(self) -> Scan:
        """Look at everything once.

        Raises:
            TemporaryFailure: the store is away; the next look takes up where this one stopped.
        """
        # 1. What lies there. Whatever is younger than a few seconds waits for the next look.
        now = self._storage.clock(self._folder.address())
        content = look_into(self._storage, self._folder)
        look = _Look(Scan(self._folder.address(), len(content)), now, content)
        # 2. CSVs come first: what they name is theirs, and no pair of its own.
        tables = self._tables.among(content)
        for table in tables:
            self._see_table(look, table)
        # 3. What else belongs together, and what of it is good and not submitted yet.
        taken = {each.key for table in tables for each in table.inputs}
        good = self._see_names(look, taken)
        # 4. Each good pair into one batch.
        self._submit(look, good)
        # 5. What is wrong is told beside it, and what is done with may go.
        self._reports.tell(look.reports, content.reports)
        look.scan.refused = list(look.reports.values())
        self._forget(look)
        if self._archive:
            look.scan.archived = self._archive.tidy(look.pairs, look.tables, self._places, self._batches)
        return look.scan

    def _see_table(self, look: _Look, table: Table) -> None:
        if not look.is_settled(table.parts):
            return
        each = table.id(self._folder)
        look.tables[each] = table
        known = self._refused.get(each)
        if known and look.now - known[1] < RECHECK:
            look.refuse(known[0])
            return
        try:
            self._submit_table(look, each, table)
        except InputChanged:  # in this moment: the next look sees another version
            look.scan.unsettled += 1
        except InputRejected as error:
            name = table.csv.key.removeprefix(self._folder.prefix)[: -len(TABLE_SUFFIX)]
            self._refuse(look, each, Report.of(name, error, with_lines=True))
        else:
            look.scan.tables += 1

    def _submit_table(self, look: _Look, each: str, table: Table) -> None:
        """Have a CSV submitted under the name that its claim gives it; whoever else does so puts the same."""
        if each in self._batches:
            return
        batch = self._claims.standing([each]).get(each)
        if batch is None or self._storage.stat(keys.rows(batch)) is None:
            checked = self._tables.check(table)
            batch = self._claims.claim([each], name_batch(table.name, each.encode()))[each]
            self._note(look, put(self._storage, checked, batch))
        self._batches[each] = batch

    def _see_names(self, look: _Look, taken: set[str]) -> dict[str, Good]:
        """The pairs that can become jobs and are not known to be in a batch."""
        fresh: dict[str, Dropped] = {}
        for found, parts in sort_out(self._folder, look.content, taken):
            if found is None:
                look.scan.ignored += len(parts)
            elif isinstance(found, Half):
                self._see_half(look, found)
            elif not look.is_settled(parts):
                continue
            elif isinstance(found, Refused):
                look.refuse(Report.of(found.name, found.error))
            else:
                self._see_pair(look, found, fresh)
        return self._good(look, fresh)

    def _see_half(self, look: _Look, half: Half) -> None:
        look.scan.singles.append(half)
        if (look.now - half.since).total_seconds() > self._settings.drop_single_seconds:
            look.refuse(Report.of(half.name, NoPartner(_lonely(half))))

    def _see_pair(self, look: _Look, pair: Dropped, fresh: dict[str, Dropped]) -> None:
        each = pair.id(self._folder)
        if known := self._refused.get(each):
            look.refuse(known[0])
        elif each not in self._places:
            fresh[each] = pair
        look.pairs[each] = pair

    def _good(self, look: _Look, fresh: dict[str, Dropped]) -> dict[str, Good]:
        """Those of the pairs that can become jobs; the same code as a CSV's rows decides."""
        if not fresh:
            return {}
        ids = list(fresh)
        records = [Record(line, cells) for line, cells in enumerate(self._cells(look, fresh)) if cells]
        if not records:
            return {}
        reading = pairs_of(records, self._folder.name, self._place, self._settings)
        listed = {self._folder.address(part.key): part for pair in fresh.values() for part in pair.parts}
        checked = check_reading(self._folder.name, reading, self._storage, self._settings, listed)
        for line, faults in groupby(checked.faults, key=lambda fault: fault.line):
            error = BadRequest("it cannot become a job", tuple(faults))
            self._refuse(look, ids[line], Report.of(fresh[ids[line]].name, error))
        good = ((ids[pair.line], pair) for pair in checked.pairs)
        return {each: Good(each, pair, fresh[each].video, fresh[each].audio) for each, pair in good}

    def _place(self, text: str) -> CellPlace:
        return place_of(text, NOWHERE, self._settings)

    def _cells(self, look: _Look, fresh: dict[str, Dropped]) -> Sequence[dict[str, str] | None]:
        """Each pair as the row of a CSV that would ask for the same; None where its options are no such thing."""
        with ThreadPoolExecutor(THREADS) as pool:
            options = list(pool.map(self._options, fresh.values()))
        rows: list[dict[str, str] | None] = []
        for (each, pair), read in zip(fresh.items(), options, strict=True):
            if isinstance(read, BadRequest):
                self._refuse(look, each, Report.of(pair.name, read))
            look.scan.unsettled += read is None
            rows.append(self._row(pair, read) if isinstance(read, dict) else None)
        return rows

    def _options(self, pair: Dropped) -> dict[str, str] | BadRequest | None:
        try:
            return read_options(self._storage, self._folder, pair.options) if pair.options else {}
        except BadRequest as error:
            return error

    def _row(self, pair: Dropped, options: dict[str, str]) -> dict[str, str]:
        address = self._folder.address
        return {
            "id": pair.name,
            "video": address(pair.video.key),
            "audio": address(pair.audio.key),
            **options,
        }

    def _refuse(self, look: _Look, each: str, report: Report) -> None:
        self._refused[each] = report, look.now
        look.refuse(report)

    def _submit(self, look: _Look, good: dict[str, Good]) -> None:
        for submitted, places in self._batching.submit(good, look.now):
            self._places |= places
            self._note(look, submitted)
            if (
                self._stop.is_set()
            ):  # ten thousand pairs take half a minute; whoever looks next takes the rest
                break
        look.scan.pending = len(good.keys() - self._places.keys())
        look.scan.pairs = len(look.pairs.keys() & self._places.keys())

    def _note(self, look: _Look, submitted: Submitted | None) -> None:
        if submitted:
            look.scan.submitted.append(submitted)
            logger.info(
                "batch %s: %d rows submitted from %s", submitted.batch, submitted.rows, look.scan.folder
            )

    def _forget(self, look: _Look) -> None:
        """What is not in the folder any more."""
        self._places = {each: place for each, place in self._places.items() if each in look.pairs}
        self._batches = {each: batch for each, batch in self._batches.items() if each in look.tables}
        self._refused = {
            each: known for each, known in self._refused.items() if each in look.pairs or each in look.tables
        }


def _lonely(half: Half) -> str:
    since = half.since.astimezone(UTC)
    others = f"; of no type that Dubline takes: {', '.join(half.others)}" if half.others else ""
    return (
        f"there is {half.has} of the name {half.name}, and since {since:%Y-%m-%d %H:%M:%S} UTC no {half.needs}; "
        f"put it beside, or remove what is there{others}"
    )
