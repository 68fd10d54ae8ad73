"""The commit: one small conditional put, read back. Whatever stands there afterwards is the result of the job."""

import json
import logging
from collections.abc import Callable

from pydantic import ValidationError

from contract import keys, traces
from contract.errors import DublineError, StoreUnavailable
from contract.job import Delivery
from contract.ledger import STATE_OF, Ledger
from contract.manifest import Manifest, OutputRecord
from contract.metrics import WorkerMetrics
from contract.outputs import publish_output
from contract.storage import Storage
from worker.retry import in_place

logger = logging.getLogger(__name__)


class Commit:
    """Commits manifests, counts them, and announces what was committed."""

    def __init__(self, storage: Storage, ledger: Ledger, metrics: WorkerMetrics) -> None:
        self._storage = storage
        self._ledger = ledger
        self._metrics = metrics

    def standing(self, delivery: Delivery) -> bool:
        """Whether the job of a delivery has a result already; then it is announced for this row, too."""
        body = self._storage.get(keys.manifest(delivery.row.job.id))
        if body is None:
            return False
        self._announce(delivery, body)
        return True

    def put(self, delivery: Delivery, manifest: Manifest, check: Callable[[], None]) -> None:
        """Put the manifest if there is none. A store that is away is waited for; `check` may raise meanwhile.

        Raises:
            StoreUnavailable: it was away for too long, or has not what the manifest names. Whether the manifest
                stands is not known.
        """
        key, body = keys.manifest(manifest.job_id), manifest.model_dump_json(indent=1).encode()
        if manifest.output:
            self._verify(manifest.output, check)
        with traces.span("commit", status=manifest.status):
            standing = in_place(lambda: self._storage.put_if_absent(key, body), check)
        if standing == body:
            seconds = (manifest.attempt.ended - manifest.attempt.started).total_seconds()
            logger.info("%s after %.1f s", manifest.status, seconds)
            self._metrics.job_ended(manifest)
        else:
            logger.warning("another attempt committed first; this one's result is dropped")
        self._announce(delivery, standing)

    def _verify(self, output: OutputRecord, check: Callable[[], None]) -> None:
        """Raise unless the store has the output whole: what a manifest names is there."""
        stored = in_place(lambda: self._storage.stat(output.key), check)
        if stored is None or stored.bytes != output.bytes:
            size = f"{stored.bytes:,}" if stored else "none"
            raise StoreUnavailable(f"the store has {size} of the {output.bytes:,} bytes of {output.key}")
        if stored.sha256 not in (None, output.sha256):
            raise StoreUnavailable(f"the store has other bytes than were uploaded to {output.key}")

    def _announce(self, delivery: Delivery, body: bytes) -> None:
        """Everything after the commit: copies and hints, which the feeder repairs where they fail."""
        try:
            manifest = Manifest.model_validate_json(body)
        except ValidationError:
            version = json.loads(body).get("schema_version")
            logger.warning(
                "the result is of schema %s, which this worker does not know: it is let stand", version
            )
            return
        try:
            publish_output(self._storage, delivery.batch, delivery.row.id, manifest)
            self._ledger.finish(manifest.job_id, STATE_OF[manifest.status])
            if manifest.status == "succeeded":  # a failed one may be asked for again, and go on from them
                self._storage.delete_all(
                    each.key for each in self._storage.list(keys.segments(manifest.job_id))
                )
        except DublineError as error:  # whatever it is, the result stands
            logger.warning("the result is committed, its announcement waits for the feeder: %s", error)
