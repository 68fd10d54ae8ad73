"""Inception-v3 as FID means it: TensorFlow's graph of 2015-12-05 up to its last pooling, 2048 figures a picture.

It is not torchvision's: three poolings and the resize are TensorFlow 1's. Layers, names of tensors and both of those
are torch-fidelity's (0.4.0, Apache-2.0: feature_extractor_inceptionv3.py, interpolate_compat_tensorflow.py), whose
file of weights is loaded; the architecture is that of Szegedy et al., "Rethinking the Inception Architecture for
Computer Vision", 2016.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from worker.evaluation.networks.checkpoint import filled
from worker.evaluation.networks.device import choose_device, judging
from worker.media.frame import Floats, Pixels

SIDE = 299
"""Of the network's input, in pixels."""
FEATURES = 2048
CLASSES = 1008
"""Of the head, which is in the file and is not asked."""

Kernel = tuple[int, int]
Pool = Literal["none", "mean", "largest", "halving"]


@dataclass(frozen=True)
class Branch:
    """One way through a block: a pooling, then convolutions in a row; `fork` are two more, side by side.

    Each convolution is its channels and its kernel (height, width). `halves`: the last one has stride 2.
    """

    name: str
    steps: tuple[tuple[int, Kernel], ...] = ()
    fork: tuple[tuple[int, Kernel], ...] = ()
    pool: Pool = "none"
    halves: bool = False


ONE, THREE, FIVE = (1, 1), (3, 3), (5, 5)
FLAT3, TALL3, FLAT7, TALL7 = (1, 3), (3, 1), (1, 7), (7, 1)


def _block_a(pooled: int) -> tuple[Branch, ...]:
    return (
        Branch("branch1x1", ((64, ONE),)),
        Branch("branch5x5", ((48, ONE), (64, FIVE))),
        Branch("branch3x3dbl", ((64, ONE), (96, THREE), (96, THREE))),
        Branch("branch_pool", ((pooled, ONE),), pool="mean"),
    )


def _block_b() -> tuple[Branch, ...]:
    return (
        Branch("branch3x3", ((384, THREE),), halves=True),
        Branch("branch3x3dbl", ((64, ONE), (96, THREE), (96, THREE)), halves=True),
        Branch("branch_pool", pool="halving"),
    )


def _block_c(width: int) -> tuple[Branch, ...]:
    long = ((width, ONE), (width, TALL7), (width, FLAT7), (width, TALL7), (192, FLAT7))
    return (
        Branch("branch1x1", ((192, ONE),)),
        Branch("branch7x7", ((width, ONE), (width, FLAT7), (192, TALL7))),
        Branch("branch7x7dbl", long),
        Branch("branch_pool", ((192, ONE),), pool="mean"),
    )


def _block_d() -> tuple[Branch, ...]:
    return (
        Branch("branch3x3", ((192, ONE), (320, THREE)), halves=True),
        Branch("branch7x7x3", ((192, ONE), (192, FLAT7), (192, TALL7), (192, THREE)), halves=True),
        Branch("branch_pool", pool="halving"),
    )


def _block_e(pool: Pool) -> tuple[Branch, ...]:
    fork = ((384, FLAT3), (384, TALL3))
    return (
        Branch("branch1x1", ((320, ONE),)),
        Branch("branch3x3", ((384, ONE),), fork),
        Branch("branch3x3dbl", ((448, ONE), (384, THREE)), fork),
        Branch("branch_pool", ((192, ONE),), pool=pool),
    )


STEM: tuple[tuple[str, int, int, int, int], ...] = (
    # name, channels, kernel, stride, padding; the halving follows 2b and 4a
    ("Conv2d_1a_3x3", 32, 3, 2, 0),
    ("Conv2d_2a_3x3", 32, 3, 1, 0),
    ("Conv2d_2b_3x3", 64, 3, 1, 1),
    ("Conv2d_3b_1x1", 80, 1, 1, 0),
    ("Conv2d_4a_3x3", 192, 3, 1, 0),
)
HALVED_AFTER = frozenset({"Conv2d_2b_3x3", "Conv2d_4a_3x3"})

BLOCKS: tuple[tuple[str, tuple[Branch, ...]], ...] = (
    ("Mixed_5b", _block_a(32)),
    ("Mixed_5c", _block_a(64)),
    ("Mixed_5d", _block_a(64)),
    ("Mixed_6a", _block_b()),
    ("Mixed_6b", _block_c(128)),
    ("Mixed_6c", _block_c(160)),
    ("Mixed_6d", _block_c(160)),
    ("Mixed_6e", _block_c(192)),
    ("Mixed_7a", _block_d()),
    ("Mixed_7b", _block_e("mean")),
    ("Mixed_7c", _block_e("largest")),  # TensorFlow's graph has it so; the paper has the mean here, too
)


