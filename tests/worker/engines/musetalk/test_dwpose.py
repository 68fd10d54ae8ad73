import sys

import numpy as np
import pytest

from contract.errors import ConfigurationError, EngineFailed
from tests.worker.engines.musetalk import onnx_file
from worker.engines.musetalk.dwpose import DwPose

FACE = slice(23, 91)
NOTHING = {"across": np.zeros((133, 576)), "down": np.zeros((133, 768))}


def network(path, sees, across, down, width=288):
    """Points for which `sees` is 1 follow the reddest place; `across` and `down` are added to all answers."""
    constants = {
        "red": np.array([1.0, 0, 0]).reshape(1, 3, 1, 1),
        "bright": np.full((1, 1), 3.0),  # makes black positive, too
        "sees": np.asarray(sees, dtype=float).reshape(1, 133, 1),
        "twice_x": np.kron(np.eye(width), [1, 0.5]),
        "twice_y": np.kron(np.eye(384), [1, 0.5]),
        "add_x": across[None, :, : 2 * width],
        "add_y": down[None],
    }
    nodes = [onnx_file.node("Mul", ["image", "red"], "redness"), *axis("x", 2), *axis("y", 3)]
    outputs = {"x": (1, 133, 2 * width), "y": (1, 133, 768)}
    return onnx_file.write(path, nodes, constants, {"image": (1, 3, 384, width)}, outputs)


def axis(name, other):
    """From redness, (1, 3, 384, 288), to the answers along one axis: every pixel has two places."""
    return [
        onnx_file.node("ReduceMean", ["redness"], f"mean_{name}", axes=[1, other], keepdims=0),
        onnx_file.node("Add", [f"mean_{name}", "bright"], f"bright_{name}"),
        onnx_file.node("MatMul", [f"bright_{name}", f"twice_{name}"], f"places_{name}"),
        onnx_file.node("Mul", [f"places_{name}", "sees"], f"seen_{name}"),
        onnx_file.node("Add", [f"seen_{name}", f"add_{name}"], name),
    ]


def followers():
    """The face's points follow, the body's and the hands' would be somewhere else."""
    sees = np.full(133, -1.0)
    sees[FACE] = 1
    return sees


@pytest.fixture(scope="module")
def pose(tmp_path_factory):
    return DwPose(network(tmp_path_factory.mktemp("onnx") / "pose.onnx", followers(), **NOTHING))


def picture(x, y, size, dot=7):
    """A red dot at (x, y) of a grey-blue picture of that (width, height)."""
    rgb = np.full((*size[::-1], 3), (20, 90, 220), np.uint8)
    rgb[y - dot : y + dot + 1, x - dot : x + dot + 1] = 250, 20, 20
    return rgb


