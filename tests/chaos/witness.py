"""Who reads along: a client that looks at all manifests again and again, and takes stock of the store at the end."""

import hashlib
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from contract import keys
from contract.errors import TemporaryFailure
from contract.job import Delivery
from contract.manifest import Manifest
from contract.settings import Settings
from contract.storage import Storage
from contract.summary import Summary
from producer.batches import batch_rows
from tests.chaos.checker import Closed, Found
from tests.chaos.history import History

LOOK_SECONDS = 2.0
THREADS = 16
MANIFEST = "/manifest.json"


class Witness:
    """Notes every manifest that is new or other than before; knows which jobs have ended. A context."""

    def __init__(self, settings: Settings, history: History) -> None:
        self.ended: dict[str, str] = {}
        """ETag of each manifest by its job."""
        self._storage = Storage(settings)
        self._history = history
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)

    def __enter__(self) -> "Witness":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def look(self) -> None:
        """Look once. Raises StoreUnavailable while the store is away."""
        for each in self._storage.list(keys.JOBS):
            job = each.key.removeprefix(keys.JOBS).removesuffix(MANIFEST)
            if each.key == keys.manifest(job) and self.ended.get(job) != each.etag:
                body = self._storage.get(each.key)
                if body is not None:
                    self._note(Manifest.model_validate_json(body))
                    self.ended[job] = each.etag

    def _note(self, seen: Manifest) -> None:
        self._history.note("stands", job=seen.job_id, attempt=seen.attempt.id, status=seen.status)

    def _run(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            with suppress(TemporaryFailure):
                self.look()


def deliveries(storage: Storage, batches: Iterable[str]) -> list[Delivery]:
    """Every row of these batches, as the feeder would publish it."""
    return [Delivery(batch=batch, row=row) for batch in batches for row in batch_rows(storage, batch)]


def take_stock(storage: Storage, written: Mapping[str, int]) -> list[Found]:
    """What the store holds of every job; `written` says how often each one's manifest was."""
    listed = (each.key for each in storage.list(keys.JOBS) if each.key.endswith(MANIFEST))
    jobs = {key.removeprefix(keys.JOBS).removesuffix(MANIFEST) for key in listed}
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(lambda job: _found(storage, job, written.get(job, 0)), sorted(jobs)))


def _found(storage: Storage, job: str, versions: int) -> Found:
    manifest = Manifest.model_validate_json(storage.get(keys.manifest(job)) or b"")
    output = manifest.output
    return Found(
        job=job,
        attempt=manifest.attempt.id,
        status=manifest.status,
        versions=versions,
        claimed_sha256=output.sha256 if output else None,
        stored_sha256=_digest(storage, output.key) if output else None,
    )


def closed(storage: Storage, batches: Iterable[str]) -> dict[str, Closed]:
    """What people see of the batches that have a summary."""
    seen = {}
    for batch in batches:
        if body := storage.get(keys.summary(batch)):
            told = Summary.model_validate_json(body)
            counts = {name: getattr(told, name) for name in ("succeeded", "failed", "cancelled")}
            seen[batch] = Closed(counts, _copies(storage, batch))
    return seen


def _copies(storage: Storage, batch: str) -> dict[str, str]:
    folder = keys.output(batch, "", "")
    names = [each.key for each in storage.list(folder) if each.key.endswith(".mp4")]
    rows = [key.removeprefix(folder).removesuffix(".mp4") for key in names]
    with ThreadPoolExecutor(THREADS) as pool:
        digests = pool.map(lambda key: _digest(storage, key), names)
        return {row: digest for row, digest in zip(rows, digests, strict=True) if digest}


def _digest(storage: Storage, key: str) -> str | None:
    body = storage.get(key)
    return hashlib.sha256(body).hexdigest() if body is not None else None
