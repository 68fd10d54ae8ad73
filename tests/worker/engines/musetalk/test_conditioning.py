"""The latents of a face, against upstream's own numbers."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.golden import signal
from contract.errors import EngineFailed
from worker.engines.musetalk.conditioning import Conditioner, normalised

ROUNDING = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module")
def golden():
    return np.load(signal.GOLDEN)


@pytest.fixture(scope="module")
def networks():
    return signal.networks()


@pytest.fixture
def batches(networks):
    """The number of pictures in each of the VAE's batches."""
    sizes = []
    hook = networks.vae.encoder.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    yield sizes
    hook.remove()


def test_the_latents_are_upstreams(networks, golden):
    ours = Conditioner(networks, 1).latents(signal.pictures(1))
    assert ours.shape == (1, 8, 32, 32)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours[:, :, ::2, ::2], golden["latents"], **ROUNDING)


def test_every_level_of_a_pixel_becomes_what_upstream_makes_of_it():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    upstream = (torch.FloatTensor(np.asarray(levels) / 255.0).permute(0, 3, 1, 2) - 0.5) / 0.5
    assert torch.equal(normalised(torch.from_numpy(levels))[1:], upstream)


def test_the_lower_half_is_hidden_exactly_and_the_upper_half_is_not():
    hidden, whole = normalised(torch.from_numpy(signal.pictures(1)))
    assert (hidden[:, 128:] == -1).all()
    assert torch.equal(hidden[:, :128], whole[:, :128])
    assert (whole[:, 128:] != -1).any()


def test_the_first_four_channels_do_not_know_the_mouth_and_the_others_do(networks):
    pictures = signal.pictures(2)
    pictures[1, :128] = pictures[0, :128]
    one, other = Conditioner(networks, 2).latents(pictures)
    assert np.array_equal(one[:4], other[:4])
    assert not np.allclose(one[4:], other[4:], atol=0.01)


def test_both_halves_are_one_batch_of_the_vae(networks, batches):
    Conditioner(networks, 3).latents(signal.pictures(3))
    assert batches == [6]


def test_the_same_pictures_give_the_same_bytes(networks):
    first, again = (Conditioner(networks, 2).latents(signal.pictures(3)).tobytes() for _ in range(2))
    assert first == again


def test_a_picture_does_not_depend_on_its_company_nor_on_its_place(networks):
    conditioner, pictures = Conditioner(networks, 4), signal.pictures(3)
    together = conditioner.latents(pictures)
    assert np.array_equal(conditioner.latents(pictures[::-1].copy()), together[::-1])
    for picture, expected in zip(pictures, together, strict=True):
        assert np.array_equal(conditioner.latents(picture[None])[0], expected)


def test_another_size_of_batch_moves_the_last_digits_at_most(networks):
    pictures = signal.pictures(3)
    by_fours, one_by_one = (Conditioner(networks, size).latents(pictures) for size in (4, 1))
    np.testing.assert_allclose(by_fours, one_by_one, **ROUNDING)


def test_a_short_batch_is_padded_and_its_padding_dropped(networks):
    conditioner, pictures = Conditioner(networks, 4), signal.pictures(4)
    full = conditioner.latents(pictures)
    assert np.array_equal(conditioner.latents(pictures[:1]), full[:1])
    assert np.array_equal(conditioner.latents(pictures[:3]), full[:3])


def test_half_precision_gives_half_precision_near_the_single(networks):
    half = replace(networks, vae=signal.vae().half(), dtype=torch.float16)
    ours, single = (Conditioner(each, 1).latents(signal.pictures(1)) for each in (half, networks))
    assert ours.dtype == np.float16
    np.testing.assert_allclose(ours, single, rtol=0, atol=0.01)


def test_latents_that_are_no_numbers_are_never_kept(networks):
    vae = copy.deepcopy(networks.vae)
    vae.quant_conv.bias[0] = float("nan")
    with pytest.raises(EngineFailed, match="VAE gave NaN"):
        Conditioner(replace(networks, vae=vae), 2).latents(signal.pictures(1))
