"""A made-up film for metrics: textured frames and a real face's mesh, of any size and place."""

import hashlib
from pathlib import Path

import numpy as np

from worker.evaluation.metrics.base import Sound, View
from worker.faces.face import Face
from worker.media.frame import Frame
from worker.weights import Url, Weight, weight

WIDTH, HEIGHT = 160, 120
MESH = np.load(Path(__file__).parents[1] / "engines/preview/portrait_points.npy")
SILENCE = Sound(np.zeros(0, np.float32), 0)


def frame(seed, width=WIDTH, height=HEIGHT):
    """Blots of 8 px, a picture of its own for each seed."""
    draw = np.random.RandomState(seed)

    def plane(rows, columns, low, high):
        blots = draw.randint(low, high, (rows // 8 + 1, columns // 8 + 1))
        return np.kron(blots, np.ones((8, 8)))[:rows, :columns].astype(np.uint8)

    half = height // 2, width // 2
    return Frame(0, 0, plane(height, width, 16, 236), plane(*half, 64, 192), plane(*half, 64, 192))


def face(middle=(80.0, 60.0), height=80.0):
    """The portrait's face there, that high."""
    low, high = MESH.min(axis=0), MESH.max(axis=0)
    points = (MESH - (low + high) / 2) * (height / (high[1] - low[1])) + np.array(middle)
    return Face(points.astype(np.float32), 1.0)


def view(index, made=None, source_face=True, own_face=True, **where):
    """Frame `index`; `made` is the seed of the generated picture, else it is the source's."""
    found = face(**where)
    source = frame(index)
    picture = source if made is None else frame(made)
    return View(index, source, found if source_face else None, picture, found if own_face else None)


def entry(name, path, folder):
    """The registry's entry with that file's hash in place of the real one's, and the file put where it belongs."""
    real, content = weight(name), path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    file = Path(real.source.file).name
    made = Weight(name, real.revision, Url(f"http://nowhere.invalid/{file}"), digest, len(content), "none")
    made.place(folder).parent.mkdir(parents=True, exist_ok=True)
    path.rename(made.place(folder))
    return made
