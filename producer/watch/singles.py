"""Halves in the configured drop folder that wait for their partner: what `dubline status` tells beside the batches."""

from contract.settings import Settings
from contract.storage import Storage
from producer.watch.folder import Folder, look_into
from producer.watch.names import Half, sort_out
from producer.watch.tables import Tables


def waiting_halves(storage: Storage, settings: Settings) -> list[Half]:
    """Those that lie there now, oldest first; none where the setting `drop` is not set."""
    if settings.drop is None:
        return []
    folder = Folder.parse(settings.drop, settings.s3_bucket)
    content = look_into(storage, folder)
    tables = Tables(storage, folder, settings).among(content)
    taken = {part.key for table in tables for part in table.inputs}
    halves = (found for found, _ in sort_out(folder, content, taken) if isinstance(found, Half))
    return sorted(halves, key=lambda half: half.since)
