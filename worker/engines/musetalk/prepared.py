"""What MuseTalk knows of a source frame before it hears a sound: kept for every job with the same source."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from contract.job import JobOptions
from worker import weights
from worker.engines.musetalk.networks import Networks
from worker.engines.musetalk.variants import Variant
from worker.media.frame import Box, Pixels

REVISION = "2"
"""Of the code that prepares frames. Raise it when the same frame would give another `Prepared`."""
SOFTWARE = ("ai-edge-litert", "av", "diffusers", "numpy", "opencv-python-headless", "pillow", "torch")
"""What computes pixels, faces, boxes, masks and latents, and may round differently in another version."""
WEIGHTS = ("face-detection", "face-mesh", "vae")
"""What finds faces, and what makes latents."""
UPSTREAMS = {"dwpose": ("onnxruntime", "rtmlib"), "face-parsing": ("onnxruntime", "uniface")}
"""The weights of upstream's own landmarks and mask, and what computes with them."""


@dataclass(frozen=True)
class Prepared:
    """One source frame, ready for any voice.

    `box` is what the network redraws, in frame pixels. `latents` (8, 32, 32), float16 or float32 as the networks
    compute, hold the face without its lower half and the whole face. `mask` (h, w) uint8 is for the pixels of
    `box`: 0 (the frame as it was) to 255 (the drawing).
    """

    box: Box
    latents: NDArray[Any]
    mask: Pixels

    def pack(self) -> dict[str, NDArray[Any]]:
        """As named arrays, 16 or 32 kB and the mask."""
        edges = np.array([self.box.left, self.box.top, self.box.right, self.box.bottom], dtype=np.int32)
        return {"box": edges, "latents": self.latents, "mask": self.mask}

    @classmethod
    def unpack(cls, arrays: Mapping[str, NDArray[Any]]) -> "Prepared":
        """What was packed, bit for bit."""
        return cls(Box(*arrays["box"].tolist()), arrays["latents"], arrays["mask"])


def depends_on(variant: Variant, options: JobOptions, networks: Networks) -> dict[str, str]:
    """All that changes what is prepared of a given face in a given frame. The UNet and Whisper do not."""
    chosen = {"dwpose": options.landmarks == "dwpose", "face-parsing": options.mask == "bisenet"}
    upstreams = [name for name, is_chosen in chosen.items() if is_chosen]
    software = {*SOFTWARE, *(each for name in upstreams for each in UPSTREAMS[name])}
    return {
        "revision": REVISION,
        "variant": variant.name,
        "extra_margin": str(options.extra_margin if variant.uses_margin else 0),
        "bbox_shift": str(options.bbox_shift if variant.uses_shift else 0),
        "parsing": variant.mode(options),
        "landmarks": options.landmarks,
        "mask": options.mask,
        "dtype": str(networks.dtype),
        "layout": networks.layout,
        **_computer(networks.device),
        **{f"sha256 of {name}": weights.weight(name).sha256 for name in (*WEIGHTS, *upstreams)},
        **{f"version of {name}": _version(name) for name in sorted(software)},
    }


def _computer(device: torch.device) -> dict[str, str]:
    """What chooses the order of additions, and so the last bits: another card, library or number of threads."""
    if device.type == "cuda":
        return {
            "device": torch.cuda.get_device_name(device),
            "version of CUDA": str(torch.version.cuda),
            "version of cuDNN": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]
        }
    return {
        "device": f"{device.type} {torch.backends.cpu.get_cpu_capability()}",
        "threads": str(torch.get_num_threads()),
    }


def _version(package: str) -> str:
    """Of what is installed; an option whose package is not is refused when its network is loaded."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
