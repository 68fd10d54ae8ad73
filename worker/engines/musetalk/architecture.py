"""The three networks as data: which layers they have, and so which tensors a weight file must hold.

A network is built on torch's meta device: it has shapes and no memory until its tensors are given to it. A
safetensors file may carry another architecture as JSON in its metadata, under `config`: tests and benchmarks use
networks of the same classes with few channels, and those are real files too.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import nn
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from contract.errors import ConfigurationError

Part = Literal["unet", "vae", "whisper"]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Architecture:
    """One network's layers: `config` is what its class is built from."""

    part: Part
    title: str
    build: Callable[[Mapping[str, Any]], nn.Module]
    config: Mapping[str, Any]

    def network(self) -> nn.Module:
        """The network in evaluation mode on the meta device, without weights or gradients.

        Raises:
            ConfigurationError: `config` does not describe such a network.
        """
        try:
            with torch.device("meta"):
                network = self.build(self.config)
        except Exception as error:  # the libraries' constructors check little: anything may come out of them
            raise ConfigurationError(
                f"the architecture in the file's metadata does not describe {self.title}: {error}"
            ) from error
        return network.eval().requires_grad_(False)

    def shapes(self) -> Shapes:
        """Every tensor that a weight file must hold, by its name in diffusers or transformers."""
        return {name: tuple(tensor.shape) for name, tensor in self.network().state_dict().items()}

    def of(self, config: str | None) -> "Architecture":
        """This architecture, or the one that a file carries in its metadata as JSON.

        Raises:
            ConfigurationError: the text is not a JSON object.
        """
        if config is None:
            return self
        try:
            found = json.loads(config)
        except ValueError as error:
            raise ConfigurationError(
                f"the architecture in the file's metadata is not JSON: {error}"
            ) from error
        if not isinstance(found, dict):
            raise ConfigurationError("the architecture in the file's metadata is not a JSON object")
        return replace(self, config=found)


def _unet(config: Mapping[str, Any]) -> nn.Module:
    unet: nn.Module = UNet2DConditionModel(**config)
    return unet


def _vae(config: Mapping[str, Any]) -> nn.Module:
    vae: nn.Module = AutoencoderKL(**config)
    return vae


def _whisper(config: Mapping[str, Any]) -> nn.Module:
    return WhisperEncoder(WhisperConfig(**config))


UNET = Architecture(
    part="unet",
    title="MuseTalk's UNet",
    build=_unet,
    # musetalk.json of both v1.0 and v1.5. `attention_head_dim` is diffusers' old misnomer: 8 heads.
    config={
        "act_fn": "silu",
        "attention_head_dim": 8,
        "block_out_channels": (320, 640, 1280, 1280),
        "center_input_sample": False,
        "cross_attention_dim": 384,
        "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        "downsample_padding": 1,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "in_channels": 8,
        "layers_per_block": 2,
        "mid_block_scale_factor": 1,
        "norm_eps": 1e-5,
        "norm_num_groups": 32,
        "out_channels": 4,
        "sample_size": 64,
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    },
)

VAE = Architecture(
    part="vae",
    title="the VAE sd-vae-ft-mse",
    build=_vae,
    config={
        "act_fn": "silu",
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "in_channels": 3,
        "latent_channels": 4,
        "layers_per_block": 2,
        "norm_num_groups": 32,
        "out_channels": 3,
        "sample_size": 256,
        "scaling_factor": 0.18215,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
    },
)

WHISPER = Architecture(
    part="whisper",
    title="the encoder of whisper-tiny",
    build=_whisper,
    config={
        "d_model": 384,
        "encoder_attention_heads": 6,
        "encoder_ffn_dim": 1536,
        "encoder_layers": 4,
        "max_source_positions": 1500,
        "num_mel_bins": 80,
    },
)

PARTS: Mapping[Part, Architecture] = {"unet": UNET, "vae": VAE, "whisper": WHISPER}
