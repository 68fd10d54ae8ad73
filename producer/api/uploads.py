"""Files that a client puts into the store itself: the API only says where, and for how long."""

import secrets

from contract import keys
from contract.storage import Storage
from producer.api.answers import UploadAnswer

UPLOAD_SECONDS = 6 * 3600
"""16 GiB at 6 Mbit/s."""


def direct_upload(storage: Storage, suffix: str, size_bytes: int, kind: str) -> UploadAnswer:
    """An address that takes so many bytes, no more and no fewer, under a name that nobody guesses."""
    key = keys.direct(secrets.token_hex(16), suffix)
    return UploadAnswer(
        reference=f"s3://{storage.bucket}/{key}",
        url=storage.url_to_write(key, UPLOAD_SECONDS, size_bytes, kind),
        headers={"Content-Type": kind, "Content-Length": str(size_bytes)},
        expires_seconds=UPLOAD_SECONDS,
    )
