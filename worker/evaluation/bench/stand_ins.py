"""Random weights in place of MuseTalk's: nothing that a bench measures depends on what the networks have learned.

They lie in a folder of their own, and a registry says that they are right there: so a job loads, verifies and warms
them as it does the real ones. Only the processes of a bench ever know that registry.
"""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from contract.job import EngineName
from worker.engines.musetalk import random_weights
from worker.engines.musetalk.architecture import PARTS, Part
from worker.engines.musetalk.networks import choose_device
from worker.weights import cache, registry

_REVISION = "random"
_PARTS: dict[str, Part] = {"unet-v15": "unet", "unet-v1": "unet", "vae": "vae", "whisper-tiny": "whisper"}


@dataclass(frozen=True)
class StandIns:
    """A folder of weights, and the registry in which they are the right ones."""

    folder: Path
    registry: tuple[registry.Weight, ...]
    files: Mapping[Part, Path]

    def let_in(self) -> None:
        """From now on this process takes them for the real ones."""
        registry.REGISTRY = self.registry


def write(folder: Path, engine: EngineName, real: Path) -> StandIns:
    """Random weights of the engine in the folder, in the precision of this device; 3.7 GB of float32.

    The face networks are the real ones, from the folder `real`.

    Raises:
        ConfigurationError: those are missing.
    """
    _, dtype = choose_device()
    random_weights.write(folder / _REVISION, dtype, architectures=PARTS)
    for name in set(registry.ENGINES[engine]) - set(_PARTS):
        _copy(name, real, folder)
    return find(folder)


def find(folder: Path) -> StandIns:
    """Those that were written into the folder, perhaps by another process."""
    files = {part: folder / _REVISION / f"{part}.safetensors" for part in PARTS}
    entries = tuple(_entry(each, files) for each in registry.REGISTRY)
    return StandIns(folder, entries, files)


def _copy(name: str, real: Path, folder: Path) -> None:
    place = registry.weight(name).place(folder)
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(cache.path(name, real), place)


def _entry(real: registry.Weight, files: Mapping[Part, Path]) -> registry.Weight:
    if real.name not in _PARTS:
        return real
    file = files[_PARTS[real.name]]
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    source = registry.Url(f"https://nowhere.invalid/{file.name}")
    return replace(
        real, revision=_REVISION, source=source, sha256=sha256, size=file.stat().st_size, licence="none"
    )
