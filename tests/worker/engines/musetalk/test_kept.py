"""A video is the same bytes with the cache of prepared frames and without it, on tiny real networks."""

import random
import time

import pytest

from contract.job import JobOptions
from tests.worker.engines.musetalk import scene, tiny_registry
from worker.drawing import draw
from worker.faces.face import Face
from worker.media.frame import Frame
from worker.prepared.shelf import Shelf
from worker.preparing import Preparer
from worker.stopwatch import Stopwatch
from worker.weights import registry

SOURCE = 10
"""Frames of the source, on the way forth and back."""
WITHOUT_FACE = {2, 7}


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    tiny_registry.write_weights(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "REGISTRY", tiny_registry.of(folder))
        yield scene.engine_in(folder)


@pytest.fixture(scope="module")
def pictures():
    """Each source frame's picture and mesh: a face that moves off and on the chroma grid."""
    return [scene.moved(x=3 * index, y=index % 3) for index in range(SOURCE)]


class Seen:
    """A tracker that knows where the faces are."""

    def __init__(self, pictures):
        self._pictures = pictures

    def track(self, frame):
        gone = frame.source_index in WITHOUT_FACE
        return None if gone else Face(self._pictures[frame.source_index][1], 1.0)

    def state(self):
        return {}


class Dawdling:
    """A job whose calls take as long as they like."""

    def __init__(self, job):
        self._job, self._random = job, random.Random(1)

    def __getattr__(self, name):
        return getattr(self._job, name)

    def prepare(self, crops):
        time.sleep(self._random.random() * 0.03)
        return self._job.prepare(crops)

    def generate(self, prepared, features):
        time.sleep(self._random.random() * 0.03)
        return self._job.generate(prepared, features)


@pytest.fixture
def video(engine, pictures):
    """All planes of a job's frames as bytes, and how many source frames it prepared and reused."""

    def drawn(length, entry=None, is_tracked=True, job=None):
        job = job or engine.for_job(JobOptions())
        forth = list(range(SOURCE))
        shown = (forth + forth[::-1])[:length]
        frames = [Frame(at, index, *_planes(pictures[index][0])) for at, index in enumerate(shown)]
        windows = job.listen(scene.voice(2.0), length)
        preparer = Preparer(job, Seen(pictures) if is_tracked else None, entry, Stopwatch())
        with draw(frames, windows, job, preparer, Stopwatch()) as done:
            planes = [
                plane.tobytes() for each in done for plane in (each.frame.y, each.frame.u, each.frame.v)
            ]
        return b"".join(planes), (preparer.prepared, preparer.reused)

    return drawn


def _planes(rgb):
    frame = scene.frame_of(rgb)
    return frame.y, frame.u, frame.v


FACES = SOURCE - len(WITHOUT_FACE)
ALL = 2 * SOURCE


@pytest.mark.parametrize(("first", "reused"), [(1, 1), (5, 4), (SOURCE, FACES)])
def test_a_video_is_the_same_bytes_without_the_cache_with_a_part_and_with_all_of_it(
    video, tmp_path, first, reused
):
    alone, counts = video(ALL)
    assert counts[0] >= FACES and counts[1] == 0
    shelf = Shelf(tmp_path, 2**30)
    with shelf.entry("a" * 64, first, lambda: None) as entry:
        assert video(first, entry)[1] == (reused, 0)
        entry.finish(None)
    with shelf.entry("a" * 64, SOURCE, lambda: None) as entry:
        assert video(ALL, entry) == (alone, (FACES - reused, reused))
        entry.finish(SOURCE)
    with shelf.entry("a" * 64, SOURCE, lambda: None) as entry:
        assert entry.covers(SOURCE)
        assert video(ALL, entry, is_tracked=False) == (alone, (0, FACES))


def test_a_video_is_the_same_bytes_however_long_its_stages_take(video, engine):
    assert video(ALL, job=Dawdling(engine.for_job(JobOptions())))[0] == video(ALL)[0]


def test_another_voice_is_another_video(video, engine):
    """Else the tests above would pass on frames that nobody drew on."""
    plain, other = video(4)[0], engine.for_job(JobOptions())
    listen = other.listen
    loud = type("Job", (), {"__getattr__": lambda _, name: getattr(other, name)})()
    loud.listen = lambda samples, frames: listen(samples[::-1].copy(), frames)
    assert video(4, job=loud)[0] != plain
