from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.golden.pictures import SIZES, picture, tensors
from worker.evaluation.networks.inception import Inception, InceptionNetwork, prepared

GOLDEN = Path(__file__).parents[1] / "golden.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


@pytest.fixture(scope="module")
def shapes():
    with torch.device("meta"):
        network = InceptionNetwork()
    return {name: tuple(each.shape) for name, each in network.state_dict().items()}


@pytest.fixture(scope="module")
def inception(tmp_path_factory, shapes):
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(tensors(shapes), path)
    found = Inception.load(path, 1)
    path.unlink()
    return found


def test_its_keys_are_those_of_torch_fidelitys_file_in_its_order(golden, shapes):
    assert list(shapes) == golden["inception_keys"].tolist()


def test_its_features_are_torch_fidelitys_for_pictures_of_any_size(golden, inception):
    found = inception.features([prepared(picture(*size, seed=1)) for size in SIZES])
    assert found.shape == (3, 2048) and found.dtype == np.float32
    np.testing.assert_allclose(found[:, ::16], golden["inception_features"], atol=1e-3)  # they are up to 25


def test_a_picture_is_enlarged_from_its_corner_as_tensorflow_does():
    """Pixel i is taken at i * 2 / 299: the second pixel's value is reached at 149.5, and stays from there."""
    row = prepared(np.repeat(np.array([[[0], [128]]], np.uint8), 3, axis=2))[0, 0]
    assert row[0] == -1 and row[150:].tolist() == [0.0] * 149
    assert row[75] == pytest.approx(150 / 299 - 1)


def test_colours_are_rgb_from_minus_one_to_one():
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[..., 0] = 255
    red, green, blue = prepared(pixels)
    assert red.unique().tolist() == [127 / 128]
    assert green.unique().tolist() == blue.unique().tolist() == [-1]
