"""The UNet for the one timestep."""

import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

from contract.errors import ConfigurationError
from tests.worker.engines.musetalk import tiny
from worker.engines.musetalk.architecture import UNET
from worker.engines.musetalk.convert import Checkpoint
from worker.engines.musetalk.unet import FoldedUnet


@pytest.fixture
def unet(tiny_files):
    """A tiny UNet as diffusers builds it."""
    checkpoint = Checkpoint.open(tiny_files["unet"], UNET)
    network = checkpoint.architecture.network()
    tensors = {name: checkpoint.tensor(name).clone() for name in checkpoint.shapes}
    network.load_state_dict(tensors, assign=True)
    return network


@pytest.fixture
def inputs():
    """Latents and windows of three frames."""
    generator = torch.Generator().manual_seed(3)
    return (
        torch.randn(3, 8, 32, 32, generator=generator),
        torch.randn(3, 50, tiny.WIDTH, generator=generator),
    )


def at_step(unet, inputs, step):
    latents, windows = inputs
    return unet(latents, torch.tensor([step]), encoder_hidden_states=windows).sample


def test_the_folded_unet_gives_what_the_unfolded_one_gives_at_step_0(unet, inputs):
    with torch.no_grad():
        wanted = at_step(unet, inputs, 0)
        another = at_step(unet, inputs, 500)
        folded = FoldedUnet(unet)(*inputs)
    assert wanted.std() > 0.1
    assert (another - wanted).abs().max() > 0.01  # the timestep does matter to this network
    assert (folded - wanted).abs().max() < 1e-5


def test_all_22_blocks_are_folded_and_the_timestep_is_gone(unet):
    before = sum(each.numel() for each in unet.parameters())
    blocks = [each for each in unet.modules() if hasattr(each, "time_emb_proj")]
    gone = [*unet.time_embedding.parameters()]
    gone += [each for block in blocks for each in block.time_emb_proj.parameters()]
    expected = before - sum(each.numel() for each in gone)
    folded = FoldedUnet(unet)
    assert len(blocks) == 22
    assert all(block.time_emb_proj is None for block in blocks)
    assert sum(each.numel() for each in folded.parameters()) == expected


def test_no_block_keeps_its_old_bias(unet):
    blocks = [each for each in unet.modules() if hasattr(each, "time_emb_proj")]
    before = [block.conv1.bias.clone() for block in blocks]
    FoldedUnet(unet)
    assert all(not torch.equal(old, new.conv1.bias) for old, new in zip(before, blocks, strict=True))


def test_folding_keeps_the_precision_and_makes_nothing_trainable(unet):
    folded = FoldedUnet(unet.half())
    assert {each.dtype for each in folded.parameters()} == {torch.float16}
    assert not any(each.requires_grad for each in folded.parameters())


def test_folding_in_half_precision_adds_in_single_precision(unet):
    weights = {name: tensor.half().float() for name, tensor in unet.state_dict().items()}
    exact = UNet2DConditionModel(**tiny.architectures()["unet"].config)
    exact.load_state_dict(weights)
    exact.requires_grad_(False)
    wanted = FoldedUnet(exact).down_blocks[0].resnets[0].conv1.bias
    assert torch.equal(FoldedUnet(unet.half()).down_blocks[0].resnets[0].conv1.bias, wanted.half())


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"class_embed_type": "timestep"}, "class embeddings"),
        ({"addition_embed_type": "text"}, "further embeddings"),
        ({"encoder_hid_dim": 16}, "projection of the sound"),
        ({"time_cond_proj_dim": 8}, "conditioned timestep"),
        ({"time_embedding_act_fn": "silu"}, "activation after the timestep"),
        ({"center_input_sample": True}, "centred"),
        ({"mid_block_type": "UNetMidBlock2D"}, "cross attention in the middle"),
        ({"resnet_time_scale_shift": "scale_shift"}, "the timestep in another way"),
    ],
)
def test_a_unet_that_cannot_be_folded_is_refused(change, what):
    with torch.device("meta"):
        unet = UNet2DConditionModel(**{**tiny.architectures()["unet"].config, **change})
    with pytest.raises(ConfigurationError, match=what):
        FoldedUnet(unet)


def test_a_block_that_takes_the_timestep_another_way_is_refused(unet):
    unet.mid_block.resnets[1].skip_time_act = True
    with pytest.raises(ConfigurationError, match="the timestep in another way"):
        FoldedUnet(unet)
