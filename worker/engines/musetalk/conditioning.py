"""What the UNet is shown of a face: the picture with its lower half hidden, and the picture whole, both as latents.

Upstream draws both from the VAE's distribution with unseeded noise, though training used its mode: the same job gave
other pixels each time. Here it is the mode.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from contract.errors import EngineFailed
from worker.engines.musetalk.batch import FixedBatch
from worker.media.frame import Pixels

if TYPE_CHECKING:
    from worker.engines.musetalk.networks import Networks

_HIDDEN = -1.0  # black, where pixels range from -1 to 1; as in training


class Conditioner:
    """The networks' view of faces, `batch_size` at once, from one thread at a time."""

    def __init__(self, networks: "Networks", batch_size: int) -> None:
        self._encode = FixedBatch(
            partial(_latents, networks), batch_size, networks.device, networks.dtype, networks.lock
        )

    def latents(self, pictures: Pixels) -> NDArray[Any]:
        """(B, 8, 32, 32) of the networks' dtype, scaled: four channels with the lower half hidden, four without.

        `pictures` is (B, 256, 256, 3) uint8, RGB, B from 1 up.

        Raises:
            EngineFailed: the VAE gave something else than numbers, which must not be kept; or as a `FixedBatch` does.
        """
        latents: NDArray[Any] = self._encode(torch.from_numpy(pictures)).numpy()
        if not np.isfinite(latents).all():
            raise EngineFailed("MuseTalk's VAE gave NaN or infinity for a face; run `dubline models verify`")
        return latents


def normalised(pictures: torch.Tensor) -> torch.Tensor:
    """(2B, 3, H, W) float32, -1..1, of (B, H, W, 3) uint8: the B with their lower half hidden, then the B whole."""
    # Plane by plane, as upstream's. How all that follows lies is settled by the VAE's weights (layout.py).
    planes = pictures.permute(0, 3, 1, 2).contiguous()
    whole = (planes.float() / 255 - 0.5) / 0.5
    hidden = whole.clone()
    hidden[:, :, hidden.shape[2] // 2 :] = _HIDDEN
    return torch.cat([hidden, whole])


def _latents(networks: "Networks", pictures: torch.Tensor) -> torch.Tensor:
    """On the device: both halves as one batch of the VAE."""
    both = normalised(pictures).to(networks.dtype)
    encoded = networks.vae.encode(both).latent_dist.mode()
    return torch.cat((networks.vae.config["scaling_factor"] * encoded).chunk(2), dim=1)
