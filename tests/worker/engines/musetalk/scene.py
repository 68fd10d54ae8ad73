"""A portrait (NASA, public domain; see demo/LICENCES.md), its mesh, and an engine with tiny networks to draw on it."""

from pathlib import Path

import cv2
import numpy as np

from worker.engines.base import Crop
from worker.engines.musetalk.engine import MuseTalkEngine
from worker.faces.face import Face
from worker.media.frame import Frame

PORTRAIT = Path(__file__).parents[4] / "demo" / "portrait.jpg"
POINTS = Path(__file__).parents[1] / "preview" / "portrait_points.npy"


def portrait():
    """(512, 512, 3) uint8 RGB: a face 108 px high."""
    return np.ascontiguousarray(cv2.imread(str(PORTRAIT))[:, :, ::-1])


def points():
    """(468, 2) float32: the mesh of the portrait."""
    return np.load(POINTS)


def moved(x=0.0, y=0.0, scale=1.0, squeeze=1.0, size=(512, 512)):
    """The portrait and its points, scaled about the nose, squeezed along x, moved by (x, y), in a frame of that size."""
    return _placed(np.diag([scale * squeeze, scale]), np.array([x, y]), size)


def turned(degrees):
    """The portrait and its points, turned clockwise about the nose."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return _placed(np.array([[cos, -sin], [sin, cos]]), np.zeros(2), (512, 512))


def _placed(linear, shift, size):
    mesh = points()
    nose = mesh[4].astype(np.float64)
    matrix = np.column_stack([linear, nose - linear @ nose + shift])
    rgb = cv2.warpAffine(portrait(), matrix, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    return rgb, (mesh @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def crop_of(job, rgb, mesh):
    """What `render` gives to `prepare` for that picture and mesh."""
    face = Face(mesh, 1.0)
    box = job.region(face, rgb.shape[1], rgb.shape[0])
    area = np.s_[box.top : box.bottom, box.left : box.right]
    return Crop(rgb[area].copy(), box, face, rgb.shape[1], rgb.shape[0])


def frame_of(rgb):
    """The picture as a frame; colours are halved and not those of BT.709 to the last step, which is no matter here."""
    planes = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
    height, width = rgb.shape[:2]
    u, v = planes[height:].reshape(2, height // 2, width // 2)
    return Frame(0, 0, planes[:height].copy(), u.copy(), v.copy())


def voice(seconds, seed=0):
    """(n,) float32, mono 16 kHz: noise that swells and fades five times a second."""
    times = np.arange(int(seconds * 16_000)) / 16_000
    noise = np.random.default_rng(seed).normal(0, 0.1, len(times))
    return (noise * np.sin(5 * np.pi * times) ** 2).astype(np.float32)


def engine_in(folder, name="musetalk-v15"):
    """An engine with the networks of that folder, set up."""
    engine = MuseTalkEngine(name, folder)
    engine.setup()
    return engine
