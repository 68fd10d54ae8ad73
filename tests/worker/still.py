"""An engine of our own that keeps what it prepares, and frames and faces to go with it. No networks."""

import threading
import time
from dataclasses import dataclass
from random import Random

import numpy as np

from worker.engines.base import Mouth
from worker.faces.face import Face
from worker.media.frame import Box, Frame

SIZE = 16


def frames(source_indices):
    """Grey frames, each source picture of its own brightness."""
    for index, source in enumerate(source_indices):
        y = np.full((SIZE, SIZE), 16 + source % 200, np.uint8)
        grey = np.full((SIZE // 2, SIZE // 2), 128, np.uint8)
        yield Frame(index, source, y, grey, grey.copy())


class Blinking:
    """A tracker that sees a face in all source frames but some, and remembers what it was asked."""

    def __init__(self, without=()):
        self.without, self.asked = without, []

    def track(self, frame):
        self.asked.append(frame.source_index)
        if frame.source_index in self.without:
            return None
        return Face(np.zeros((468, 2), np.float32), 1.0)

    def state(self):
        return {"asked": np.array(self.asked, np.int64)}

    def restore(self, state):
        self.asked = state["asked"].tolist()


@dataclass(frozen=True)
class Prepared:
    rgb: np.ndarray
    box: Box


class StillEngine:
    """Makes what is in the box brighter by the feature; counts what it is asked to do, and may be slow at it."""

    name = "preview"
    batch_size = 3

    def __init__(self, seed=None, turned_away=()):
        self.prepared, self.generated = [], []
        self.device = "a test's own"
        self._random = Random(seed) if seed is not None else None
        self._turned_away = turned_away

    def setup(self):
        pass

    def for_job(self, options):
        return self

    def listen(self, samples, frames):
        return [index % 60 for index in range(frames)]

    def region(self, face, width, height):
        left, top = face.points.min(axis=0).astype(int).clip(0, (width - 4, height - 4)).tolist()
        return Box(left, top, left + 2, top + 2).even_within(width, height)

    def prepare(self, crops):
        assert 0 < len(crops) <= self.batch_size
        self._dawdle()
        self.prepared.append(len(crops))
        done = [Prepared(crop.rgb, crop.box) for crop in crops]
        return [None if int(each.rgb[0, 0, 0]) in self._turned_away else each for each in done]

    def generate(self, prepared, features):
        assert 0 < len(prepared) == len(features) <= self.batch_size
        self._dawdle()
        self.generated.append(len(prepared))
        return [self._mouth(each, feature) for each, feature in zip(prepared, features, strict=True)]

    def _mouth(self, prepared, feature):
        brighter = np.clip(prepared.rgb.astype(int) + feature, 0, 255).astype(np.uint8)
        return Mouth(brighter, np.ones(brighter.shape[:2], np.float32), prepared.box)

    def _dawdle(self):
        if self._random:
            time.sleep(self._random.random() * 0.01)


class KeepingEngine(StillEngine):
    """The same, kept for other jobs. `version` stands for all that changes what it prepares."""

    def __init__(self, version="1", **others):
        super().__init__(**others)
        self.version = version

    def depends_on(self):
        return {"version": self.version}

    def pack(self, prepared):
        box = prepared.box
        return {"rgb": prepared.rgb, "box": np.array([box.left, box.top, box.right, box.bottom], np.int32)}

    def unpack(self, arrays):
        return Prepared(arrays["rgb"], Box(*arrays["box"].tolist()))


def planes(drawn):
    """What was drawn, to compare."""
    return [(frame.index, frame.y.tobytes(), frame.u.tobytes(), frame.v.tobytes()) for frame in drawn]


def stages():
    """The threads of stages that run now."""
    return [each for each in threading.enumerate() if each.name in ("read-ahead", "write-behind")]
