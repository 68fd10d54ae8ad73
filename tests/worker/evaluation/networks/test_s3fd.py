"""Boxes of upstream's own code, joonson/syncnet_python@6efbb1c, with the weights of seeded.py and the same picture."""

import cv2
import numpy as np
import pytest
import torch

from tests.worker.evaluation.networks.seeded import fill
from worker.evaluation.networks import s3fd
from worker.evaluation.networks.s3fd import S3fd, S3fdNetwork

SCALES = {"L2Norm3_3": 3.0, "L2Norm4_3": 3.0, "L2Norm5_3": 3.0, "loc": 0.02, "conf": 0.03}
UPSTREAM = [
    [-201.87639, 98.00833, 235.02484, 558.15564],
    [-132.54115, -313.15518, 200.01303, 155.43867],
    [160.89914, -338.57541, 562.48895, 212.32509],
    [-266.21283, -124.6884, 1346.58618, 1185.68994],
]


@pytest.fixture(scope="module")
def network():
    return fill(S3fdNetwork(), seed=4, **SCALES)


@pytest.fixture(scope="module")
def picture():
    """Coloured squares, (366, 502, 3), RGB: no side is a multiple of the network's steps."""
    squares = np.random.default_rng(3).integers(0, 256, (10, 13, 3), dtype=np.uint8)
    return cv2.resize(squares, (502, 366), interpolation=cv2.INTER_NEAREST)


def test_the_boxes_are_upstreams_the_surest_first(network, picture):
    found = S3fd(network, torch.device("cpu")).detect(picture)
    assert found.dtype == np.float64
    assert found == pytest.approx(np.array(UPSTREAM), abs=1e-3)


def test_where_nothing_looks_like_a_face_there_are_no_boxes(network, picture, monkeypatch):
    monkeypatch.setattr(s3fd, "SURE", 1.0)
    assert S3fd(network, torch.device("cpu")).detect(picture).shape == (0, 4)


@pytest.mark.parametrize("side", [2, 40, 108, 110, 112])
def test_of_a_picture_of_any_size_there_is_an_answer(network, side):
    for shape in ((side, 200, 3), (200, side, 3)):
        assert S3fd(network, torch.device("cpu")).detect(np.zeros(shape, np.uint8)).shape[1] == 4


def test_what_only_a_dropped_box_pushed_out_stays_out():
    boxes = np.array([[0.0, 0, 100, 100], [75, 0, 175, 100], [110, 0, 210, 100]])  # overlaps: 0.14, then 0.48
    scores = np.array([0.99, 0.98, 0.97], np.float32)
    assert s3fd._distinct(boxes, scores).tolist() == [boxes[0].tolist()]


def test_of_boxes_apart_the_surest_comes_first():
    boxes = np.array([[0.0, 0, 50, 50], [100, 0, 150, 50], [200, 0, 250, 50]])
    scores = np.array([0.91, 0.99, 0.95], np.float32)
    assert s3fd._distinct(boxes, scores)[:, 0].tolist() == [100, 200, 0]


def test_the_finest_map_has_three_answers_against_a_face_and_the_strongest_counts():
    answers = torch.tensor([1.0, 3.0, 2.0, 2.0])[None, :, None, None]
    assert s3fd._faces(answers).item() == pytest.approx(1 / (1 + np.exp(3 - 2)))


def test_the_tensors_are_named_as_in_the_published_file():
    state = S3fdNetwork().state_dict()
    assert {name.split(".")[0] for name in state} == {"vgg", "extras", "loc", "conf", *s3fd._TAPS.values()}
    assert sum(each.numel() for each in state.values()) == 22_459_110  # of a file of 89,844,381 bytes
    assert state["vgg.33.weight"].shape == (1024, 1024, 1, 1)
    assert [state[f"conf.{at}.weight"].shape[0] for at in range(6)] == [4, 2, 2, 2, 2, 2]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")
def test_a_gpu_finds_what_the_cpu_finds(picture):
    there = S3fd(fill(S3fdNetwork(), seed=4, **SCALES).cuda(), torch.device("cuda"))
    assert there.detect(picture) == pytest.approx(np.array(UPSTREAM), abs=0.05)
