"""Two batches of the same rows, and the study that they make."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from contract import keys
from contract.job import Job, JobOptions, Row, Source
from producer.ab.make import Order, draw_study, make
from producer.ab.study import System
from producer.submit import written
from tests.producer.web.conftest import browser, visit

__all__ = ["browser", "visit"]

A, B = "batch-of-ours", "batch-of-theirs"
NAMES = ("System One", "System Two")
ROWS = ("one", "two", "three", "four")


@pytest.fixture
def put_rows(storage):
    """Submit a batch of these rows: the same face and voice in each batch, by another margin."""

    def put(batch, names=ROWS, margin=0, voice="voice"):
        options = JobOptions(extra_margin=margin)
        rows = [
            Row(id=name, job=Job(video=_source("face", name), audio=_source(voice, name), options=options))
            for name in names
        ]
        storage.put_if_absent(keys.rows(batch), written(rows), "application/jsonl")
        return rows

    return put


def _source(what, name):
    return Source(uri=f"s3://media/{what}.mp4", etag=name)


@pytest.fixture
def batches(put_rows, commit):
    """Two batches of four rows, all rendered: their videos are not films."""
    for margin, batch in enumerate((A, B)):
        for row in put_rows(batch, margin=margin):
            commit(batch, row, video=f"{margin} {row.id}".encode())


@pytest.fixture
def order(tmp_path):
    """What the tests want compared."""
    a, b = (System(name=name, batch=batch) for name, batch in zip(NAMES, (A, B), strict=True))
    return Order(a=a, b=b, folder=tmp_path / "raters", key=tmp_path / "raters.key.json", seed=1)


@pytest.fixture
def made(storage, batches, order):
    """The study of both batches."""
    return make(storage, order, draw_study(storage, order))


@pytest.fixture
def study(made):
    """Its key."""
    return made.drawn.study


@pytest.fixture(scope="session")
def films():
    """Two films of 4 s with the same tone: a light and a dark one, bytes of MP4s."""
    return tuple(_film(shade) for shade in (60, 200))


def _film(shade):
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        picture = container.add_stream("libx264", rate=25)
        picture.width, picture.height, picture.pix_fmt = 320, 180, "yuv420p"
        sound = container.add_stream("aac", rate=48_000)
        for number in range(100):
            pixels = np.full((180, 320, 3), shade, np.uint8)
            pixels[60:120, number * 2 : number * 2 + 60] = 255 - shade
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        samples = (0.1 * np.sin(np.arange(192_000) / 20)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48_000, 0
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return file.getvalue()
