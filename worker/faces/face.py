"""One face in one frame: 468 mesh points and what they say."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]

# Indices into MediaPipe's canonical 468-point face mesh.
FOREHEAD, CHIN = 10, 152
MOUTH_LEFT, MOUTH_RIGHT = 61, 291  # corners, as seen by the viewer on an unmirrored picture
INNER_LIP_TOP, INNER_LIP_BOTTOM = 13, 14


@dataclass(frozen=True)
class Face:
    """`points` is (468, 2) float32, x and y in frame pixels, smoothed in time; `score` is the mesh's, 0 to 1."""

    points: Points
    score: float

    @property
    def height(self) -> float:
        """Forehead to chin, in pixels."""
        return float(np.linalg.norm(self.points[FOREHEAD] - self.points[CHIN]))

    @property
    def aperture(self) -> float:
        """Gap between the inner lips over the face's height; 0 is shut, about 0.1 wide open."""
        gap = self.points[INNER_LIP_BOTTOM] - self.points[INNER_LIP_TOP]
        return float(np.linalg.norm(gap)) / max(self.height, 1e-6)
