"""The pictures that the networks draw, against upstream's own."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.golden import signal
from contract.errors import EngineFailed
from worker.engines.musetalk.audio import Windows
from worker.engines.musetalk.generator import Generator, pixels
from worker.engines.musetalk.unet import FoldedUnet


@pytest.fixture(scope="module")
def golden():
    return np.load(signal.GOLDEN)


@pytest.fixture(scope="module")
def networks():
    return signal.networks()


@pytest.fixture(scope="module")
def windows(networks):
    return torch.stack(Windows(signal.sound(16_000), 25, networks)[:4])


def drawn(networks, windows, count, batch_size):
    return Generator(networks, batch_size).pictures(signal.latents(count).numpy(), windows[:count])


def furthest(one, other):
    return np.abs(one.astype(int) - other).max()


def test_the_pictures_are_upstreams(networks, windows, golden):
    ours = drawn(networks, windows, 2, 2)
    assert ours.shape == (2, 256, 256, 3)
    assert ours.dtype == np.uint8
    assert furthest(ours[:, ::4, ::4], golden["pictures"]) <= 1
    assert (ours[:, ::4, ::4] == golden["pictures"]).mean() > 0.999


def test_pixels_are_rounded_and_clamped_as_upstream_does_it():
    decoded = torch.randn((2, 3, 16, 16), generator=torch.Generator().manual_seed(7)) * 1.2
    unit = (decoded / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).float().numpy()
    assert np.array_equal(pixels(decoded).numpy(), (unit * 255).round().astype("uint8"))
    assert 0 in pixels(decoded)
    assert 255 in pixels(decoded)


def test_halves_round_to_even_as_numpy_does():
    halves = torch.arange(255).float() + 0.5
    decoded = halves / 255 * 2 - 1
    exact = (decoded / 2 + 0.5) * 255 == halves
    assert exact.sum() > 100
    rounded = pixels(decoded[exact].reshape(1, 1, 1, -1)).flatten()
    assert (rounded % 2 == 0).all()


def test_pixels_lie_as_pictures_do():
    assert pixels(torch.zeros((1, 3, 4, 6))).is_contiguous()
    assert pixels(torch.zeros((1, 3, 4, 6)).to(memory_format=torch.channels_last)).shape == (1, 4, 6, 3)


def test_the_sound_and_its_order_change_the_picture(networks, windows):
    assert windows[1].ne(windows[3]).any()
    latents = signal.latents(1).numpy()
    generator = Generator(networks, 1)
    heard = generator.pictures(latents, windows[1:2])
    assert not np.array_equal(heard, generator.pictures(latents, windows[3:4]))
    # attention alone is blind to order: only the positions tell rows apart
    assert not np.array_equal(heard, generator.pictures(latents, windows[1:2].flip(1)))


def test_the_same_input_gives_the_same_bytes(networks, windows):
    assert drawn(networks, windows, 3, 2).tobytes() == drawn(networks, windows, 3, 2).tobytes()


def test_a_picture_does_not_depend_on_its_company_nor_on_its_place(networks, windows):
    generator, latents = Generator(networks, 4), signal.latents(4).numpy()
    together = generator.pictures(latents, windows)
    assert np.array_equal(generator.pictures(latents[::-1].copy(), windows.flip(0)), together[::-1])
    for row in range(4):
        alone = generator.pictures(latents[row : row + 1], windows[row : row + 1])
        assert np.array_equal(alone[0], together[row])


def test_another_size_of_batch_moves_a_level_by_one_at_most(networks, windows):
    alone = drawn(networks, windows, 1, 1)
    for count, batch_size in ((1, 4), (3, 3), (3, 4), (4, 2)):
        assert furthest(drawn(networks, windows, count, batch_size)[:1], alone) <= 1


def test_a_short_batch_is_padded_and_its_padding_dropped(networks, windows):
    full = drawn(networks, windows, 4, 4)
    for count in (1, 3):
        assert np.array_equal(drawn(networks, windows, count, 4), full[:count])


def test_half_precision_stays_near_the_single(networks, windows):
    half = replace(
        networks, unet=FoldedUnet(signal.unet()).half(), vae=signal.vae().half(), dtype=torch.float16
    )
    ours, single = drawn(half, windows.half(), 1, 1), drawn(networks, windows, 1, 1)
    assert np.abs(ours.astype(int) - single).mean() < 2


@pytest.fixture
def spoilt(networks):
    """The networks with one weight of the VAE's last layer replaced."""

    def build(value):
        vae = copy.deepcopy(networks.vae)
        vae.decoder.conv_out.bias[1] = value
        return replace(networks, vae=vae)

    return build


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_never_drawn_in_black_or_white(spoilt, windows, value):
    with pytest.raises(EngineFailed, match=r"NaN or infinity for 2 of 2 frames; .*dubline models verify"):
        drawn(spoilt(value), windows, 2, 2)


def test_the_one_frame_that_is_no_number_is_found_among_others(networks, windows):
    latents = signal.latents(3).numpy()
    latents[1, 5, 7, 9] = np.nan
    with pytest.raises(EngineFailed, match="for 1 of 3 frames"):
        Generator(networks, 2).pictures(latents, windows[:3])


def test_numbers_however_large_are_drawn(spoilt, windows):
    assert drawn(spoilt(1e6), windows, 1, 1)[..., 1].min() == 255
