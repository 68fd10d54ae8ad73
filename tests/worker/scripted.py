"""What tests of scripted workers say and ask."""

import time
from dataclasses import dataclass

from contract import keys
from contract.job import Delivery, Job, Row, Source
from contract.manifest import Manifest


@dataclass(frozen=True)
class Begin:
    """An attempt that began: when, in which worker, and in which of its children."""

    at: float
    worker: int
    child: int

    @classmethod
    def read(cls, line):
        at, worker, child = line.split()
        return cls(float(at), int(worker), int(child))


def row(name, **more):
    """A row that does what its name says."""
    job = Job(video=Source(uri=f"s3://b/{name}"), audio=Source(uri="s3://b/a"))
    return Row(id=name, job=job, **more)


def delivery(name, **more):
    return Delivery(batch="b", row=row(name, **more))


def until(true, seconds=90):
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
    return found


def manifest_of(storage, row):
    body = storage.get(keys.manifest(row.job.id))
    return Manifest.model_validate_json(body) if body else None
