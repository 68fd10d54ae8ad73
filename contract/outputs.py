"""What people who browse the bucket see of a result: copies under the row's own name, and an index of failures."""

from contract import keys
from contract.deadletter import DeadLetter
from contract.manifest import Manifest
from contract.storage import Storage


def publish_output(storage: Storage, batch: str, row: str, manifest: Manifest) -> None:
    """Show a committed result: a success at `outputs/<batch>/<row>`, a failure in the index `dead/<batch>/`.

    Worker and feeder both call it, any number of times: of a success the manifest's copy comes last and says that all
    is there.

    Raises:
        InputNotFound: the video that the manifest names is gone.
        StoreUnavailable: worth a retry.
    """
    if manifest.status == "succeeded" and manifest.output is not None:
        _show(storage, batch, row, manifest, manifest.output.key)
    if manifest.status == "failed" and manifest.error is not None:
        letter = DeadLetter(
            job=manifest.job_id,
            code=manifest.error.code,
            message=manifest.error.message,
            attempts=manifest.logs,
        )
        storage.put(keys.dead(batch, row), letter.model_dump_json(indent=1).encode())


def _show(storage: Storage, batch: str, row: str, manifest: Manifest, video: str) -> None:
    last = keys.output(batch, row, ".json")
    if storage.stat(last) is None:
        storage.copy(video, keys.output(batch, row))
        storage.delete(keys.dead(batch, row))  # of a failure that was asked for once more
        storage.put(last, manifest.model_dump_json(indent=1).encode())
