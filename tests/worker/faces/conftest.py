import math
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from worker.faces.track import FaceModels
from worker.media.frame import Frame

PORTRAIT = Path(__file__).parents[3] / "demo" / "portrait.jpg"
FACE = np.s_[30:210, 150:300]  # the face of the portrait, with its hair
NOSE = (225, 126)  # of the portrait, in its pixels


@pytest.fixture(scope="session")
def models(weights_folder):
    return FaceModels.load(weights_folder, threads=1)


@pytest.fixture(scope="session")
def portrait():
    """(512, 512, 3) uint8 RGB: one face, 108 pixels from forehead to chin."""
    return np.ascontiguousarray(cv2.imread(str(PORTRAIT))[:, :, ::-1])


@pytest.fixture(scope="session")
def frame_of():
    """A frame that shows the RGB picture."""

    def build(rgb, index=0):
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        return frame_of_picture(picture, index)

    return build


@pytest.fixture(scope="session")
def frames_of():
    """Every frame of a clip, as it is coded (BT.601 read as BT.709 is near enough for a face)."""

    def decode(path):
        with av.open(str(path)) as container:
            for index, picture in enumerate(container.decode(video=0)):
                yield frame_of_picture(picture.reformat(format="yuv420p"), index)

    return decode


@pytest.fixture(scope="session")
def posed(portrait):
    """The portrait with its nose at (x, y), scaled, turned clockwise, on a canvas of (width, height)."""

    def pose(placement, size=(640, 360)):
        return cv2.warpAffine(
            portrait, placement, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
        )

    return pose


@pytest.fixture(scope="session")
def placement():
    """(2, 3): portrait pixels to canvas pixels, the nose at (x, y)."""

    def place(x, y, scale=1.5, degrees=0.0):
        cos, sin = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
        linear = np.array([[cos, -sin], [sin, cos]])
        return np.column_stack([linear, np.array([x, y]) - linear @ NOSE])

    return place


@pytest.fixture(scope="session")
def people(portrait):
    """A (360, 640, 3) picture of a place with a face at each (x of its left edge, scale)."""

    def draw(*faces, place=0):
        shades = np.random.default_rng(place).uniform(40, 200, (3, 4))
        picture = np.repeat(np.kron(shades, np.ones((120, 160)))[..., None], 3, axis=2).astype(np.uint8)
        for left, scale in faces:
            face = cv2.resize(portrait[FACE], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            height, width = face.shape[:2]
            picture[20 : 20 + height, left : left + width] = face
        return picture

    return draw


def frame_of_picture(picture, index):
    planes = []
    for plane in picture.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        planes.append(rows[:, : plane.width].copy())
    return Frame(index, index, *planes)
