"""What people who browse the bucket see of a result: copies under the row's own name."""

from contract import keys
from contract.manifest import Manifest
from contract.storage import Storage


def publish_output(storage: Storage, batch: str, row: str, manifest: Manifest) -> None:
    """Copy a committed success to `outputs/<batch>/<row>`: the video, then its manifest.

    Worker and feeder both call it, any number of times: the manifest's copy comes last and says that all is there.

    Raises:
        InputNotFound: the video that the manifest names is gone.
        StoreUnavailable: worth a retry.
    """
    if manifest.status != "succeeded" or manifest.output is None:
        return
    last = keys.output(batch, row, ".json")
    if storage.stat(last) is None:
        storage.copy(manifest.output.key, keys.output(batch, row))
        storage.put(last, manifest.model_dump_json(indent=1).encode())
