"""The engine without weights: hears the voice, warps the lower face, paints the inside of the mouth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.manifest import WeightRecord
from worker.engines.base import Crop, Mouth
from worker.engines.preview.lips import Lips
from worker.engines.preview.mouth import Inside
from worker.engines.preview.shape import LOWER_FACE, Shape
from worker.engines.preview.voice import Viseme, visemes
from worker.engines.preview.warp import Warp, places
from worker.faces.face import Face
from worker.media.frame import Box, Pixels

_MARGIN = 0.22  # of H, around the lower face


@dataclass(frozen=True)
class Prepared:
    """One source frame's pixels and how its face moves; points in the crop's pixels."""

    rgb: Pixels
    box: Box
    shape: Shape
    warp: Warp
    inside: Inside


class PreviewEngine:
    """`worker.engines.base.Engine` with no network: for a look before GPU money is spent, for the demo, for tests."""

    name: str = "preview"
    weights: tuple[WeightRecord, ...] = ()
    batch_size: int = 1

    def setup(self) -> None:
        """Nothing to load."""

    def listen(self, samples: NDArray[np.float32], frames: int) -> Sequence[Viseme]:
        """One viseme per output frame from mono 16 kHz audio in -1..1; beyond its end is silence."""
        return visemes(samples, frames)

    def region(self, face: Face, width: int, height: int) -> Box:
        """The lower face with room to move, cut to the frame."""
        hull = face.points[LOWER_FACE]
        margin = _MARGIN * face.height
        left, top = np.floor(hull.min(axis=0) - margin).astype(int).tolist()
        right, bottom = np.ceil(hull.max(axis=0) + margin).astype(int).tolist()
        return Box(left, top, right, bottom).even_within(width, height)

    def prepare(self, crop: Crop) -> Prepared:
        """The splines of this face, its colours, and its pixels."""
        shape = Shape(crop.face.points - np.array([crop.box.left, crop.box.top], dtype=np.float32))
        warp = Warp.of(shape, crop.box.width, crop.box.height)
        return Prepared(crop.rgb, crop.box, shape, warp, Inside.of(crop.rgb, shape))

    def generate(self, prepared: Sequence[Prepared], features: Sequence[Viseme]) -> list[Mouth]:
        """One mouth per pair of source frame and viseme."""
        return [_drawn(face, viseme) for face, viseme in zip(prepared, features, strict=True)]


def _drawn(face: Prepared, viseme: Viseme) -> Mouth:
    pose = face.warp.bounded(face.shape.pose(viseme))
    lips = Lips.of(face.shape, pose)
    rgb = face.warp.apply(face.rgb, pose, lips)
    mouth = face.warp.grid.pixels(face.warp.mouth(lips))
    painted = face.inside.paint(rgb[mouth].astype(np.float32), face.shape.axes.inside(places(*mouth)), lips)
    rgb[mouth] = np.clip(np.round(painted), 0, 255)
    return Mouth(rgb, face.warp.alpha, face.box)
