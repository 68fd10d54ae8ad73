"""How the networks' tensors lie in memory: what is computed stays the same, its speed and its last bits do not.

contiguous     plane by plane, as the files have it. The fastest on a CPU (benchmarks/RESULTS.md), and the most exact there.
channels-last  the weights of convolutions lie channel beside channel, as tensor cores like them, and what passes through
               a convolution does, too. It does not stay so: torch's GroupNorm on CUDA always answers plane by plane
               (`native_group_norm` takes `X.contiguous()`), so what lies between two convolutions is turned round twice.
throughout     likewise, and GroupNorm is `ChannelNorm`, which turns nothing round. Only each attention of the UNet still
               turns what it gives (diffusers makes it contiguous).

Between two convolutions of a residual block a GPU then reads a tensor four times and writes it twice (sums, squares,
scaling, SiLU) in place of five and four (turning, moments, scaling, SiLU, turning): so `throughout` is taken there. That
is counted and not measured, for no GPU was to be had; `dubline bench --layouts contiguous,channels-last,throughout` measures.
"""

from typing import Any, Literal, TypeVar, cast

import torch
from torch import nn

Layout = Literal["contiguous", "channels-last", "throughout"]
LAYOUTS: tuple[Layout, ...] = ("contiguous", "channels-last", "throughout")

_Network = TypeVar("_Network", bound=nn.Module)


def suiting(device: torch.device) -> Layout:
    """The layout that networks are loaded in for that kind of device."""
    return "throughout" if device.type == "cuda" else "contiguous"


def lay_out(network: _Network, layout: Layout) -> _Network:
    """The same network, changed in place; it must still be as its file has it."""
    if layout != "contiguous":
        cast(Any, network).to(memory_format=torch.channels_last)
    if layout == "throughout":
        _replace_norms(network)
    return network


def _replace_norms(network: nn.Module) -> None:
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.GroupNorm):
                setattr(parent, name, ChannelNorm(child))


class ChannelNorm(nn.Module):
    """A GroupNorm that leaves channels beside each other, of plain operations that do.

    Sums are taken in single precision, whatever the precision of the rows, and the variance is the mean of the squares
    less the square of the mean. That loses digits where a mean is large, but fewer than half precision itself
    (tests/worker/engines/musetalk/test_layout.py). Y. Wu and K. He, Group Normalization (2018), equations 1 to 3.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        """Take over the weights of that one."""
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        self.groups, self.eps = norm.num_groups, norm.eps

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """(B, C, ...) of the same precision, lying as the rows do."""
        places = tuple(range(2, rows.dim()))
        # Each channel by itself first: that reads memory in its order, and what is left is small.
        sums = rows.sum(places, dtype=torch.float32)
        squares = torch.linalg.vector_norm(rows, 2, places, dtype=torch.float32).square()
        mean, square = self._over_groups(sums, rows), self._over_groups(squares, rows)
        deviation = (square - mean.square()).clamp(min=0).add(self.eps).sqrt()
        scale = self.weight.float() / deviation
        shift = self.bias.float() - mean * scale
        shape = (*scale.shape, *(1 for _ in places))
        normed: torch.Tensor = torch.addcmul(
            shift.to(rows.dtype).view(shape), rows, scale.to(rows.dtype).view(shape)
        )
        return normed

    def _over_groups(self, sums: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """(B, C): for each channel the mean of its whole group, from the sums of single channels."""
        count = rows[0].numel() // self.groups
        groups = sums.view(len(sums), self.groups, -1).sum(2) / count
        return groups.repeat_interleave(sums.shape[1] // self.groups, dim=1)
