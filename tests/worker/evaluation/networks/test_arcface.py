import cv2
import numpy as np
import pytest
from uniface.face_utils import face_alignment
from uniface.recognition.base import BaseRecognizer

from contract.errors import ConfigurationError
from tests.worker.evaluation import scene
from tests.worker.evaluation.networks import arcface_file
from worker.evaluation.networks import arcface as arcface_module
from worker.evaluation.networks.arcface import PLACES, ArcFace, _similarity, aligned, five_points
from worker.faces.face import Face


@pytest.fixture(scope="module")
def arcface(tmp_path_factory):
    return ArcFace(arcface_file.write(tmp_path_factory.mktemp("onnx") / "w600k_r50.onnx"), 1)


def turned(face, degrees):
    angle = np.deg2rad(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = face.points.mean(axis=0)
    return Face(((face.points - middle) @ matrix.T + middle).astype(np.float32), 1.0)


@pytest.mark.parametrize("degrees", [0, 25, -70])
@pytest.mark.parametrize(("middle", "height"), [((320, 240), 60), ((320, 240), 300), ((40, 30), 90)])
def test_a_face_is_cut_out_as_uniface_does_wherever_it_lies(middle, height, degrees):
    frame = scene.frame(3, 640, 480)
    face = turned(scene.face(middle, height), degrees)
    wanted, _ = face_alignment(frame.rgb(), five_points(face))
    found = aligned(frame, face)
    assert found.shape == (112, 112, 3) and found.dtype == np.uint8
    # The frame's part has chroma of its own at its border, and OpenCV rounds places to 1/32 px.
    assert np.abs(found.astype(int) - wanted).mean() < 1
    assert np.percentile(np.abs(found.astype(int) - wanted), 95) <= 4


def test_the_five_points_lie_left_to_right_and_near_their_places():
    points = five_points(turned(scene.face(height=200), 30))
    matrix = _similarity(points, PLACES)
    assert np.abs(points @ matrix[:, :2].T + matrix[:, 2] - PLACES).max() < 6  # of 112 px; this one smiles


def test_the_chosen_tip_of_the_nose_fits_the_places_better_than_the_other_one(monkeypatch):
    def misfit(nose):
        monkeypatch.setattr(arcface_module, "NOSE", nose)
        points = five_points(scene.face(height=200))
        matrix = _similarity(points, PLACES)
        return np.square(points @ matrix[:, :2].T + matrix[:, 2] - PLACES).sum()

    chosen = arcface_module.NOSE
    assert misfit(chosen) < misfit({1: 4, 4: 1}[chosen])


def test_the_transform_is_exact_where_it_can_be():
    angle, scale = np.deg2rad(40), 1.7
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = ((PLACES - (5, -9)) @ np.linalg.inv(matrix).T).astype(np.float32)
    found = _similarity(points, PLACES)
    np.testing.assert_allclose(found, np.column_stack([matrix, (5, -9)]), atol=1e-4)


def test_a_face_outside_of_the_frame_is_black_and_no_crash():
    assert not aligned(scene.frame(0), scene.face((-500, 60))).any()


def test_the_network_is_given_what_unifaces_is(arcface):
    crop = aligned(scene.frame(1), scene.face())

    class Theirs(BaseRecognizer):
        def __init__(self):
            self.input_mean = self.input_std = 127.5
            self.input_size = (112, 112)

    blob = Theirs().preprocess(cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))
    wanted = arcface._session.run(None, {arcface._input: blob})[0]
    np.testing.assert_allclose(arcface.embeddings([crop])[0], (wanted / np.linalg.norm(wanted))[0], atol=1e-6)


def test_embeddings_have_length_one_and_do_not_depend_on_their_batch(arcface, tmp_path):
    crops = [aligned(scene.frame(seed), scene.face()) for seed in range(5)]
    found = arcface.embeddings(crops)
    assert found.shape == (5, 512) and found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    single = ArcFace(arcface_file.write(tmp_path / "single.onnx", batch=1), 1)  # takes one at a time
    np.testing.assert_allclose(single.embeddings(crops), found, atol=1e-6)


@pytest.mark.parametrize("other", [{"features": 128}, {"side": 140}])
def test_another_network_is_refused_by_name(tmp_path, other):
    with pytest.raises(ConfigurationError, match=r"other\.onnx is another network: .*1, 512"):
        ArcFace(arcface_file.write(tmp_path / "other.onnx", **other), 1)
