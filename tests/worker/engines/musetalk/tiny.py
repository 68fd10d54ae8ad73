"""Real networks of MuseTalk's classes with few channels, as real files: seconds become milliseconds.

`write(folder)` gives what `Networks.load` takes. The latents are (B, 8, 32, 32) and the pictures 256 x 256 as ever; the
windows are (B, 50, WIDTH).
"""

from dataclasses import replace

import torch

from worker.engines.musetalk import random_weights
from worker.engines.musetalk.architecture import UNET, VAE, WHISPER

WIDTH = 32
"""Channels of a token of sound; 384 in the real networks."""


def architectures(width=WIDTH):
    """The same blocks, layers and tensor names as in the real networks, with other sizes."""
    unet = {"attention_head_dim": 2, "block_out_channels": (8, 16, 16, 16), "norm_num_groups": 4}
    vae = {"block_out_channels": (4, 8, 8, 8), "norm_num_groups": 4}
    whisper = {"d_model": width, "encoder_attention_heads": 2, "encoder_ffn_dim": 2 * width}
    return {
        "unet": replace(UNET, config={**UNET.config, **unet, "cross_attention_dim": width}),
        "vae": replace(VAE, config={**VAE.config, **vae}),
        "whisper": replace(WHISPER, config={**WHISPER.config, **whisper}),
    }


def write(folder, dtype=torch.float32, seed=0, width=WIDTH):
    """Write the three files; their paths by `unet`, `vae` and `whisper`."""
    return random_weights.write(folder, dtype, seed, architectures(width))