@pytest.mark.parametrize(
    ("size", "at"),
    [((640, 360), (450, 120)), ((360, 640), (100, 500)), ((200, 200), (100, 100)), ((97, 61), (20, 30))],
    ids=["wide", "high", "square", "small and odd"],
)
def test_the_faces_68_points_are_found_in_the_frames_own_pixels(pose, size, at):
    dot = max(2, size[0] // 60)
    points = pose.points68(picture(*at, size, dot))
    assert points.shape == (68, 2)
    assert points.dtype == np.float32
    # 1.25 times the frame, made 3 by 4, has 576 places across; the dot is as wide as several
    place = 1.25 * max(size[0], 0.75 * size[1]) / 576
    np.testing.assert_allclose(points, np.tile(at, (68, 1)), atol=dot + 2 * place)


def test_colours_are_red_green_blue(pose):
    rgb = picture(450, 120, (640, 360))
    swapped = pose.points68(np.ascontiguousarray(rgb[..., ::-1]))
    assert np.abs(swapped - (450, 120)).max() > 40


def test_the_mirror_images_points_count_as_those_of_the_other_side(tmp_path):
    """Upstream's flip test: the left ear of the mirror image is the right ear."""
    across, down = np.full((133, 576), 0.01), np.full((133, 768), 0.01)
    left, right = 23 + 0, 23 + 16
    across[left, 100], across[right, 500] = 1.0, 1.2
    down[left, 300], down[right, 340] = 1.0, 1.2
    pose = DwPose(network(tmp_path / "pose.onnx", np.zeros(133), across, down))
    points = pose.points68(np.zeros((768, 576, 3), np.uint8))  # 1.25 frame pixels to a place
    corner = np.array([576, 768]) * (1 - 1.25) / 2
    # of the left ear, 1.0 speaks for column 100 and 1.2 for the mirrored 500, which is 75
    np.testing.assert_allclose(points[0], corner + 1.25 * np.array([575 - 500, 340]), atol=0.01)
    np.testing.assert_allclose(points[16], corner + 1.25 * np.array([500, 340]), atol=0.01)


def test_every_point_has_its_mirror_image():
    from worker.engines.musetalk.dwpose import _MIRRORED as MIRRORED  # the table itself is what can be wrong

    assert sorted(MIRRORED) == list(range(68))
    assert [MIRRORED[each] for each in MIRRORED] == list(range(68))
    assert [number for number in range(68) if MIRRORED[number] == number] == [
        8,
        27,
        28,
        29,
        30,
        33,
        51,
        57,
        62,
        66,
    ]
    pairs = {
        0: 16,
        17: 26,
        21: 22,
        31: 35,
        36: 45,
        39: 42,
        37: 44,
        41: 46,
        48: 54,
        50: 52,
        59: 55,
        60: 64,
        67: 65,
    }
    assert {left: MIRRORED[left] for left in pairs} == pairs


def test_a_point_that_the_network_has_nothing_to_say_of_means_no_face(tmp_path):
    sees = followers()
    sees[[23 + 40, 23 + 47]] = 0  # the same lid of both eyes: each stands in for the other's mirror image
    pose = DwPose(network(tmp_path / "pose.onnx", sees, **NOTHING))
    assert pose.points68(picture(450, 120, (640, 360))) is None


def test_what_it_says_of_hands_and_feet_does_not_matter(tmp_path):
    pose = DwPose(network(tmp_path / "pose.onnx", np.abs(followers()), **NOTHING))
    other = DwPose(network(tmp_path / "other.onnx", followers(), **NOTHING))
    rgb = picture(450, 120, (640, 360))
    np.testing.assert_array_equal(pose.points68(rgb), other.points68(rgb))


def test_nothing_is_printed_and_the_threads_are_counted(tmp_path, capsys):
    pose = DwPose(network(tmp_path / "pose.onnx", followers(), **NOTHING), threads=2)
    options = pose._pose.session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert capsys.readouterr() == ("", "")


def test_a_file_that_is_no_network_is_refused_by_name(tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"<html>404</html>")
    with pytest.raises(ConfigurationError, match=r"broken\.onnx.*`dubline models fetch`"):
        DwPose(broken)
    with pytest.raises(ConfigurationError, match=r"nowhere\.onnx"):
        DwPose(tmp_path / "nowhere.onnx")  # the library alone would take this for an address


def test_a_pose_network_of_another_size_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigurationError, match=r"small\.onnx is another network"):
        DwPose(network(tmp_path / "small.onnx", followers(), **NOTHING, width=192))


def test_a_network_that_fails_is_the_engines_failure(tmp_path):
    pose = DwPose(network(tmp_path / "pose.onnx", followers(), **NOTHING))
    pose._pose.model_input_size = (96, 128)
    with pytest.raises(EngineFailed, match="DWPose failed"):
        pose.points68(np.zeros((40, 40, 3), np.uint8))


@pytest.mark.parametrize("library", ["rtmlib", "onnxruntime"])
def test_without_the_extra_the_remedy_is_named(tmp_path, monkeypatch, library):
    path = network(tmp_path / "pose.onnx", followers(), **NOTHING)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigurationError, match=r"pip install 'dubline\[upstream\]'"):
        DwPose(path)
