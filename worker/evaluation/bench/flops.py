"""The arithmetic of one frame, counted without doing any of it."""

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from worker.engines.musetalk.networks import Networks

_COUNTED = {torch.ops.aten.convolution, torch.ops.aten.mm, torch.ops.aten.addmm}
"""What every kind of device does alike. The products inside of attention, 1.5 % more, are left out."""


def per_frame(networks: Networks) -> float:
    """10^9 operations of the UNet and of the VAE's decoder for one frame; 788 of the real networks."""
    latents, windows = shapes(networks)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True), counter:
        given = [
            torch.empty(1, *each, device=networks.device, dtype=networks.dtype) for each in (latents, windows)
        ]
        networks.vae.decode(networks.unet(*given))
    counts = counter.get_flop_counts()["Global"]
    return sum(count for operation, count in counts.items() if operation in _COUNTED) / 1e9


def shapes(networks: Networks) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of one frame's latents and of its window, as the UNet takes them."""
    config = networks.whisper.config
    return (2 * networks.vae.config["latent_channels"], 32, 32), (
        10 * (config.encoder_layers + 1),
        config.d_model,
    )
