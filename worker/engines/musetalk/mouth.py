"""From the networks' picture to what is pasted: in the box's size, on the grid of the frame's chroma, with its mask."""

import numpy as np

from worker.engines.base import Mouth
from worker.engines.musetalk import crop
from worker.engines.musetalk.prepared import Prepared
from worker.media.frame import Pixels


def mouth(prepared: Prepared, picture: Pixels) -> Mouth:
    """Where the box is off the chroma grid, with a row or column more, of which nothing is seen."""
    face = prepared.box
    box = face.even_within(face.right + 1, face.bottom + 1)
    around = ((face.top - box.top, box.bottom - face.bottom), (face.left - box.left, box.right - face.right))
    rgb = np.pad(crop.from_256(picture, face.width, face.height), (*around, (0, 0)))
    return Mouth(rgb, np.divide(np.pad(prepared.mask, around), 255, dtype=np.float32), box)
