"""A manifest as an attempt of ten seconds leaves it."""

from datetime import UTC, datetime, timedelta

from contract.job import Job, Source
from contract.manifest import Attempt, Cost, ErrorRecord, Manifest

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def manifest(error=None, **found):
    job = Job(video=Source(uri="s3://b/v.mp4"), audio=Source(uri="s3://b/a.wav"))
    return Manifest(
        status="failed" if error else "succeeded",
        job_id=job.id,
        batch="b1",
        row="one",
        job=job,
        attempt=Attempt(id="a1", number=1, host="h", started=BEGAN, ended=BEGAN + timedelta(seconds=10)),
        cost=Cost(seconds=10, price_per_hour=90, currency="USD", amount=0.25),
        error=ErrorRecord.of(error) if error else None,
        **found,
    )
