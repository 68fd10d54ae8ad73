"""Parts of the face as indices into the 468 mesh points. Left and right are the viewer's.

The rings are the connections of MediaPipe's `face_landmarks_connections` (Apache-2.0), put in drawing order.
"""

INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
"""Ring: from the left corner along the upper lip to the right corner, back along the lower."""

OUTER_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
"""Ring, in the order of INNER_LIPS and point for point beside it."""

FACE_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""Ring: from the top of the forehead clockwise through the chin (152)."""

JAW = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454)
"""Line: from the left ear through the chin (in the middle) to the right ear."""

FIXED = (
    *(168, 6, 197, 195, 5, 4, 2, 64, 98, 327, 294),  # nose: bridge to tip, base, wings
    *(33, 133, 159, 145, 362, 263, 386, 374),  # eyes: corners and lids
    *(105, 334, 10),  # brows, forehead
    *(50, 280, 117, 346),  # cheeks
    *(127, 356, 234, 454, 93, 323),  # temples, upper jaw
)
"""Points that stay where they are when a mouth talks."""
