import math
from pathlib import Path

import numpy as np
import pytest

from contract.job import JobOptions
from worker.engines.musetalk import crop, mask
from worker.engines.musetalk.landmarks import points68
from worker.engines.musetalk.variants import V1, V15
from worker.media.frame import Box

GOLDEN = Path(__file__).parent / "golden_faces.npz"
PORTRAIT = Path(__file__).parents[1] / "preview" / "portrait_points.npy"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as numbers:
        return dict(numbers)


@pytest.fixture(scope="module")
def portrait():
    return np.load(PORTRAIT).astype(np.float32)


def posed(points, height, x=320.0, y=180.0, degrees=0.0, narrow=1.0):
    """The mesh with its middle at (x, y), that high from forehead to chin, turned and made narrower."""
    scale = height / np.linalg.norm(points[10] - points[152])
    turn = math.radians(degrees)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    upright = (points - points.mean(axis=0)) * scale * (narrow, 1)
    return (upright @ rotation.T + (x, y)).astype(np.float32)


def drawn(points, variant=V15, mode="jaw", size=(640, 360)):
    box = crop.face_box(points68(points), variant, JobOptions(), *size)
    return box, mask.from_mesh(points, box, *size, mode, variant.cheek_width)


@pytest.mark.parametrize("number", range(8))
def test_masks_are_upstreams_to_the_bit(golden, number):
    box = Box(*(int(each) for each in golden["mask_boxes"][number]))
    mode, cheek = str(golden["mask_modes"][number]), int(golden["mask_cheeks"][number])
    found = mask.alpha(golden[f"labels_{number}"], box, crop.expanded(box), mode, cheek)
    assert found.shape == (box.height, box.width)
    assert found.dtype == np.float32
    wanted = golden[f"mask_{number}"]
    assert 0.03 < wanted.mean() / 255 < 0.9  # a mask that is all or nothing would prove nothing
    np.testing.assert_array_equal(np.rint(found * 255), wanted)


def test_a_float_blend_with_the_mask_gives_upstreams_pixels_to_the_bit(golden):
    box = Box(*(int(each) for each in golden["blend_box"]))
    around = golden["blend_around"]  # the frame's pixels from (270, 170)
    frame = around[box.top - 170 : box.bottom - 170, box.left - 270 : box.right - 270].astype(np.float32)
    alpha = mask.alpha(golden["blend_labels"], box, crop.expanded(box), "jaw", 90)[..., None]
    blended = np.rint(frame * (1 - alpha) + golden["blend_face"] * alpha)
    np.testing.assert_array_equal(blended, golden["blend_result"])


def test_the_meshs_classes_are_where_the_face_has_them(portrait):
    points = posed(portrait, 200)
    square = crop.expanded(crop.face_box(points68(points), V15, JobOptions(), 640, 360))
    labels = mask.mesh_labels(points, square)

    def label(at):
        column, row = ((at - (square.left, square.top)) * 512 / square.width).astype(int)
        return labels[row, column]

    assert labels.shape == (512, 512)
    assert label(points[14]) == mask.MOUTH
    assert label((points[0] + points[13]) / 2) == mask.MOUTH  # the upper lip
    assert label(points[4]) == mask.NOSE
    assert label(points[50]) == label(points[280]) == mask.SKIN  # cheeks
    assert label(points[152]) == mask.SKIN  # the mesh's chin is above the chin's edge
    assert label(points[152] + (0, 25)) == label(points[234] - (12, 0)) == 0  # neck, ear


