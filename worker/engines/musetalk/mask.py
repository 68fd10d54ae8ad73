"""Where in a face's box the drawn mouth is blended in.

`alpha` is upstream's rule (`utils/blending.py` and `utils/face_parsing` of TMElyralab/MuseTalk, MIT) for the face's
box alone: outside of it nothing changes there either. It begins with a map of classes. Upstream's comes from a
network (see `bisenet`); the one of the mesh has its meaning: skin without nose, lips, eyes, ears, hair and neck.
"""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract.job import ParsingMode
from worker.engines.musetalk.crop import expanded as square_around
from worker.engines.musetalk.landmarks import with_chin
from worker.faces.face import Points
from worker.faces.regions import FACE_OVAL, OUTER_LIPS
from worker.media.frame import Box, Floats, Pixels

SIDE = 512
"""Of a class map, in pixels."""
SKIN, NOSE, MOUTH, UPPER_LIP, LOWER_LIP = 1, 10, 11, 12, 13
"""Classes of face-parsing.PyTorch (19 of them, 0 the background) that matter here."""
BLUR = 0.05
"""Width of the blur over the side of the expanded crop."""
NOSE_RING = (
    *(168, 122, 196, 236, 198, 49, 129, 64, 98, 97, 2),
    *(326, 327, 294, 358, 279, 420, 456, 419, 351),
)
"""Ring of mesh points: from the bridge's top down the viewer's left side and up the right."""
EYE_RINGS = (
    (226, 247, 30, 29, 27, 28, 56, 190, 243, 112, 26, 22, 23, 24, 110, 25),
    (446, 467, 260, 259, 257, 258, 286, 414, 463, 341, 256, 252, 253, 254, 339, 255),
)
"""Rings around each eye, lids and lashes included."""
_SHIFT = 4  # binary places of the polygons' corners: 1/16 pixel


def from_mesh(
    points: Points, box: Box, width: int, height: int, mode: ParsingMode, cheek_width: int
) -> Floats:
    """`alpha` of a face from its mesh, (468, 2) float32, in a frame of that size.

    Other than with upstream's classes, little of it is left at the box's edges (under 3 %), so that none is seen;
    but at the frame's edges it stays whole. And no hole of nose or mouth grows when the cheeks are made narrower.
    """
    square = square_around(box)
    within = _inset(box, blur_radius(square), width, height)
    return _softened(drawn(mesh_labels(points, square), mode, cheek_width, solid=True), box, square, within)


def mesh_labels(points: Points, expanded: Box) -> Pixels:
    """The (512, 512) uint8 class map of the square, from (468, 2) float32 mesh points in frame pixels.

    The eyes count as nose, which is never drawn anew: on a tilted head one may lie in the lower half.
    """
    labels = np.zeros((SIDE, SIDE), dtype=np.uint8)
    places = (with_chin(points) - (expanded.left, expanded.top)) * (SIDE / expanded.width) - 0.5
    corners = np.round(places * 2**_SHIFT).astype(np.int32)
    oval = cv2.convexHull(corners[np.array(FACE_OVAL)])  # a face from the side may cross its own outline
    for ring, label in (
        (oval, SKIN),
        (corners[np.array(NOSE_RING)], NOSE),
        *((corners[np.array(ring)], NOSE) for ring in EYE_RINGS),
        (corners[np.array(OUTER_LIPS)], MOUTH),
    ):
        cv2.fillPoly(labels, [ring], label, shift=_SHIFT)
    return labels


def alpha(labels: Pixels, box: Box, expanded: Box, mode: ParsingMode, cheek_width: int) -> Floats:
    """How much of the drawing is seen in each pixel of `box`, (h, w) float32, 0 to 1.

    `labels` is the (512, 512) uint8 class map of the square `expanded` (see `crop.expanded`).
    """
    return _softened(drawn(labels, mode, cheek_width), box, expanded, box)


def drawn(labels: Pixels, mode: ParsingMode, cheek_width: int, solid: bool = False) -> Pixels:
    """255 where a class map's mouth and skin are drawn anew, else 0; of its shape, uint8.

    Where `solid`, nose and mouth are no holes in the skin while its outline is moved.
    """
    mouth = np.isin(labels, (MOUTH, UPPER_LIP, LOWER_LIP))
    skin = labels == SKIN
    if mode == "jaw":
        ground = skin | mouth | (labels == NOSE) if solid else skin
        skin = (_jaw(ground.astype(np.uint8) * 255, cheek_width) == 255) & (labels != NOSE)
    return np.where(skin | mouth, np.uint8(255), np.uint8(0))


def _softened(picture: Pixels, box: Box, expanded: Box, within: Box) -> Floats:
    """The lower half of the square's mask, (512, 512) uint8, cut to `within`, blurred, and seen through `box`."""
    mask = np.asarray(
        Image.fromarray(picture).resize((expanded.width, expanded.height))  # bicubic, and averaging
    )
    half = max(within.top, expanded.top + expanded.height // 2)
    lower = Box(within.left, min(half, within.bottom), within.right, within.bottom)
    radius = blur_radius(expanded)
    padded = np.zeros((box.height + 2 * radius, box.width + 2 * radius), dtype=np.uint8)
    padded[_slices(lower, box.left - radius, box.top - radius)] = mask[
        _slices(lower, expanded.left, expanded.top)
    ]
    blurred = cv2.GaussianBlur(padded, (2 * radius + 1, 2 * radius + 1), 0)
    return np.asarray(blurred[radius : radius + box.height, radius : radius + box.width] / np.float32(255))


def blur_radius(expanded: Box) -> int:
    """How far the blur of the mask reaches, in pixels."""
    return int(BLUR * expanded.width // 2 * 2) // 2


def _inset(box: Box, radius: int, width: int, height: int) -> Box:
    """The box without as much of its sides as the blur will fill, but with more where the frame ends."""
    less = 2 * radius // 3 + 2
    return Box(
        box.left - radius if box.left <= 0 else box.left + less,
        box.top,
        box.right + radius if box.right >= width else box.right - less,
        box.bottom + radius if box.bottom >= height else box.bottom - less,
    )


def _slices(box: Box, left: int, top: int) -> tuple[slice, slice]:
    """The rows and columns of a box in an array whose first pixel is that one of the frame."""
    return slice(box.top - top, box.bottom - top), slice(box.left - left, box.right - left)


def _jaw(skin: Pixels, cheek_width: int) -> Pixels:
    """The skin made larger, mostly upwards, and narrower in the cheeks: the chin may move, the ears may not."""
    grown = cv2.dilate(skin, _CONE)
    narrow = cv2.erode(grown, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (35, 3)), iterations=2)
    middle = SIDE // 2
    inner = np.s_[:, middle - cheek_width + 1 : middle + cheek_width]
    narrow[inner] = grown[inner]
    return np.asarray(narrow, dtype=np.uint8)


def _cone() -> Pixels:
    """(33, 33) uint8: what each pixel of skin grows to, upside down: a cone (21 rows) with a shaft (12 rows)."""
    kernel: NDArray[np.uint8] = np.zeros((33, 33), dtype=np.uint8)
    for row in range(10, 33):
        half = min(row - 10, 10)
        kernel[row, 16 - half : 17 + half] = 1
    return kernel


_CONE = _cone()
