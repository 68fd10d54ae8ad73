from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.golden.pictures import SIZES, pairs, picture, tensors
from contract.errors import ConfigurationError
from worker.evaluation.networks.alexnet import AlexNet, Heads, Lpips

GOLDEN = Path(__file__).parents[1] / "golden.npz"


def shapes(build):
    with torch.device("meta"):
        return {name: tuple(each.shape) for name, each in build().state_dict().items()}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Backbone and heads; the classifier's zeros take no room."""
    folder = tmp_path_factory.mktemp("lpips")
    for seed, build in ((1, AlexNet), (2, Heads)):
        torch.save(tensors(shapes(build), seed), folder / build.__name__)
    return folder / "AlexNet", folder / "Heads"


@pytest.fixture(scope="module")
def lpips(files):
    return Lpips.load(*files, threads=1)


def test_the_distance_is_the_lpips_packages(lpips):
    with np.load(GOLDEN) as golden:
        wanted = golden["lpips"]
    found = [lpips.distance(*pair) for pair in pairs()]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_a_picture_is_no_distance_from_itself_and_the_way_back_is_as_long(lpips):
    one, other = pairs()[0]
    assert lpips.distance(one, one) == 0
    assert lpips.distance(one, other) == pytest.approx(lpips.distance(other, one), rel=1e-6)


def test_more_of_a_change_is_farther(lpips):
    plain = picture(*SIZES[0], seed=1)
    blurs = [np.clip(plain.astype(int) + shift, 0, 255).astype(np.uint8) for shift in (2, 10, 40)]
    near, middle, far = (lpips.distance(plain, each) for each in blurs)
    assert 0 < near < middle < far


def test_keys_are_those_of_torchvisions_file_and_of_the_lpips_wheels():
    layers = [f"features.{n}" for n in (0, 3, 6, 8, 10)] + [f"classifier.{n}" for n in (1, 4, 6)]
    assert list(shapes(AlexNet)) == [f"{each}.{part}" for each in layers for part in ("weight", "bias")]
    assert shapes(Heads) == {
        f"lin{n}.model.1.weight": (1, channels, 1, 1) for n, channels in enumerate((64, 192, 384, 256, 256))
    }


def test_the_smallest_picture_that_the_metric_gives_passes(lpips):
    assert lpips.distance(picture(64, 64, 1), picture(64, 64, 2)) > 0


def test_files_in_each_others_place_are_refused(files):
    backbone, heads = files
    with pytest.raises(ConfigurationError, match="Heads is another network's"):
        Lpips.load(heads, backbone, threads=1)
