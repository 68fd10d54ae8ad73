"""Inputs come to this machine as they were submitted; whether one is missing is asked twice."""

import threading

import pytest

from contract.errors import InputForbidden, InputNotFound, InputRejected
from contract.job import Job, Source
from worker.progress import JobProgress
from worker.stage import Inlet

JOB = Job(video=Source(uri="s3://b/v"), audio=Source(uri="s3://b/v"))


class Refusing:
    """A store that refuses so many times."""

    def __init__(self, times, error):
        self.asked, self._times, self._error = 0, times, error

    def download(self, *_, **__):
        self.asked += 1
        if self.asked <= self._times:
            raise self._error
        raise Arrived("here it is")


class Arrived(InputRejected):
    """The download went on."""


def brought(storage, job, folder):
    return Inlet(storage, outside=None, max_bytes=100, url_seconds=1).stage_in(job, folder, JobProgress())


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr("worker.stage.RECHECK_SECONDS", (0.3, 0.4))


def test_an_input_that_arrives_a_moment_late_is_read(storage, tmp_path):
    uri = f"s3://{storage.bucket}/late.mp4"
    job = Job(video=Source(uri=uri), audio=Source(uri=uri))
    threading.Timer(0.1, storage.put, ("late.mp4", b"content")).start()
    video, audio = brought(storage, job, tmp_path)
    assert video == audio and video.path.read_bytes() == b"content"


@pytest.mark.parametrize("error", [InputNotFound("404"), InputForbidden("403")], ids=lambda each: each.code)
def test_what_the_store_refuses_is_asked_for_twice_and_then_final(tmp_path, error):
    store = Refusing(1, error)
    with pytest.raises(Arrived):
        brought(store, JOB, tmp_path)
    store = Refusing(2, error)
    with pytest.raises(type(error)):
        brought(store, JOB, tmp_path)
    assert store.asked == 2
