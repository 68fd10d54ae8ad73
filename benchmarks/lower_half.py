"""What it costs, in exactness, to decode only the lower half of MuseTalk's pictures, and what it saves.

    python -m benchmarks.lower_half [--seeds 0,1] [--narrow N] [--json]

Only rows from the middle down are ever pasted. The decoder can leave out the rows above them, and some that the others
need (a margin), from one of its stages on: from the latents, or later, where most of the arithmetic is. Two things go
wrong then. Convolutions at the cut see nought in place of a neighbour, which a margin mends. And each GroupNorm measures
fewer rows, which a margin does not mend; so its mean and deviation can be taken from elsewhere:

    own      of the rows that are left
    source   of the whole picture that the decoder makes of the source frame's latents: once for each source frame, kept with them
    exact    of the very picture decoded whole; saves nothing, and shows what of the error is not the statistics'

The decoder has the published shapes (with --narrow N: a Nth of their channels and groups, and 1/N² of the seconds; what is saved
is counted for the published ones) and random weights: how far statistics move depends on what a decoder has learned, so the
figures are of its structure and not of the published weights. The latents are a face's (the demo's portrait), by an encoder with
random weights; those "redrawn" are the same face's with another mouth (its lower third drawn out by 8 %).
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from worker.engines.musetalk import random_weights
from worker.engines.musetalk.architecture import PARTS
from worker.engines.musetalk.conditioning import normalised
from worker.engines.musetalk.convert import ready
from worker.engines.musetalk.crop import SIDE
from worker.engines.musetalk.generator import pixels
from worker.engines.musetalk.networks import limit_threads

PORTRAIT = Path(__file__).parents[1] / "demo" / "portrait.jpg"
FACE = np.s_[150:280, 190:320]
"""Of the portrait, about as MuseTalk's box has it."""
SEEN = SIDE // 2
"""The first row that is pasted."""
STAGES = ("latents", "up 0", "up 1", "up 2", "up 3")
ROWS = (32, 32, 64, 128, 256)
"""Of what each stage is given."""
CASES = (
    *(("latents", margin) for margin in (0, 4, 8, 12)),
    *((stage, margin) for stage in STAGES[1:] for margin in (2, 8)),
)
"""Where rows are left out, and how many above the seen ones are kept there."""


@dataclass(frozen=True)
class Cost:
    """One way to leave rows out, over all seeds; differences in rows that are pasted, of 255."""

    stage: str
    margin: int
    statistics: str
    saved: float
    """Of the decoder's arithmetic."""
    psnr: float
    mean: float
    largest: int


def main() -> int:
    """Exit code 0; that nothing is exact enough is a result like any other."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", default="0,1", help="of the random weights")
    parser.add_argument("--narrow", type=int, default=1, help="divide the channels by this")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    limit_threads()
    vaes = [autoencoder(int(seed), options.narrow) for seed in options.seeds.split(",")]
    costs = list(measured(vaes))
    if options.json:
        print(json.dumps([asdict(each) for each in costs]))
        return 0
    print(
        "| rows left out from | margin | statistics | arithmetic saved | PSNR, dB | mean /255 | largest /255 |"
    )
    print("|---|---|---|---|---|---|---|")
    for each in costs:
        figures = f"{each.saved:.0%} | {each.psnr:.1f} | {each.mean:.3f} | {each.largest}"
        print(f"| {each.stage} | {each.margin} | {each.statistics} | {figures} |")
    return 0


def autoencoder(seed: int, narrow: int) -> Any:
    """The published autoencoder, or a narrow one with as many channels in a group, with random weights."""
    config = PARTS["vae"].config
    channels = [each // narrow for each in config["block_out_channels"]]
    sizes = {"block_out_channels": channels, "norm_num_groups": config["norm_num_groups"] // narrow}
    shapes = replace(PARTS["vae"], config={**config, **sizes})
    with TemporaryDirectory(prefix="dubline-vae-") as name:
        (file,) = random_weights.write(Path(name), torch.float32, seed, {"vae": shapes}).values()
        checkpoint = ready(file, shapes, torch.float32)
        vae = checkpoint.architecture.network()
        tensors = {each: checkpoint.tensor(each).clone() for each in checkpoint.shapes}
        vae.load_state_dict(tensors, strict=True, assign=True)
    return vae.requires_grad_(False)


@torch.no_grad()
def measured(vaes: list[Any]) -> Iterator[Cost]:
    """Every case with statistics from each place."""
    wholes = [Whole.of(each) for each in vaes]
    whole_gflop = gflop("latents", SEEN)
    for stage, margin in CASES:
        saved = 1 - gflop(stage, margin) / whole_gflop
        for statistics in ("own", "source", "exact"):
            pairs = [each.pair(stage, margin, statistics) for each in wholes]
            yield cost(pairs, stage, margin, statistics, saved)
            print(f"{stage}, margin {margin}, {statistics}", file=sys.stderr)


def cost(
    pairs: list[tuple[np.ndarray, np.ndarray]], stage: str, margin: int, statistics: str, saved: float
) -> Cost:
    """From the seen rows of pictures decoded in part and whole."""
    step = np.concatenate([np.abs(part.astype(int) - whole).ravel() for part, whole in pairs])
    error = float(np.mean(step**2.0))
    return Cost(
        stage=stage,
        margin=margin,
        statistics=statistics,
        saved=round(saved, 4),
        psnr=round(10 * np.log10(255**2 / max(error, 1e-9)), 2),
        mean=round(float(step.mean()), 4),
        largest=int(step.max()),
    )


@dataclass(frozen=True)
class Whole:
    """One decoder, and what it makes of the redrawn face when nothing is left out."""

    vae: Any
    redrawn: torch.Tensor
    picture: np.ndarray
    statistics: dict[str, dict[str, torch.Tensor]]
    """Of the source's and of the redrawn face's whole picture, by the name of the norm."""

    @classmethod
    def of(cls, vae: Any) -> "Whole":
        source, redrawn = (vae.encode(normalised(each)[1:]).latent_dist.mode() for each in faces())
        with recorded(vae) as of_source:
            decoded(vae, source)
        with recorded(vae) as exact:
            picture = pixels(decoded(vae, redrawn))[0].numpy()
        return cls(vae, redrawn, picture, {"own": {}, "source": of_source, "exact": exact})

    def pair(self, stage: str, margin: int, statistics: str) -> tuple[np.ndarray, np.ndarray]:
        """The seen rows, decoded in part and whole."""
        with replayed(self.vae, self.statistics[statistics], after=stage):
            part = decoded(self.vae, self.redrawn, stage, margin)
        return pixels(part)[0].numpy()[-SEEN:], self.picture[-SEEN:]


def faces() -> tuple[torch.Tensor, torch.Tensor]:
    """(1, 256, 256, 3) uint8 RGB each: a face, and the same with another mouth."""
    face = cv2.resize(
        cv2.imread(str(PORTRAIT))[FACE][:, :, ::-1], (SIDE, SIDE), interpolation=cv2.INTER_LANCZOS4
    )
    other, from_row = face.copy(), SIDE * 2 // 3
    drawn_out = cv2.resize(face[from_row:], None, fx=1, fy=1.08, interpolation=cv2.INTER_LINEAR)
    other[from_row:] = drawn_out[: SIDE - from_row]
    return torch.from_numpy(face[None].copy()), torch.from_numpy(other[None])


# --------------------------------------------------------------------------------------------------- the decoder


def decoded(vae: Any, latents: torch.Tensor, stage: str = "latents", margin: int = SEEN) -> torch.Tensor:
    """(B, 3, rows, 256): the picture from its first row that is not left out. As diffusers' `Decoder.forward`."""
    decoder = vae.decoder
    sample = vae.post_quant_conv(latents)
    sample = cropped(sample, margin) if stage == "latents" else sample
    sample = decoder.mid_block(decoder.conv_in(sample))
    for name, block in zip(STAGES[1:], decoder.up_blocks, strict=True):
        sample = block(cropped(sample, margin) if stage == name else sample)
    picture: torch.Tensor = decoder.conv_out(decoder.conv_act(decoder.conv_norm_out(sample)))
    return picture


