"""SyncNet: one stream that looks at a mouth for 5 frames, one that hears the same 0.2 s; near where they agree.

The network of joonson/syncnet_python@6efbb1c, SyncNetModel.py (class S); the names of its tensors are those of the
published syncnet_v2.model. Chung and Zisserman, "Out of time: automated lip sync in the wild", 2016.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from worker import weights
from worker.evaluation.networks.checkpoint import filled
from worker.evaluation.networks.device import choose_device, judging

FEATURES = 1024
SIDE = 224
"""Of a crop, in pixels."""
WINDOW = 5
"""Frames that one look takes."""
CEPSTRA_A_FRAME = 4
LISTENING = WINDOW * CEPSTRA_A_FRAME
"""Rows of cepstra that one hearing takes."""
_LOOKS, _HEARINGS = 20, 250
"""At once."""

Features = NDArray[np.float32]
"""(n, 1024) float32, not normalised: row i is of frames i to i + 4."""


class SyncNetwork(nn.Module):
    """The two streams."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_seeing(nn.Conv2d(1, 64, 3, padding=1)),
            nn.MaxPool2d(1, 1),  # does nothing; keeps the layers' numbers
            *_seeing(nn.Conv2d(64, 192, 3, padding=1)),
            nn.MaxPool2d(3, (1, 2)),
            *_seeing(nn.Conv2d(192, 384, 3, padding=1)),
            *_seeing(nn.Conv2d(384, 256, 3, padding=1)),
            *_seeing(nn.Conv2d(256, 256, 3, padding=1)),
            nn.MaxPool2d(3, 2),
            *_seeing(nn.Conv2d(256, 512, (5, 4))),
        )
        self.netfcaud = _concluding()
        self.netcnnlip = nn.Sequential(
            *_seeing(nn.Conv3d(3, 96, (WINDOW, 7, 7), (1, 2, 2))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_seeing(nn.Conv3d(96, 256, (1, 5, 5), (1, 2, 2), (0, 1, 1))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            *_seeing(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            *_seeing(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            *_seeing(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_seeing(nn.Conv3d(256, 512, (1, 6, 6))),
        )
        self.netfclip = _concluding()

    def lip(self, crops: torch.Tensor) -> torch.Tensor:
        """(B, 1024) of (B, 3, 5, 224, 224) float32, BGR, 0..255 as they are: no mean, no scale."""
        seen: torch.Tensor = self.netfclip(self.netcnnlip(crops).flatten(1))
        return seen

    def voice(self, cepstra: torch.Tensor) -> torch.Tensor:
        """(B, 1024) of (B, 1, 13, 20) float32: `mfcc` of int16 samples, lowest cepstrum on top, 10 ms a column."""
        heard: torch.Tensor = self.netfcaud(self.netcnnaud(cepstra).flatten(1))
        return heard


@dataclass(frozen=True)
class Streams:
    """The network on its device, between arrays."""

    network: SyncNetwork
    device: torch.device

    @classmethod
    def load(cls, folder: Path, threads: int) -> "Streams":
        """From the cache folder of weights, on the GPU where there is one.

        Raises:
            ConfigurationError: the file is missing or wrong.
        """
        device = choose_device(threads)
        return cls(filled(SyncNetwork, weights.path("syncnet", folder)).to(device), device)

    def lips(self, crops: NDArray[np.uint8]) -> Features:
        """(k - 4, 1024) of the looks that k crops in a row hold, (k, 224, 224, 3) uint8, BGR."""
        film = torch.from_numpy(crops).permute(3, 0, 1, 2)  # colours, k, height, width
        looks = film.unfold(1, WINDOW, 1).permute(1, 0, 4, 2, 3)
        with judging():
            parts = [self.network.lip(part.to(self.device).float()).cpu() for part in _parts(looks, _LOOKS)]
        return np.asarray(torch.cat(parts).numpy())

    def voices(self, cepstra: NDArray[np.float64], count: int) -> Features:
        """(count, 1024) of the first hearings that (T, 13) cepstra hold; T is at least 4 count + 16."""
        sound = torch.from_numpy(cepstra.astype(np.float32))
        hearings = sound.unfold(0, LISTENING, CEPSTRA_A_FRAME)[:count, None]  # count, 1, 13, 20
        with judging():
            parts = [self.network.voice(part.to(self.device)).cpu() for part in _parts(hearings, _HEARINGS)]
        return np.asarray(torch.cat(parts).numpy())


def _parts(rows: torch.Tensor, most: int) -> Iterator[torch.Tensor]:
    return (rows[start : start + most] for start in range(0, len(rows), most))


def _seeing(convolution: nn.Conv2d | nn.Conv3d) -> tuple[nn.Module, nn.Module, nn.Module]:
    norm = nn.BatchNorm2d if isinstance(convolution, nn.Conv2d) else nn.BatchNorm3d
    return convolution, norm(convolution.out_channels), nn.ReLU(inplace=True)


def _concluding() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, FEATURES))
