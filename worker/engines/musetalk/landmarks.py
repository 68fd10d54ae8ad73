"""The 68 points that MuseTalk's box is made of, from the 468 of the mesh.

The 68 are those of iBUG 300-W (C. Sagonas et al., "300 Faces In-the-Wild Challenge", 2016), numbered from 0: the jaw
from the viewer's left ear through the chin to the right ear, brows, nose, eyes, lips. Upstream finds them with
DWPose (see `dwpose`).

Most of them have a point of the mesh beside them. Two places do not, and MuseTalk's box depends on both. They were
measured against dlib's 68-point predictor on 75 faces of four clips (two portraits, a film, a video call):

* Point 29 stands on the nose's bridge, 0.65 to 0.71 of the way from its top (27, mesh 168) to its tip (30, mesh 4);
  here 0.69 of it.
* The mesh's chin lies on the chin's front, 3 to 5 % of the face's height above its edge against the neck: the edge is
  1.17 to 1.2 times as far from the mouth. Here the contour is stretched down from the mouth by 1.18.

So the box of the two portraits has dlib's top and bottom within 1 % of the face's height, and its sides within 3 %.
"""

import numpy as np

from worker.faces.face import CHIN, FOREHEAD, INNER_LIP_BOTTOM, INNER_LIP_TOP, Points
from worker.faces.regions import FACE_OVAL

CHIN_STRETCH = 1.18
"""Distance of the chin's edge from the mouth over that of the mesh's chin."""
BRIDGE_TOP, NOSE_TIP = 168, 4
BRIDGE = (0.36, 0.69)
"""Where points 28 and 29 stand between the two."""

_JAW = (234, 93, 132, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 361, 323, 454)
_BROWS = (70, 105, 66, 107, 55, 285, 336, 296, 334, 300)
_NOSE = (BRIDGE_TOP, BRIDGE_TOP, BRIDGE_TOP, NOSE_TIP, 99, 97, 2, 326, 328)  # 28 and 29 follow from these
_EYES = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
_OUTER_LIPS = (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181)
_INNER_LIPS = (78, 82, 13, 312, 308, 317, 14, 87)
_NEAREST = np.array(_JAW + _BROWS + _NOSE + _EYES + _OUTER_LIPS + _INNER_LIPS)


def points68(mesh: Points) -> Points:
    """The 68 points of iBUG 300-W, (68, 2) float32, from the (468, 2) of the mesh; frame pixels both."""
    points: Points = with_chin(mesh)[_NEAREST]
    for number, part in zip((28, 29), BRIDGE, strict=True):
        points[number] = mesh[BRIDGE_TOP] + part * (mesh[NOSE_TIP] - mesh[BRIDGE_TOP])
    return points


def with_chin(mesh: Points) -> Points:
    """The mesh with its oval reaching down to the edge of the chin, (468, 2) float32."""
    down = mesh[CHIN] - mesh[FOREHEAD]
    down = down / max(float(np.linalg.norm(down)), 1e-6)
    mouth = (mesh[INNER_LIP_TOP] + mesh[INNER_LIP_BOTTOM]) / 2
    oval = np.array(FACE_OVAL)
    below = np.maximum((mesh[oval] - mouth) @ down, 0)
    stretched = mesh.astype(np.float32)  # a copy
    stretched[oval] += (CHIN_STRETCH - 1) * below[:, None] * down
    return stretched
