"""Checked pairs become a batch: upload what is local, then one put that is the submission."""

import hashlib
import io
import re
import secrets
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from contract import keys, traces
from contract.errors import BadRequest, BatchConflict, Fault
from contract.job import ENGINES, Job, Row, Source
from contract.storage import Storage
from contract.webhook import BatchWebhook
from producer.batches import BATCH_NAME, MANIFEST_LIMIT, manifests, owned
from producer.cells import Place
from producer.check import Checked, refuse_faults
from producer.uploads import Advance, hash_files, upload


@dataclass(frozen=True)
class Submission:
    """What became of a submission."""

    batch: str
    rows: int
    uploaded_files: int
    """Of the local files, those that the store did not have."""
    uploaded_bytes: int
    skipped: tuple[Fault, ...]
    pinned: bool
    already: bool
    """The same rows lay there under the same name: nothing is repeated."""
    failed: int = 0
    """Rows whose work was asked for before, and failed ..."""
    cancelled: int = 0
    """... or was cancelled: they are not rendered unless somebody requeues them. Of large batches nobody looks."""


def submit(  # noqa: PLR0913 - one for each thing that may be asked for
    checked: Checked,
    storage: Storage,
    *,
    batch: str | None = None,
    skip_bad: bool = False,
    force: bool = False,
    owner: str | None = None,
    webhook: str | None = None,
    advance: Advance = lambda stage, count: None,
    look_back: bool = True,
) -> Submission:
    """Upload what is local, and put the batch. The same rows under the same name are the same batch.

    `force` gives every job a nonce, so that work which has a result is done again. `owner`: whose key of the HTTP API
    asks. `webhook`, a URL of `producer.cells.webhook_of`, is told when the batch has ended; another one takes the
    place of the one before. Without `look_back` nobody asks which of the work was asked for before.

    Raises:
        BadRequest: rows have faults and `skip_bad` is not set, or no row is good; nothing was uploaded.
        BatchConflict: a batch of that name holds other rows; nothing was uploaded.
        InputChanged: a local file changed on its way.
    """
    began = time.time()
    refuse_faults(checked, skip_bad)
    _refuse_name(batch)
    files = hash_files(checked.files, advance)
    sources = {
        path: Source(uri=f"s3://{storage.bucket}/{file.key}", sha256=file.sha256)
        for path, file in files.items()
    }
    rows = written(rows_of(checked, sources, force=force, owner=owner))
    batch = batch or owned(owner, name_batch(checked.name, rows))
    already = _is_there(storage, batch, rows)
    uploaded = upload(storage, files.values(), advance)
    if webhook:  # before the rows: a batch may end the moment it is there
        storage.put(keys.webhook(batch), BatchWebhook(url=webhook).model_dump_json().encode())
    if not already and storage.put_if_absent(keys.rows(batch), rows, "application/jsonl") != rows:
        raise _conflict(batch)
    if not already:
        traces.submitted(batch, (pair.id for pair in checked.pairs), began)
    ends = _unhappy_ends(storage, rows) if look_back else Counter()
    return Submission(
        batch=batch,
        rows=len(checked.pairs),
        uploaded_files=len(uploaded),
        uploaded_bytes=sum(file.bytes for file in uploaded),
        skipped=tuple(checked.faults),
        pinned=checked.pinned,
        already=already,
        failed=ends["failed"],
        cancelled=ends["cancelled"],
    )


def rows_of(
    checked: Checked, sources: Mapping[Path, Source], *, force: bool = False, owner: str | None = None
) -> Iterator[Row]:
    """The good rows as jobs; `sources` are the local files."""
    for pair in checked.pairs:
        job = Job(
            video=_stored(pair.video, checked, sources),
            audio=_stored(pair.audio, checked, sources),
            options=pair.options,
            weights=ENGINES[pair.options.engine],
            nonce=secrets.token_hex(8) if force else None,
            owner=owner,
        )
        yield Row(
            id=pair.id,
            job=job,
            priority=pair.priority,
            time_limit_seconds=pair.time_limit_seconds,
            webhook_url=pair.webhook_url,
        )


def written(rows: Iterable[Row]) -> bytes:
    """`rows.jsonl`: the same rows and inputs give the same bytes, unless forced."""
    body = io.BytesIO()
    for row in rows:
        body.write(row.model_dump_json(exclude_none=True).encode() + b"\n")
    return body.getvalue()


def _stored(place: Place, checked: Checked, sources: Mapping[Path, Source]) -> Source:
    if isinstance(place, Path):
        return sources[place]
    if place in checked.contents:
        return Source(uri=place, sha256=checked.contents[place])
    pin = checked.pins.get(place)
    return Source(uri=place, etag=pin.etag if pin else None)


def name_batch(name: str, content: bytes) -> str:
    """What a batch is called: a name in plain letters, and enough of its content's hash."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^A-Za-z0-9]+", "-", plain)[:40].strip("-") or "batch"
    return f"{slug}-{hashlib.sha256(content).hexdigest()[:12]}"


def _unhappy_ends(storage: Storage, rows: bytes) -> Counter[str]:
    """How many rows have a result without a video, by its status."""
    lines = rows.splitlines()
    if len(lines) > MANIFEST_LIMIT:
        return Counter()
    found = manifests(storage, (Row.model_validate_json(line).job.id for line in lines))
    return Counter(manifest.status for manifest in found if manifest)


def _refuse_name(batch: str | None) -> None:
    if batch is not None and not BATCH_NAME.fullmatch(batch):
        raise BadRequest(
            f"batch {batch!r} must be 1 to 100 letters, digits and ._- and start with a letter or digit"
        )


def _is_there(storage: Storage, batch: str, rows: bytes) -> bool:
    present = storage.get(keys.rows(batch))
    if present is not None and present != rows:
        raise _conflict(batch)
    return present is not None


def _conflict(batch: str) -> BatchConflict:
    return BatchConflict(
        f"batch {batch} exists and holds other rows or other versions of its inputs; choose another --batch"
    )
