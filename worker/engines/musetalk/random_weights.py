"""Networks with random weights, as real files: for benchmarks and tests. No job ever uses them.

Their pictures are noise, but they take the time and the memory of the real ones.
"""

import json
import math
import zlib
from collections.abc import Mapping
from pathlib import Path

import torch

from worker.engines.musetalk import convert
from worker.engines.musetalk.architecture import PARTS, Architecture, Part, Shapes


def write(
    folder: Path,
    dtype: torch.dtype = torch.float16,
    seed: int = 0,
    architectures: Mapping[Part, Architecture] = PARTS,
) -> dict[str, Path]:
    """Write `unet`, `vae` and `whisper` into the folder; full-size, that is 1.9 GB in half precision.

    The same seed gives the same bytes. The architecture lies in each file's metadata.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path] = {}
    for part, architecture in architectures.items():
        files[part] = folder / f"{part}.safetensors"
        _write(files[part], architecture, dtype, seed)
    return files


def _write(path: Path, architecture: Architecture, dtype: torch.dtype, seed: int) -> None:
    shapes = architecture.shapes()
    metadata = {"config": json.dumps(architecture.config), "random": "true"}
    with path.open("wb") as file:
        convert.write(file, shapes, dtype, lambda name: _values(name, shapes, seed), metadata)


def _values(name: str, shapes: Shapes, seed: int) -> torch.Tensor:
    """Values as a trained network's are in size, so that whatever goes in, what comes out is finite.

    Weights of layers keep the variance of what passes; those of norms lie about 1, biases about 0.
    """
    shape = shapes[name]
    generator = torch.Generator().manual_seed(seed ^ zlib.crc32(name.encode()))
    noise = torch.empty(shape).normal_(generator=generator)
    if len(shape) > 1:
        return noise / math.sqrt(math.prod(shape[1:]))
    return noise * 0.1 + (1.0 if name.endswith("weight") else 0.0)
