"""One mouth per frame: the UNet redraws the latents as the window sounds, the VAE makes a picture of them.

A single pass, no diffusion steps; 78 % of the arithmetic is the VAE's decoder. Scaling, clamping, rounding and the
order of channels are settled on the device, so one uint8 copy of 196 kB a picture comes back. NaN would be black
there, and infinity white: whether a picture is all numbers is settled on the device, too, and comes back as a last byte.

Only the lower half is ever seen, and yet the whole is decoded: each GroupNorm measures all rows, so no row is right
without the others. What leaving rows out would cost and save is measured by benchmarks/lower_half.py; docs/decisions.md
says why it is not done.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from contract.errors import EngineFailed
from worker.engines.musetalk.audio import positions
from worker.engines.musetalk.batch import FixedBatch, Rows
from worker.engines.musetalk.crop import SIDE
from worker.media.frame import Pixels

if TYPE_CHECKING:
    from worker.engines.musetalk.networks import Networks


class Generator:
    """The UNet and the VAE's decoder, `batch_size` pictures at once, from one thread at a time."""

    def __init__(self, networks: "Networks", batch_size: int) -> None:
        self._draw = FixedBatch(
            partial(_drawn, networks, positions(networks)),
            batch_size,
            networks.device,
            networks.dtype,
            networks.lock,
        )

    @property
    def batch_size(self) -> int:
        """Pictures of one call: half of what was asked for, once memory was too small for that."""
        return self._draw.batch_size

    def pictures(self, latents: NDArray[Any], windows: Rows) -> Pixels:
        """(B, 256, 256, 3) uint8, RGB: each face with its mouth as the window sounds.

        Only the lower half is the UNet's to draw; the upper half is what the VAE remembers of the picture.

        Raises:
            EngineFailed: the networks gave something else than numbers; or as a `FixedBatch` does.

        Args:
            latents: (B, 8, 32, 32) of the `Conditioner`, B from 1 up.
            windows: B of `audio.Windows`, (50, 384) each.
        """
        drawn = self._draw(torch.from_numpy(latents), windows).numpy()
        if not drawn[:, -1].all():
            raise EngineFailed(
                f"MuseTalk's networks gave NaN or infinity for {np.count_nonzero(drawn[:, -1] == 0)} of {len(drawn)} "
                "frames; if other jobs fail likewise, run `dubline models verify`, else look for what is odd in this source"
            )
        return drawn[:, :-1].reshape(-1, SIDE, SIDE, 3)


def pixels(decoded: torch.Tensor) -> torch.Tensor:
    """(B, H, W, 3) uint8, contiguous, of (B, 3, H, W) in about -1..1; halves round to even, as numpy's do upstream."""
    unit = (decoded / 2 + 0.5).clamp(0, 1).float()
    return (unit * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _drawn(
    networks: "Networks", positions: torch.Tensor, latents: torch.Tensor, windows: torch.Tensor
) -> torch.Tensor:
    """On the device: (B, 256 * 256 * 3 + 1) uint8, the pixels, and 1 where what they were made of is all numbers."""
    redrawn = networks.unet(latents, windows + positions)
    scale = 1 / networks.vae.config["scaling_factor"]
    decoded = networks.vae.decode(scale * redrawn).sample
    is_finite = decoded.isfinite().flatten(1).all(dim=1, keepdim=True)
    return torch.cat([pixels(decoded).flatten(1), is_finite.to(torch.uint8)], dim=1)
