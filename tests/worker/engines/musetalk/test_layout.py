"""The same networks, lying otherwise."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.golden import signal
from tests.worker.engines.musetalk import golden
from worker.engines.musetalk.audio import Windows
from worker.engines.musetalk.conditioning import Conditioner
from worker.engines.musetalk.generator import Generator
from worker.engines.musetalk.layout import LAYOUTS, ChannelNorm, suiting
from worker.engines.musetalk.networks import Networks

CPU = torch.device("cpu")
LAST = torch.channels_last
OTHERWISE = ("conv_in", "post_quant_conv", "proj_out")
"""The first two are given what comes from outside, the last what diffusers' attention has made contiguous."""


@pytest.fixture(scope="module")
def laid(tmp_path_factory):
    """The networks of the golden numbers in each layout."""
    files = golden.write(tmp_path_factory.mktemp("golden"))
    return {layout: Networks.load(files, CPU, torch.float32, layout) for layout in LAYOUTS}


@pytest.fixture(scope="module")
def windows(laid):
    return torch.stack(Windows(signal.sound(16_000), 25, laid["contiguous"])[:2])


def test_a_gpu_and_a_cpu_each_get_what_suits_them():
    assert (suiting(torch.device("cuda")), suiting(CPU)) == ("throughout", "contiguous")


@pytest.mark.parametrize(
    ("layout", "most"), [("contiguous", 1e-5), ("channels-last", 1e-3), ("throughout", 1e-3)]
)
def test_latents_are_upstreams_however_the_networks_lie(laid, layout, most):
    """Where channels lie beside each other either norm loses digits: half of these faces is one black plane."""
    found = Conditioner(laid[layout], 1).latents(signal.pictures(1))
    wanted = np.load(signal.GOLDEN)["latents"]
    np.testing.assert_allclose(found[:, :, ::2, ::2], wanted, rtol=0, atol=most)


@pytest.mark.parametrize(("layout", "most"), [("contiguous", 1), ("channels-last", 4), ("throughout", 1)])
def test_pictures_are_upstreams_however_the_networks_lie(laid, windows, layout, most):
    found = Generator(laid[layout], 2).pictures(signal.latents(2).numpy(), windows)[:, ::4, ::4]
    assert np.abs(found.astype(int) - np.load(signal.GOLDEN)["pictures"]).max() <= most


def test_in_half_precision_our_norm_costs_no_more_than_half_precision_does(laid):
    pictures = signal.pictures(2)
    wanted = Conditioner(laid["contiguous"], 2).latents(pictures)
    off = {
        layout: np.abs(Conditioner(halved(laid[layout]), 2).latents(pictures) - wanted).mean()
        for layout in ("contiguous", "throughout")
    }
    assert 0 < off["throughout"] < 1.5 * off["contiguous"] < 0.01


def halved(networks):
    return replace(networks, vae=copy.deepcopy(networks.vae).half(), dtype=torch.float16)


def test_throughout_no_convolution_is_given_anything_that_must_be_turned_round(laid, windows):
    assert turned_round(laid["contiguous"], windows), "or nothing is found out here"
    assert turned_round(laid["throughout"], windows) == []


def turned_round(networks, windows):
    """Shapes of what a convolution is given plane by plane, while a frame is prepared and drawn."""
    found = []

    def look(_, inputs):
        (rows,) = inputs[:1]
        if not rows.is_contiguous(memory_format=LAST):
            found.append(tuple(rows.shape))

    convolutions = [
        each
        for part in (networks.unet, networks.vae)
        for name, each in part.named_modules()
        if isinstance(each, nn.Conv2d) and not name.endswith(OTHERWISE)
    ]
    hooks = [each.register_forward_pre_hook(look) for each in convolutions]
    with torch.no_grad():
        networks.vae.encode(torch.zeros(1, 3, 256, 256))
        networks.vae.decode(networks.unet(signal.latents(1), windows[:1]))
    for hook in hooks:
        hook.remove()
    return found


def test_throughout_no_norm_is_torchs(laid):
    assert not any(isinstance(each, nn.GroupNorm) for each in modules(laid["throughout"]))
    kept = sum(isinstance(each, nn.GroupNorm) for each in modules(laid["contiguous"]))
    assert sum(isinstance(each, ChannelNorm) for each in modules(laid["throughout"])) == kept > 50


def modules(networks):
    return [each for part in (networks.unet, networks.vae) for each in part.modules()]


# --- the norm alone ---


def norm(channels=16, groups=4):
    """torch's, with weights that do something."""
    made = nn.GroupNorm(groups, channels, eps=1e-6)
    generator = torch.Generator().manual_seed(5)
    made.weight.data.uniform_(0.5, 2, generator=generator)
    made.bias.data.uniform_(-1, 1, generator=generator)
    return made.requires_grad_(False)


def rows(*shape, mean=0.0):
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(6)) + mean
    return made.to(memory_format=LAST) if len(shape) == 4 else made


@pytest.mark.parametrize("shape", [(2, 16, 8, 6), (1, 16, 1, 1), (3, 16, 20)])
def test_a_norm_is_torchs(shape):
    given = rows(*shape)
    wanted = norm()(given.contiguous().double().float())
    torch.testing.assert_close(
        ChannelNorm(norm())(given), wanted, rtol=0, atol=2e-5 if given[0, 0].numel() > 1 else 1e-3
    )


def test_a_mean_far_from_nought_costs_few_digits():
    given = rows(2, 16, 32, 32, mean=30.0)
    wanted = norm().double()(given.double())
    assert (ChannelNorm(norm())(given) - wanted).abs().max() < 1e-3


def test_a_plane_of_one_value_is_no_division_by_nought():
    found = ChannelNorm(norm())(torch.full((1, 16, 4, 4), 3.0).to(memory_format=LAST))
    assert found.isfinite().all()


def test_half_precision_is_summed_in_single():
    """The squares of these would be infinite in half precision."""
    given = rows(2, 16, 64, 64, mean=0.0).mul(300).half()
    wanted = norm()(given.float())
    found = ChannelNorm(norm().half())(given)
    assert found.dtype == torch.float16
    assert (found.float() - wanted).abs().max() < 0.01


def test_what_lies_channel_beside_channel_stays_so():
    assert ChannelNorm(norm())(rows(2, 16, 8, 6)).is_contiguous(memory_format=LAST)


def test_tokens_in_a_row_keep_their_order_in_memory():
    tokens = rows(2, 20, 16).transpose(1, 2)  # as attention of the VAE gives them
    assert ChannelNorm(norm())(tokens).stride() == tokens.stride()
