"""The engine without weights: hears the voice, warps the lower face, paints the inside of the mouth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.job import JobOptions
from worker.engines.base import Crop, Mouth
from worker.engines.preview.grid import centres
from worker.engines.preview.lips import Lips
from worker.engines.preview.mouth import Inside
from worker.engines.preview.shape import LOWER_FACE, Shape
from worker.engines.preview.voice import Viseme, visemes
from worker.engines.preview.warp import Warp
from worker.faces.face import Face
from worker.media.frame import Box, Pixels

_MARGIN = 0.22  # of the face's height, around the lower face: what may move and the fade to what may not
_INSIDE = 0.03  # of the face's height, around the lips: what painting the mouth may touch


@dataclass(frozen=True)
class Prepared:
    """One source frame's pixels, (h, w, 3) uint8 RGB, and how its face moves in them."""

    rgb: Pixels
    box: Box
    shape: Shape
    warp: Warp
    inside: Inside


class PreviewEngine:
    """An `Engine` that needs no weights and no GPU: for a look before GPU money is spent, the demo and tests."""

    name: str = "preview"
    batch_size: int = 1

    def setup(self) -> None:
        """Nothing: there are no weights."""

    def for_job(self, options: JobOptions) -> "PreviewEngine":
        """Itself: no option changes anything here."""
        return self

    def listen(self, samples: NDArray[np.float32], frames: int) -> Sequence[Viseme]:
        """One viseme per output frame from mono 16 kHz audio in -1..1; beyond its end is silence."""
        return visemes(samples, frames)

    def region(self, face: Face, width: int, height: int) -> Box:
        """The lower face with room to move, cut to the frame; a few pixels where it lies outside."""
        points, frame_size = face.points[LOWER_FACE], np.array([width, height])
        margin = _MARGIN * face.height
        first = np.floor(points.min(axis=0) - margin).astype(int).clip(0, frame_size - 2)
        stop = np.ceil(points.max(axis=0) + margin).astype(int).clip(first + 2, frame_size)
        return Box(*first.tolist(), *stop.tolist()).even_within(width, height)

    def prepare(self, crops: Sequence[Crop]) -> list[Prepared]:
        """The splines of each face, its colours and its pixels."""
        return [_prepared(crop) for crop in crops]

    def generate(self, prepared: Sequence[Prepared], features: Sequence[Viseme]) -> list[Mouth]:
        """One mouth per source frame and viseme."""
        return [_mouth(source, viseme) for source, viseme in zip(prepared, features, strict=True)]


def _prepared(crop: Crop) -> Prepared:
    shape = Shape(crop.face.points - np.array([crop.box.left, crop.box.top], dtype=np.float32))
    warp = Warp.of(shape, crop.box.width, crop.box.height)
    return Prepared(crop.rgb, crop.box, shape, warp, Inside.of(crop.rgb, shape))


def _mouth(source: Prepared, viseme: Viseme) -> Mouth:
    pose = source.warp.bounded(source.shape.pose(viseme))
    lips = Lips.of(source.shape, pose)
    rgb = source.warp.apply(source.rgb, pose, lips)
    inside = source.warp.grid.pixels(source.warp.near(lips, _INSIDE))
    rgb[inside] = source.inside.paint(rgb[inside], centres(inside), lips)
    return Mouth(rgb, source.warp.alpha(), source.box)
