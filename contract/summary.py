"""`batches/<batch>/summary.json`: what became of a batch, once all of its rows have ended."""

from typing import Literal

from pydantic import Field

from contract.job import Boundary


class Summary(Boundary):
    """Counts and sums over the manifests of a batch; derived from them, and never the truth."""

    schema_version: Literal[1] = 1
    batch: str
    rows: int
    succeeded: int
    failed: int
    cancelled: int
    reused: int
    """Rows whose job another row or batch had asked for before; their cost stands there."""
    output_minutes: float
    """Of all results, reused ones too."""
    cost: float
    currency: str
    requeued: str | None = Field(default=None, exclude_if=lambda etag: etag is None)
    """ETag of `requeued.json` when the rows were counted; None: there was none. With another one there, count anew."""
