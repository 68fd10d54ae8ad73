"""MuseTalk's UNet for the one timestep that it is ever asked for."""

from typing import Any, cast

import torch
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import nn
from torch.nn import functional

from contract.errors import ConfigurationError


class FoldedUnet(nn.Module):
    """The UNet without its timestep branch.

    MuseTalk runs a single step at t = 0, so the embedding of the timestep is a constant, and what each residual
    block adds of it after its first convolution is a constant too: it becomes part of that convolution's bias.
    The output differs from the unfolded UNet's by rounding alone.
    """

    def __init__(self, unet: UNet2DConditionModel) -> None:
        """Take over the UNet's layers, which are changed in place: the UNet itself is of no use afterwards.

        Raises:
            ConfigurationError: the UNet has something that a constant timestep does not settle.
        """
        super().__init__()
        _refuse_what_cannot_be_folded(unet)
        _fold(unet)
        self.conv_in = unet.conv_in
        self.down_blocks = unet.down_blocks
        self.mid_block = unet.mid_block
        self.up_blocks = unet.up_blocks
        self.conv_norm_out = unet.conv_norm_out
        self.conv_act = unet.conv_act
        self.conv_out = unet.conv_out

    def forward(self, latents: torch.Tensor, windows: torch.Tensor) -> torch.Tensor:
        """The latents of the redrawn face, scaled as they came.

        Args:
            latents: (B, 8, 32, 32), the masked face's latents and the whole face's.
            windows: (B, 50, 384), the sound around each frame with its positions added.

        Returns:
            (B, 4, 32, 32).
        """
        sample = self.conv_in(latents)
        skipped = (sample,)
        for block in self.down_blocks:
            sample, outputs = block(sample, None, **_attending(block, windows))
            skipped += outputs
        sample = self.mid_block(sample, None, encoder_hidden_states=windows)
        for block in self.up_blocks:
            count = len(cast(nn.ModuleList, block.resnets))
            sample = block(sample, skipped[-count:], None, **_attending(block, windows))
            skipped = skipped[:-count]
        redrawn: torch.Tensor = self.conv_out(self.conv_act(self.conv_norm_out(sample)))
        return redrawn


def _attending(block: nn.Module, windows: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"encoder_hidden_states": windows} if getattr(block, "has_cross_attention", False) else {}


def _refuse_what_cannot_be_folded(unet: UNet2DConditionModel) -> None:
    faults = {
        "class embeddings": unet.class_embedding is not None,
        "further embeddings": unet.config["addition_embed_type"] is not None,
        "a projection of the sound": unet.encoder_hid_proj is not None,
        "a conditioned timestep": unet.time_embedding.cond_proj is not None,
        "an activation after the timestep": unet.time_embed_act is not None,
        "inputs that are centred": unet.config["center_input_sample"],
        "no cross attention in the middle": not getattr(unet.mid_block, "has_cross_attention", False),
        "blocks that take the timestep in another way": any(
            not _is_plain(each) for each in _residual_blocks(unet)
        ),
    }
    if found := [what for what, is_so in faults.items() if is_so]:
        raise ConfigurationError(f"this UNet cannot be folded for one timestep: it has {', '.join(found)}")


def _residual_blocks(unet: nn.Module) -> list[Any]:
    """Every block that hears of the timestep: 22 in MuseTalk's UNet."""
    return [each for each in unet.modules() if getattr(each, "time_emb_proj", None) is not None]


def _is_plain(block: Any) -> bool:
    return (
        isinstance(block, ResnetBlock2D)
        and block.time_embedding_norm == "default"
        and not block.skip_time_act
    )


def _fold(unet: UNet2DConditionModel) -> None:
    embedding = _embedding_of_step_0(unet)
    for block in _residual_blocks(unet):
        shift = _linear(block.time_emb_proj, block.nonlinearity(embedding))[0]
        bias = block.conv1.bias
        block.conv1.bias = nn.Parameter((bias.float() + shift).to(bias.dtype), requires_grad=False)
        block.time_emb_proj = None


def _embedding_of_step_0(unet: UNet2DConditionModel) -> torch.Tensor:
    """(1, 4 x the channels of the first block) float32, whatever the UNet's precision."""
    layers: Any = unet.time_embedding
    sinusoids = unet.time_proj(torch.zeros(1, device=layers.linear_1.weight.device))
    return _linear(layers.linear_2, layers.act(_linear(layers.linear_1, sinusoids)))


def _linear(layer: Any, values: torch.Tensor) -> torch.Tensor:
    return functional.linear(values, layer.weight.float(), layer.bias.float())
