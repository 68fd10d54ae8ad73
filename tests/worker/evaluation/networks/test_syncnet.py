"""Numbers of upstream's own code, joonson/syncnet_python@6efbb1c, with the weights of seeded.py and the same inputs."""

import numpy as np
import pytest
import torch

from tests.worker.evaluation.networks.seeded import fill
from worker.evaluation.networks.syncnet import Streams, SyncNetwork
from worker.evaluation.syncnet.mfcc import mfcc

CHANNELS = [0, 1, 511, 1023]
LIPS = [
    [-965.6370849609375, 983.6321411132812, -547.43994140625, 266.717529296875],
    [-959.5025634765625, 956.680908203125, -472.9945373535156, 228.4366912841797],
]
VOICES = [
    [39.19116973876953, 49.690269470214844, 10.253704071044922, -76.13069915771484],
    [35.19313049316406, 57.22415542602539, 10.390066146850586, -76.66707611083984],
]


@pytest.fixture(scope="module")
def streams():
    return Streams(fill(SyncNetwork(), seed=1), torch.device("cpu"))


@pytest.fixture(scope="module")
def inputs():
    """Six crops and the sound of seven frames."""
    rng = np.random.default_rng(2)
    crops = rng.integers(0, 256, (6, 224, 224, 3), dtype=np.uint8)
    return crops, rng.integers(-9000, 9000, 640 * 7).astype(np.int16)


def test_lips_are_upstreams_of_windows_of_five_crops_in_bgr(streams, inputs):
    found = streams.lips(inputs[0])
    assert found.shape == (2, 1024) and found.dtype == np.float32
    assert np.linalg.norm(found, axis=1) == pytest.approx([26520.673828125, 26521.462890625], rel=1e-5)
    assert found[:, CHANNELS] == pytest.approx(np.array(LIPS), rel=1e-4, abs=26520 * 1e-5)


def test_voices_are_upstreams_of_windows_of_twenty_cepstra_four_a_frame(streams, inputs):
    found = streams.voices(mfcc(inputs[1]), count=2)
    assert found.shape == (2, 1024) and found.dtype == np.float32
    assert np.linalg.norm(found, axis=1) == pytest.approx([1571.393310546875, 1569.2818603515625], rel=1e-5)
    assert found[:, CHANNELS] == pytest.approx(np.array(VOICES), rel=1e-4, abs=1571 * 1e-5)


def test_many_voices_are_those_of_each_alone(streams, inputs):
    cepstra = mfcc(np.tile(inputs[1], 40))
    many = streams.voices(cepstra, count=260)
    assert many.shape == (260, 1024)
    assert many[255:256] == pytest.approx(streams.voices(cepstra[4 * 255 :], count=1), rel=1e-4, abs=1e-2)


def test_the_tensors_are_named_as_in_the_published_file():
    state = SyncNetwork().state_dict()
    assert {name.split(".")[0] for name in state} == {"netcnnaud", "netfcaud", "netcnnlip", "netfclip"}
    assert sum(each.numel() for each in state.values()) == 13_640_270  # of a file of 54,573,114 bytes
    assert state["netcnnlip.0.weight"].shape == (96, 3, 5, 7, 7)
    assert state["netcnnaud.18.weight"].shape == (512, 256, 5, 4)
    assert state["netfclip.3.weight"].shape == (1024, 512)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")
def test_a_gpu_gives_what_the_cpu_gives(streams, inputs):
    there = Streams(fill(SyncNetwork(), seed=1).cuda(), torch.device("cuda"))
    assert there.lips(inputs[0]) == pytest.approx(streams.lips(inputs[0]), rel=1e-3, abs=26520 * 1e-4)