class Convolution(nn.Module):
    """A convolution, its batch normalisation, and a ReLU."""

    def __init__(self, before: int, channels: int, kernel: Kernel, stride: int, padding: Kernel) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, channels, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=0.001)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, before, H, W) to (B, channels, H', W')."""
        return functional.relu(self.bn(self.conv(x)))


class Block(nn.Module):
    """Branches side by side, their channels one after another."""

    def __init__(self, before: int, branches: Sequence[Branch]) -> None:
        super().__init__()
        self._ways: list[tuple[Pool, list[str], list[str]]] = []
        self.channels = 0
        for branch in branches:
            self._add(before, branch)

    def _add(self, before: int, branch: Branch) -> None:
        names, fork = _names(branch)
        self._ways.append((branch.pool, names, fork))
        for name, (channels, kernel) in zip(names, branch.steps, strict=True):
            halves = branch.halves and name == names[-1]
            padding = (0, 0) if halves else _same(kernel)
            self.add_module(name, Convolution(before, channels, kernel, 2 if halves else 1, padding))
            before = channels
        for name, (channels, kernel) in zip(fork, branch.fork, strict=True):
            self.add_module(name, Convolution(before, channels, kernel, 1, _same(kernel)))
        self.channels += sum(channels for channels, _ in branch.fork) or before

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, before, H, W) to (B, channels, H, W), or half of H and W."""
        return torch.cat([part for way in self._ways for part in self._along(x, *way)], 1)

    def _along(self, x: torch.Tensor, pool: Pool, names: list[str], fork: list[str]) -> list[torch.Tensor]:
        x = _pooled(x, pool)
        for name in names:
            x = self.get_submodule(name)(x)
        return [self.get_submodule(name)(x) for name in fork] or [x]


def _names(branch: Branch) -> tuple[list[str], list[str]]:
    """Of its convolutions in the file: numbered where there are several, the forked ones lettered."""
    count = len(branch.steps)
    if count + len(branch.fork) <= 1:
        return [branch.name] * count, []
    steps = [f"{branch.name}_{number}" for number in range(1, count + 1)]
    return steps, [f"{branch.name}_{count + 1}{letter}" for letter, _ in zip("ab", branch.fork, strict=False)]


def _same(kernel: Kernel) -> Kernel:
    """The padding that keeps height and width."""
    return kernel[0] // 2, kernel[1] // 2


def _pooled(x: torch.Tensor, pool: Pool) -> torch.Tensor:
    match pool:
        case "none":
            return x
        case "mean":  # of what lies in the picture, as TensorFlow has it: padding is not counted
            return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        case "largest":
            return functional.max_pool2d(x, 3, stride=1, padding=1)
        case "halving":
            return functional.max_pool2d(x, 3, stride=2)


class InceptionNetwork(nn.Module):
    """The layers; `fc` is there because the file has it."""

    def __init__(self) -> None:
        super().__init__()
        before = 3
        for name, channels, kernel, stride, padding in STEM:
            self.add_module(name, Convolution(before, channels, (kernel, kernel), stride, (padding, padding)))
            before = channels
        for name, branches in BLOCKS:
            block = Block(before, branches)
            self.add_module(name, block)
            before = block.channels
        self.fc = nn.Linear(before, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, 299, 299) float32, RGB in -1..1, to (B, 2048) float32."""
        for name, *_ in STEM:
            x = self.get_submodule(name)(x)
            x = _pooled(x, "halving") if name in HALVED_AFTER else x
        for name, _ in BLOCKS:
            x = self.get_submodule(name)(x)
        return x.mean((2, 3))


class Inception:
    """The network on its device."""

    def __init__(self, network: InceptionNetwork, device: torch.device) -> None:
        self._network, self._device = network.to(device), device

    @classmethod
    def load(cls, path: Path, threads: int) -> "Inception":
        """From the registry's file, on a GPU where there is one, else on that many CPU threads.

        Raises:
            ConfigurationError: the file is another network's.
        """
        return cls(filled(InceptionNetwork, path), choose_device(threads))

    def features(self, pictures: Sequence[torch.Tensor]) -> Floats:
        """(n, 2048) float32 of n pictures that `prepared` made."""
        with judging():
            found = self._network(torch.stack(list(pictures)).to(self._device))
        return np.asarray(found.cpu().numpy(), dtype=np.float32)


def prepared(rgb: Pixels) -> torch.Tensor:
    """A picture as the network wants it: (h, w, 3) uint8 RGB of any size to (3, 299, 299) float32 in -1..1."""
    picture = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1).float()
    return (_resized(_resized(picture, 2), 1) - 128) / 128


def _resized(picture: torch.Tensor, axis: int) -> torch.Tensor:
    """That axis to 299 by TensorFlow 1's bilinear rule; with another one FID is another figure.

    Pixel i is taken at i * size / 299: the first pixel's middle stays in place, not the picture's, and a picture
    that shrinks is not smoothed first.
    """
    size = picture.shape[axis]
    at = torch.arange(SIDE, dtype=torch.float32) * torch.tensor(size / SIDE, dtype=torch.float32)
    low = at.long()
    high = (low + 1).clamp_max(size - 1)
    share = (at - low).reshape([-1 if each == axis else 1 for each in range(3)])
    first = picture.index_select(axis, low)
    return first + (picture.index_select(axis, high) - first) * share