def cropped(sample: torch.Tensor, margin: int) -> torch.Tensor:
    """The lower half, and so many rows above it."""
    return sample[:, :, max(0, sample.shape[2] // 2 - margin) :]


def gflop(stage: str, margin: int) -> float:
    """10^9 operations of the convolutions and products of one picture by the published decoder."""
    counter = FlopCounterMode(display=False)
    with counter, torch.device("meta"):
        decoded(PARTS["vae"].network().requires_grad_(False), torch.empty(1, 4, 32, 32), stage, margin)
    return counter.get_total_flops() / 1e9


# ------------------------------------------------------------------------------------------------- the statistics


def norms(vae: Any) -> dict[str, nn.GroupNorm]:
    """Of the decoder, in the order in which they are called."""
    return {name: each for name, each in vae.decoder.named_modules() if isinstance(each, nn.GroupNorm)}


@contextmanager
def recorded(vae: Any) -> Iterator[dict[str, torch.Tensor]]:
    """By the norm's name (2, B, groups, 1): variance and mean of what it is given."""
    found: dict[str, torch.Tensor] = {}

    def recorder(name: str, groups: int) -> Callable[..., None]:
        def record(_: nn.Module, given: tuple[torch.Tensor]) -> None:
            rows = given[0].reshape(len(given[0]), groups, -1)
            found[name] = torch.stack(torch.var_mean(rows, 2, correction=0, keepdim=True))

        return record

    hooks = [
        each.register_forward_pre_hook(recorder(name, each.num_groups)) for name, each in norms(vae).items()
    ]
    yield found
    for hook in hooks:
        hook.remove()


@contextmanager
def replayed(vae: Any, statistics: dict[str, torch.Tensor], after: str) -> Iterator[None]:
    """Norms from that stage on take these in place of their own; those without any keep their own."""

    def replayer(name: str) -> Callable[..., torch.Tensor]:
        def replay(norm: Any, given: tuple[torch.Tensor], _: torch.Tensor) -> torch.Tensor:
            rows, (variance, mean) = given[0], statistics[name]
            unit = (rows.reshape(len(rows), norm.num_groups, -1) - mean) / (variance + norm.eps).sqrt()
            shape = (-1, *(1 for _ in rows.shape[2:]))
            return unit.reshape(rows.shape) * norm.weight.view(shape) + norm.bias.view(shape)

        return replay

    hooks = [
        each.register_forward_hook(replayer(name))
        for name, each in norms(vae).items()
        if name in statistics and comes_after(name, after)
    ]
    yield
    for hook in hooks:
        hook.remove()


def comes_after(norm: str, stage: str) -> bool:
    """Whether the norm works on what is left after rows were left out at that stage."""
    if stage == "latents" or norm == "conv_norm_out":
        return True
    kind, _, rest = norm.partition(".")
    return kind == "up_blocks" and int(rest.split(".")[0]) >= int(stage.split()[1])


if __name__ == "__main__":
    sys.exit(main())
