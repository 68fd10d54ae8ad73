"""S3FD: the face detector of SyncNet's pipeline, so that a face is found, and lost, where upstream finds and loses it.

The network, its decoding and its two rounds of suppression are those of joonson/syncnet_python@6efbb1c, detectors/s3fd
(nets.py, box_utils.py, __init__.py); the names of the tensors are those of the published sfd_face.pth. Zhang et al.,
"S3FD: Single Shot Scale-invariant Face Detector", 2017.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from worker import weights
from worker.evaluation.networks.checkpoint import filled
from worker.evaluation.networks.device import choose_device, judging
from worker.evaluation.syncnet.boxes import Boxes, overlaps
from worker.media.frame import Pixels

Scores = NDArray[np.float32]
"""(n,) float32, 0 to 1."""

SURE = 0.9
"""A face's least score (run_pipeline.py)."""
SCALE = 0.25
"""The picture is shrunk to this before it is looked at (run_pipeline.py: facedet_scale)."""
SMALLEST = 28
"""Side of the searched picture, in pixels, from which on the deepest map holds anything."""
_MEAN = (123.0, 117.0, 104.0)
"""Of red, green and blue."""
_STEPS = (4, 8, 16, 32, 64, 128)
"""Pixels from one anchor to the next, of each map; an anchor's side is four times that."""
_CENTRE_VARIANCE, _SIZE_VARIANCE = 0.1, 0.2
_ROUNDS = ((5000, 0.3, 750), (750, 0.1, 750))
"""Of suppression: candidates, the most overlap of two that stay, and how many stay."""
_VGG = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
"""Channels of the convolutions; 0 is a pool."""
_TAPS = {15: "L2Norm3_3", 22: "L2Norm4_3", 29: "L2Norm5_3"}
"""The layers of `vgg` after which a map is taken, and what it goes through."""


class Found(NamedTuple):
    """Of every anchor of one picture: shift and stretch, (P, 4); score as a face, (P,); and where it is, (P, 4).

    An anchor is its centre's x and y and its side, twice, all in pixels.
    """

    shifts: torch.Tensor
    scores: torch.Tensor
    anchors: torch.Tensor


class Scaled(nn.Module):
    """Each pixel's channels at length 1, times a learnt scale a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) of the same."""
        length = x.pow(2).sum(dim=1, keepdim=True).sqrt() + 1e-10
        return self.weight[None, :, None, None] * (x / length)


class S3fdNetwork(nn.Module):
    """A VGG-16 of which six maps are searched."""

    def __init__(self) -> None:
        super().__init__()
        self.vgg = nn.ModuleList(_vgg())
        self.L2Norm3_3, self.L2Norm4_3, self.L2Norm5_3 = Scaled(256), Scaled(512), Scaled(512)
        self.extras = nn.ModuleList(
            [
                nn.Conv2d(1024, 256, 1),
                nn.Conv2d(256, 512, 3, 2, padding=1),
                nn.Conv2d(512, 128, 1),
                nn.Conv2d(128, 256, 3, 2, padding=1),
            ]
        )
        channels = (256, 512, 512, 1024, 512, 256)
        self.loc = nn.ModuleList(nn.Conv2d(each, 4, 3, padding=1) for each in channels)
        self.conf = nn.ModuleList(
            nn.Conv2d(each, 4 if at == 0 else 2, 3, padding=1) for at, each in enumerate(channels)
        )

    def forward(self, picture: torch.Tensor) -> Found:
        """What every anchor says of (1, 3, H, W) float32, RGB, 0..255 less the mean."""
        maps = self._maps(picture)
        shifts = [_flat(head(each)) for head, each in zip(self.loc, maps, strict=True)]
        scores = [_faces(head(each)) for head, each in zip(self.conf, maps, strict=True)]
        anchors = [_anchors(each, step) for each, step in zip(maps, _STEPS, strict=True)]
        return Found(torch.cat(shifts), torch.cat(scores), torch.cat(anchors))

    def _maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        maps = []
        for at, layer in enumerate(self.vgg):
            x = layer(x)
            if at in _TAPS:
                maps.append(getattr(self, _TAPS[at])(x))
        maps.append(x)
        for at, layer in enumerate(self.extras):
            x = functional.relu(layer(x))
            if at % 2:
                maps.append(x)
        return maps


