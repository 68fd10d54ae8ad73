"""AlexNet's five stages, and the distance that LPIPS 0.1 takes between two pictures there.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018. Layers and names of
tensors are those of torchvision's file (BSD-3-Clause); the formula and its constants are those of the lpips package
0.1.4 (BSD-2-Clause: lpips.py, __init__.py), whose linear heads are loaded.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from worker.evaluation.networks.checkpoint import filled
from worker.evaluation.networks.device import choose_device, judging
from worker.media.frame import Pixels

SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
"""Of red, green and blue in -1..1, to what the network was trained on."""
CHANNELS = (64, 192, 384, 256, 256)
"""Of each stage."""
STAGE_ENDS = (1, 4, 7, 9, 11)
"""The layer, a ReLU, that each ends with."""


class AlexNet(nn.Module):
    """The layers; `classifier` is there because the file has it, and takes 235 MB until it is dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, 1, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, 1, 1),
            nn.ReLU(),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, 1000),
        )

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, 3, H, W) float32 to the five stages' (B, channels, h, w)."""
        stages = []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in STAGE_ENDS:
                stages.append(x)
        return stages


class Heads(nn.Module):
    """A weight for each channel of each stage: the part of LPIPS that was trained on people's judgments."""

    def __init__(self) -> None:
        super().__init__()
        for number, channels in enumerate(CHANNELS):
            head = nn.Sequential(nn.Dropout(), nn.Conv2d(channels, 1, 1, bias=False))
            self.add_module(f"lin{number}", nn.ModuleDict({"model": head}))

    def weights(self) -> list[torch.Tensor]:
        """Each stage's, (1, channels, 1, 1)."""
        return [self.get_parameter(f"lin{number}.model.1.weight") for number in range(len(CHANNELS))]


class Lpips:
    """The distance, its networks on their device."""

    def __init__(self, backbone: AlexNet, heads: Heads, device: torch.device) -> None:
        self._stages, self._device = backbone.to(device), device
        self._heads = [each.to(device) for each in heads.weights()]
        self._shift, self._scale = (torch.tensor(each).reshape(3, 1, 1).to(device) for each in (SHIFT, SCALE))

    @classmethod
    def load(cls, backbone: Path, heads: Path, threads: int) -> "Lpips":
        """From the registry's files, on a GPU where there is one, else on that many CPU threads.

        Raises:
            ConfigurationError: a file is another network's.
        """
        network = filled(AlexNet, backbone)
        del network.classifier
        return cls(network, filled(Heads, heads), choose_device(threads))

    def distance(self, first: Pixels, second: Pixels) -> float:
        """Of two pictures, (h, w, 3) uint8 RGB of one size, each side 63 px or more: 0 if they are
        the same, about 1 at most.

        Each place's channels get length 1 in every stage; squared differences are weighted by channel, averaged over
        places, and added up over stages.
        """
        both = torch.from_numpy(np.stack([first, second])).to(self._device).permute(0, 3, 1, 2).float()
        with judging():
            stages = self._stages((both / 127.5 - 1 - self._shift) / self._scale)
            parts = [_apart(stage, head) for stage, head in zip(stages, self._heads, strict=True)]
            return float(torch.stack(parts).sum())


def _apart(stage: torch.Tensor, head: torch.Tensor) -> torch.Tensor:
    """How far the two pictures of a stage, (2, C, h, w), lie apart."""
    lengths = stage.square().sum(1, keepdim=True).sqrt()
    unit = stage / (lengths + 1e-10)
    weighted: torch.Tensor = (unit[0] - unit[1]).square() * head[0]
    return weighted.sum(0).mean()
