"""What leaving rows out costs: the measurement itself, on a decoder with few channels."""

import numpy as np
import pytest
import torch

from benchmarks import lower_half
from benchmarks.golden import signal
from benchmarks.lower_half import SEEN, STAGES, Whole, cost, decoded, recorded, replayed


@pytest.fixture(scope="module")
def vae():
    return signal.vae()


@pytest.fixture(scope="module")
def whole(vae):
    with torch.no_grad():
        return Whole.of(vae)


@pytest.fixture(scope="module")
def latents():
    return torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(1))


def test_with_nothing_left_out_the_picture_is_the_decoders(vae, latents):
    with torch.no_grad():
        assert torch.equal(decoded(vae, latents), vae.decode(latents).sample)


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_left_ends_with_the_seen_rows_of_the_picture(vae, latents, stage):
    with torch.no_grad():
        picture = decoded(vae, latents, stage, margin=2)
    assert SEEN < picture.shape[2] < 2 * SEEN
    assert picture.shape[3] == 256


def test_its_own_statistics_replayed_change_nothing(vae, latents):
    with torch.no_grad():
        with recorded(vae) as found:
            wanted = decoded(vae, latents)
        with replayed(vae, found, after="latents"):
            again = decoded(vae, latents)
        after = decoded(vae, latents)
    assert set(found) == set(lower_half.norms(vae))
    assert (again - wanted).abs().max() < 1e-4
    assert torch.equal(after, wanted), "hooks are gone"


def test_with_the_whole_pictures_statistics_a_wide_margin_leaves_no_error(whole):
    with torch.no_grad():
        part, wanted = whole.pair("up 3", 32, "exact")
        narrow, _ = whole.pair("up 3", 0, "exact")
    assert np.abs(part.astype(int) - wanted).max() <= 1
    assert np.abs(narrow.astype(int) - wanted).max() > 1, "or no margin is ever needed"


def test_only_norms_behind_the_cut_take_other_statistics():
    behind = [name for name in ("mid_block.x", "up_blocks.1.a", "up_blocks.2.a", "conv_norm_out")]
    assert [lower_half.comes_after(name, "up 2") for name in behind] == [False, False, True, True]
    assert all(lower_half.comes_after(name, "latents") for name in behind)


def test_less_is_computed_the_earlier_rows_are_left_out():
    all_of_it, early, late = (
        lower_half.gflop(*each) for each in (("latents", SEEN), ("latents", 4), ("up 3", 4))
    )
    assert early < late < all_of_it == pytest.approx(622, abs=1)


def test_the_two_faces_differ_where_the_mouth_is_and_nowhere_above(whole):
    face, other = (each.numpy()[0].astype(int) for each in lower_half.faces())
    assert np.abs(face - other)[: 256 * 2 // 3].max() == 0
    assert np.abs(face - other)[256 * 2 // 3 :].mean() > 1


def test_a_narrow_autoencoder_has_as_many_channels_in_a_group():
    vae = lower_half.autoencoder(seed=0, narrow=16)
    norm = vae.decoder.conv_norm_out
    assert (norm.num_channels, norm.num_groups) == (8, 2)
    assert not any(each.requires_grad for each in vae.parameters())


def test_differences_become_figures():
    wanted = np.zeros((4, 5, 3), np.uint8)
    part = wanted.copy()
    part[0, 0, 0] = 6
    found = cost([(part, wanted)], "up 1", 2, "own", 0.5)
    assert (found.largest, found.mean) == (6, 0.1)
    assert found.psnr == pytest.approx(10 * np.log10(255**2 / 0.6), abs=0.01)