@dataclass(frozen=True)
class S3fd:
    """The network on its device, between arrays."""

    network: S3fdNetwork
    device: torch.device

    @classmethod
    def load(cls, folder: Path, threads: int) -> "S3fd":
        """From the cache folder of weights, on the GPU where there is one.

        Raises:
            ConfigurationError: the file is missing or wrong.
        """
        device = choose_device(threads)
        return cls(filled(S3fdNetwork, weights.path("s3fd", folder)).to(device), device)

    def detect(self, picture: Pixels) -> Boxes:
        """All faces of (H, W, 3) uint8, RGB; none of a picture that the network is too deep for."""
        if round(min(picture.shape[:2]) * SCALE) < SMALLEST:
            return np.zeros((0, 4))
        small = cv2.resize(picture, (0, 0), fx=SCALE, fy=SCALE, interpolation=cv2.INTER_LINEAR)
        centred = np.ascontiguousarray(np.subtract(small, _MEAN, dtype=np.float32).transpose(2, 0, 1))
        with judging():
            boxes, scores = _decoded(self.network(torch.from_numpy(centred)[None].to(self.device)))
        size = np.array([picture.shape[1], picture.shape[0]] * 2, np.float64)
        seen = np.array([small.shape[1], small.shape[0]] * 2, np.float64)
        return _distinct(boxes / seen * size, scores)


def _vgg() -> list[nn.Module]:
    layers: list[nn.Module] = []
    before, pools = 3, 0
    for channels in _VGG:
        if channels:
            layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU(inplace=True)]
            before = channels
        else:
            pools += 1
            layers.append(nn.MaxPool2d(2, 2, ceil_mode=pools == 3))
    layers += [nn.Conv2d(512, 1024, 3, padding=6, dilation=6), nn.ReLU(inplace=True)]
    return [*layers, nn.Conv2d(1024, 1024, 1), nn.ReLU(inplace=True)]


def _flat(answers: torch.Tensor) -> torch.Tensor:
    """(H * W, C) of (1, C, H, W)."""
    return answers[0].permute(1, 2, 0).flatten(0, 1)


def _faces(answers: torch.Tensor) -> torch.Tensor:
    """The share that "face", the last channel, has beside the strongest of the others, (H * W,)."""
    flat = _flat(answers)
    against = flat[:, :-1].amax(dim=1)
    return torch.stack([against, flat[:, -1]], dim=1).softmax(dim=1)[:, 1]


def _anchors(searched: torch.Tensor, step: int) -> torch.Tensor:
    height, width = searched.shape[2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    centres = (torch.stack([x.flatten(), y.flatten()], dim=1) + 0.5) * step
    return torch.cat([centres, torch.full_like(centres, 4 * step)], dim=1).to(searched.device)


def _decoded(found: Found) -> tuple[Boxes, Scores]:
    """The sure ones, in pixels of the searched picture."""
    sure = (found.scores > SURE).nonzero()[:, 0]
    shifts, anchors = found.shifts[sure].double(), found.anchors[sure].double()
    centres = anchors[:, :2] + shifts[:, :2] * _CENTRE_VARIANCE * anchors[:, 2:]
    half = anchors[:, 2:] * torch.exp(shifts[:, 2:] * _SIZE_VARIANCE) / 2
    boxes = torch.cat([centres - half, centres + half], dim=1)
    return boxes.cpu().numpy(), found.scores[sure].cpu().numpy()


def _distinct(boxes: Boxes, scores: Scores) -> Boxes:
    """Upstream's two rounds. The second alone would keep what only a box that it drops has pushed out."""
    for most_candidates, most_overlap, most_kept in _ROUNDS:
        surest_first = scores.argsort(kind="stable")[::-1]  # of equals the last comes first, as upstream
        order = surest_first[:most_candidates]
        kept = order[_survivors(boxes[order], most_overlap)[:most_kept]]
        boxes, scores = boxes[kept], scores[kept]
    return boxes


def _survivors(boxes: Boxes, most: float) -> list[int]:
    """Which boxes, the surest first, overlap no surer one that survives by more than that share of their union."""
    kept: list[int] = []
    left = np.arange(len(boxes))
    while len(left):
        best, others = left[0], left[1:]
        kept.append(int(best))
        left = others[overlaps(boxes[best], boxes[others]) <= most]
    return kept