@pytest.mark.parametrize("variant", [V15, V1], ids=["jaw", "raw"])
@pytest.mark.parametrize(
    "pose",
    [
        {"height": 200},
        {"height": 30},
        {"height": 150, "degrees": 35},
        {"height": 150, "narrow": 0.25},
        {"height": 330, "y": 200},
    ],
    ids=["upright", "small", "tilted", "from the side", "larger than the frame"],
)
def test_the_meshs_mask_covers_the_mouth_and_ends_softly_in_the_box(portrait, variant, pose):
    points = posed(portrait, **pose)
    box, alpha = drawn(points, variant, variant.parsing)
    assert alpha.shape == (box.height, box.width)
    assert alpha.dtype == np.float32
    assert np.all((alpha >= 0) & (alpha <= 1))
    column, row = (points[14] - (box.left, box.top)).astype(int)
    assert alpha[row, column] > 0.95
    assert alpha[: box.height // 4].max() == 0
    edges = [alpha[:, 0], alpha[:, -1]]
    if box.bottom < 360:
        edges.append(alpha[-1])
    assert max(edge.max() for edge in edges) < 0.03


@pytest.mark.parametrize("x", [10.0, 630.0], ids=["left", "right"])
def test_a_mask_stays_whole_up_to_the_edge_that_a_face_leaves_the_frame_by(portrait, x):
    points = posed(portrait, 200, x=x)
    box, alpha = drawn(points, V1, "raw")
    at_the_edge, row = (0 if x < 320 else -1), int(points[14, 1]) - box.top
    assert (box.left == 0) or (box.right == 640)
    assert alpha[row, at_the_edge] > 0.95
    assert alpha[row, -1 - at_the_edge] < 0.03


def test_a_mask_stays_whole_where_the_chin_leaves_the_frame(portrait):
    points = posed(portrait, 200, y=300)
    box, alpha = drawn(points)
    assert box.bottom == 360
    assert alpha[-1, int(points[14, 0]) - box.left] > 0.95


def test_a_sliver_of_a_face_gets_a_mask_of_its_size(portrait):
    points = posed(portrait, 300, narrow=0.04)
    box, alpha = drawn(points)
    assert box.width < 16
    assert alpha.shape == (box.height, box.width)
    assert np.all(np.isfinite(alpha))


def test_an_eye_is_never_drawn_anew_however_the_head_is_tilted(portrait):
    points = posed(portrait, 200, degrees=-60)
    eyes = points[[159, 145, 386, 374]].reshape(2, 2, 2).mean(axis=1)
    for variant in (V15, V1):
        box, alpha = drawn(points, variant, variant.parsing)
        inside = [(eye - (box.left, box.top)).astype(int) for eye in eyes]
        assert max(row for _, row in inside) > box.height / 2  # one lies in the half that is drawn
        assert max(alpha[row, column] for column, row in inside) < 0.1


def test_no_hole_grows_around_the_mouth_of_a_solid_face():
    """A mouth beside the middle, where upstream's rule narrows what is around it."""
    labels = np.zeros((512, 512), np.uint8)
    labels[60:450, 60:450] = mask.SKIN
    labels[280:360, 330:400] = mask.MOUTH
    holed, solid = (mask.drawn(labels, "jaw", 90, solid=each) for each in (False, True))
    assert holed[320, 410] == 0
    assert solid[320, 410] == 255
    assert np.all(solid[holed == 255] == 255)


def test_upstreams_jaw_spares_the_cheeks_and_reaches_over_the_chin():
    labels = np.zeros((512, 512), np.uint8)
    labels[100:400, 100:412] = mask.SKIN
    raw, jaw = mask.drawn(labels, "raw", 90) > 0, mask.drawn(labels, "jaw", 90) > 0
    assert (np.flatnonzero(raw[300])[0], np.flatnonzero(raw[:, 256])[-1]) == (100, 399)
    assert np.flatnonzero(jaw[300])[0] == 100 - 10 + 34
    assert np.flatnonzero(jaw[:, 256])[-1] == 399 + 6
    assert np.flatnonzero(jaw[:, 256])[0] == 100 - 16


def test_the_nose_is_never_drawn_and_the_lips_always_are():
    labels = np.full((512, 512), mask.SKIN, np.uint8)
    labels[240:280, 240:272] = mask.NOSE
    labels[:, :60] = 17  # hair
    for row, label in enumerate((mask.MOUTH, mask.UPPER_LIP, mask.LOWER_LIP)):
        labels[20 * row : 20 * row + 10, :20] = label
    for mode in ("raw", "jaw"):
        found = mask.drawn(labels, mode, 90)
        assert not found[240:280, 240:272].any()
        assert np.all(found[0:10, :20] == 255)
        assert np.all(found[20:30, :20] == 255)
        assert np.all(found[40:50, :20] == 255)
