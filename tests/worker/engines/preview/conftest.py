"""One portrait (NASA, public domain; see demo/LICENCES.md) and its mesh, so that these tests need no weights."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from worker.engines.base import Crop
from worker.engines.preview.engine import PreviewEngine
from worker.engines.preview.voice import Viseme
from worker.faces.face import Face

PORTRAIT = Path(__file__).parents[4] / "demo" / "portrait.jpg"
POINTS = Path(__file__).with_name("portrait_points.npy")


@pytest.fixture(scope="session")
def portrait():
    """(512, 512, 3) uint8 RGB: a face 108 px high that smiles with its teeth showing."""
    return np.ascontiguousarray(cv2.imread(str(PORTRAIT))[:, :, ::-1])


@pytest.fixture(scope="session")
def points():
    """(468, 2) float32: the mesh of the portrait."""
    return np.load(POINTS)


@pytest.fixture(scope="session")
def turned(portrait, points):
    """The portrait and its points, turned clockwise about the face, scaled, and squeezed along x."""

    def turn(degrees=0.0, scale=1.0, squeeze=1.0):
        nose = points[4].astype(np.float64)
        matrix = cv2.getRotationMatrix2D(nose.tolist(), -degrees, scale)
        matrix[0] *= squeeze
        matrix[0, 2] += (1 - squeeze) * nose[0]
        size = (portrait.shape[1], portrait.shape[0])
        rgb = cv2.warpAffine(portrait, matrix, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
        return rgb, (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)

    return turn


@pytest.fixture
def talk():
    """The mouth and the picture that come of a picture, its face's points and a viseme."""

    def draw(rgb, points, openness=0.0, width=0.0, rounding=0.0):
        engine = PreviewEngine()
        engine.setup()
        face = Face(points, 1.0)
        box = engine.region(face, rgb.shape[1], rgb.shape[0])
        area = np.s_[box.top : box.bottom, box.left : box.right]
        prepared = engine.prepare([Crop(rgb[area].copy(), box, face, rgb.shape[1], rgb.shape[0])])
        (mouth,) = engine.generate(prepared, [Viseme(openness, width, rounding)])
        alpha = mouth.alpha[..., None]
        shown = rgb.copy()
        shown[area] = np.round(rgb[area] * (1 - alpha) + mouth.rgb * alpha)
        return mouth, shown

    return draw
