"""MuseTalk's three networks on one device, read from files that are checked tensor by tensor."""

import logging
import math
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import nn
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from contract.errors import ConfigurationError, DublineError, ResourceExhausted
from worker.engines.musetalk.architecture import PARTS, Part
from worker.engines.musetalk.convert import Checkpoint, ready, size
from worker.engines.musetalk.failures import first_line, is_out_of_memory, is_sticky, lost
from worker.engines.musetalk.layout import Layout, lay_out, suiting
from worker.engines.musetalk.unet import FoldedUnet

logger = logging.getLogger(__name__)

_CGROUPS = Path("/sys/fs/cgroup")
_NOT_BUILT_FOR = "no kernel image"  # the GPU is of another generation than this torch: no new process helps


@dataclass(frozen=True)
class Networks:
    """The networks of one process, shared by its threads.

    They are read-only, so any thread may run any of them while others do. `lock` is held while a CUDA graph is
    recorded (batch.py), one at a time; recorded calls need it no more. On a GPU, whoever runs a network without a
    `FixedBatch` holds it too.
    """

    unet: FoldedUnet
    """(B, 8, 32, 32) latents and (B, 50, 384) windows to (B, 4, 32, 32) latents; see unet.py."""
    vae: AutoencoderKL
    whisper: WhisperEncoder
    device: torch.device
    dtype: torch.dtype
    """Of all weights, and of what the networks take and give."""
    layout: Layout = "contiguous"
    lock: threading.Lock = field(default_factory=threading.Lock, compare=False)

    @property
    def gpu(self) -> str | None:
        """Its name, where they are on one."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else None

    @classmethod
    def load(
        cls,
        files: Mapping[str, Path],
        device: torch.device,
        dtype: torch.dtype,
        layout: Layout | None = None,
    ) -> "Networks":
        """The networks from their files, `unet`, `vae` and `whisper`, in that precision on that device.

        `layout` is how they lie there; None: as suits the device.

        Raises:
            ConfigurationError: a file is missing, damaged or another network's; or the machine is too small.
            ResourceExhausted: the memory is there, and others are using it.
            EngineFailed: the GPU is lost for this process.
        """
        limit_threads()
        layout = layout or suiting(device)
        try:
            checkpoints = {part: ready(files[part], PARTS[part], dtype) for part in PARTS}
            _refuse_what_does_not_fit(checkpoints)
            found = {part: _network(each, device, dtype) for part, each in checkpoints.items()}
            return cls(
                unet=lay_out(FoldedUnet(cast(UNet2DConditionModel, found["unet"])).eval(), layout),
                vae=cast(AutoencoderKL, lay_out(found["vae"], layout)),
                whisper=cast(WhisperEncoder, found["whisper"]),
                device=device,
                dtype=dtype,
                layout=layout,
            )
        except (RuntimeError, MemoryError) as error:
            _tell(error, device, dtype)
            raise


def choose_device() -> tuple[torch.device, torch.dtype]:
    """The first GPU that torch sees, in half precision; without one the CPU, in single precision.

    Which GPU that is, is said where such things are said: CUDA_VISIBLE_DEVICES. On the CPU half precision is
    slower, not faster.
    """
    if torch.cuda.is_available():
        return torch.device("cuda"), torch.float16
    return torch.device("cpu"), torch.float32


def _network(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The network with its tensors. Each gets its precision before it gets to the device."""
    network = checkpoint.architecture.network()
    tensors = {name: checkpoint.tensor(name).to(dtype).to(device) for name in checkpoint.shapes}
    network.load_state_dict(tensors, strict=True, assign=True)
    return network.requires_grad_(False)


def _refuse_what_does_not_fit(checkpoints: Mapping[Part, Checkpoint]) -> None:
    """The published files always fit together; files with an architecture of their own may not."""
    unet, vae, whisper = (checkpoints[part].shapes for part in ("unet", "vae", "whisper"))
    latents = vae["post_quant_conv.weight"][0]
    sound = whisper["conv2.weight"][0]
    attention = next(shape for name, shape in unet.items() if name.endswith("attn2.to_k.weight"))
    faults = []
    if (unet["conv_in.weight"][1], unet["conv_out.weight"][0]) != (2 * latents, latents):
        faults.append(f"the UNet does not take and give the VAE's {latents} latents")
    if attention[1] != sound:
        faults.append(f"the UNet listens to {attention[1]} channels, Whisper gives {sound}")
    if faults:
        paths = ", ".join(str(each.path) for each in checkpoints.values())
        fact = f"these weights do not fit together: {'; '.join(faults)} ({paths})"
        raise ConfigurationError(f"{fact}; run `dubline models fetch`")


def _tell(error: Exception, device: torch.device, dtype: torch.dtype) -> None:
    """Raise what a person or another process can do about it, where that is known."""
    if is_out_of_memory(error):
        raise _too_small(device, dtype) from error
    if not is_sticky(error):
        return
    has_context = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    if has_context and _NOT_BUILT_FOR not in str(error):
        raise lost(error) from error
    raise ConfigurationError(
        f"the GPU cannot be used ({first_line(error)}); see `nvidia-smi`, and which GPUs this torch was built for"
    ) from error


def _too_small(device: torch.device, dtype: torch.dtype) -> DublineError:
    needed, there = (sum(size(each.shapes(), dtype) for each in PARTS.values()), _memory(device))
    fact = f"MuseTalk's networks need {needed / 1e9:.1f} GB of {device} memory"
    if there < needed:
        return ConfigurationError(f"{fact}, and there are {there / 1e9:.1f} GB; use a larger machine")
    return ResourceExhausted(f"{fact}, which others are using; stop them, or use a larger machine")


def _memory(device: torch.device) -> int:
    """All memory of the device, in bytes, whoever uses it."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def limit_threads(group: Path | None = None) -> int:
    """How many threads torch computes with from now on: never more than `cores`.

    torch counts the machine's cores. In a container with a part of them its threads take each other's time.
    """
    threads = min(torch.get_num_threads(), cores(group))
    torch.set_num_threads(threads)
    return threads


def cores(group: Path | None = None) -> int:
    """The cores this process may use: by its affinity, and by the quotas of its control group (version 2).

    `group` is that group's folder; of those above it the smallest quota counts, rounded up.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    folder = group or _own_group()
    return max(1, min(allowed, *(_quota_of(each / "cpu.max") for each in (folder, *folder.parents))))


def _own_group() -> Path:
    try:
        listing = Path("/proc/self/cgroup").read_text()
    except OSError:  # not Linux
        return _CGROUPS
    return _CGROUPS / listing.rpartition("::")[2].strip().lstrip("/")


def _quota_of(file: Path) -> int:
    """`cpu.max` holds the microseconds of CPU time in a period, or `max`, and the period."""
    unlimited = os.cpu_count() or 1
    try:
        quota, period = file.read_text().split()
    except (OSError, ValueError):
        return unlimited
    return unlimited if quota == "max" else math.ceil(int(quota) / int(period))
