"""Looks at a drop folder again and again, and has what is complete there submitted once."""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from contract import keys
from contract.errors import InputChanged, InputRejected, NoPartner, TemporaryFailure
from contract.metrics import WatchMetrics
from contract.settings import Settings
from contract.storage import Storage
from producer.submit import name_batch
from producer.watch.archive import Archive
from producer.watch.batching import Batching, Good, Place, Submitted, put
from producer.watch.claims import Claims
from producer.watch.doorbell import Doorbell
from producer.watch.folder import TABLE_SUFFIX, Folder, look_into
from producer.watch.names import Dropped, Half, Refused, sort_out
from producer.watch.reports import Report, Reports
from producer.watch.scan import SETTLE, Look, Scan
from producer.watch.tables import Table, Tables
from producer.watch.vetting import vet

logger = logging.getLogger(__name__)

RECHECK = timedelta(seconds=300)
"""A refused CSV of which nothing in the folder changes is checked again after so long: it may name objects elsewhere."""


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
        self.metrics = WatchMetrics()

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
                rows = [each.rows for each in scan.submitted]
                self.metrics.looked(scan.objects, len(scan.singles), len(scan.refused), rows)
                seen(scan)
                doorbell.answered(heard)
                unsettled = scan.unsettled
            except TemporaryFailure as error:
                if not waiting:
                    logger.warning("the watcher waits: %s", error)
                waiting = True
                self.metrics.look_failed(error.code)
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
        look = Look(Scan(self._folder.address(), len(content)), now, content)
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

    def _see_table(self, look: Look, table: Table) -> None:
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

    def _submit_table(self, look: Look, each: str, table: Table) -> None:
        """Have a CSV submitted under the name that its claim gives it; whoever else does so puts the same."""
        if each in self._batches:
            return
        batch = self._claims.standing([each]).get(each)
        if batch is None or self._storage.stat(keys.rows(batch)) is None:
            checked = self._tables.check(table)
            batch = self._claims.claim([each], name_batch(table.name, each.encode()))[each]
            self._note(look, put(self._storage, checked, batch))
        self._batches[each] = batch

    def _see_names(self, look: Look, taken: set[str]) -> dict[str, Good]:
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
        vetted = vet(self._storage, self._folder, self._settings, fresh)
        look.scan.unsettled += vetted.changed
        for each, report in vetted.refused.items():
            self._refuse(look, each, report)
        return vetted.good

    def _see_half(self, look: Look, half: Half) -> None:
        look.scan.singles.append(half)
        if (look.now - half.since).total_seconds() > self._settings.drop_single_seconds:
            look.refuse(Report.of(half.name, NoPartner(_lonely(half))))

    def _see_pair(self, look: Look, pair: Dropped, fresh: dict[str, Dropped]) -> None:
        each = pair.id(self._folder)
        if known := self._refused.get(each):
            look.refuse(known[0])
        elif each not in self._places:
            fresh[each] = pair
        look.pairs[each] = pair

    def _refuse(self, look: Look, each: str, report: Report) -> None:
        self._refused[each] = report, look.now
        look.refuse(report)

    def _submit(self, look: Look, good: dict[str, Good]) -> None:
        for settled in self._batching.submit(good, look.now):
            self._places |= settled.places
            self._note(look, settled.submitted)
            if (
                self._stop.is_set()
            ):  # ten thousand pairs take half a minute; whoever looks next takes the rest
                break
        look.scan.pending = len(good.keys() - self._places.keys())
        look.scan.pairs = len(look.pairs.keys() & self._places.keys())

    def _note(self, look: Look, submitted: Submitted | None) -> None:
        if submitted:
            look.scan.submitted.append(submitted)
            logger.info(
                "batch %s: %d rows submitted from %s",
                submitted.batch,
                submitted.rows,
                look.scan.folder,
                extra={"batch": submitted.batch},
            )

    def _forget(self, look: Look) -> None:
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
