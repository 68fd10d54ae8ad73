"""Batches whose rows asked for their figures, compared by their manifests alone: the workers have judged already.

A folder is what `dubline results BATCH --to FOLDER` writes: `<row>.manifest.json` beside each video.
"""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from contract.errors import BadRequest
from contract.figures import Figures
from contract.manifest import Manifest
from worker.evaluation.compare import Seen
from worker.evaluation.metrics.base import Reading
from worker.evaluation.pairs import OPTIONS

SUFFIX = ".manifest.json"


def read_results(folders: Mapping[str, Path]) -> list[Seen]:
    """The rows that all folders have figures of, for the same video and audio.

    Raises:
        BadRequest: there are none, a manifest cannot be read, or two rows of one name are of other inputs, of another
            part of the source, or of another face.
    """
    found = {name: _manifests(folder) for name, folder in folders.items()}
    rows = sorted(set.intersection(*(set(each) for each in found.values())))
    if not rows:
        told = "; ".join(f"{name}: {len(each)} rows with figures" for name, each in found.items())
        raise BadRequest(
            f"no row has figures in all folders ({told}); submit with the column `evaluate` set to true"
        )
    return [_seen(row, {name: each[row] for name, each in found.items()}) for row in rows]


def _manifests(folder: Path) -> dict[str, Manifest]:
    """Those with figures, by their rows."""
    manifests = [_manifest(path) for path in sorted(folder.glob(f"*{SUFFIX}"))]
    return {each.row: each for each in manifests if each.evaluation is not None}


def _manifest(path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BadRequest(f"{path.name} is no manifest of this version: {error.errors()[0]['msg']}") from error


def _seen(row: str, manifests: Mapping[str, Manifest]) -> Seen:
    if len({_inputs(each) for each in manifests.values()}) > 1:
        raise BadRequest(
            f"row {row} is of another video or audio, or plays it otherwise ({', '.join(OPTIONS)}), in "
            f"{' and '.join(manifests)}: not the same clip"
        )
    figures = {name: each.evaluation for name, each in manifests.items() if each.evaluation is not None}
    return Seen(row, figures, {name: _readings(each) for name, each in figures.items()})


def _inputs(manifest: Manifest) -> tuple[object, ...]:
    """What two rows must have in common for their frames to be the same ones."""
    hashes = tuple(each.sha256 if each else None for each in (manifest.video, manifest.audio))
    return (*hashes, *(getattr(manifest.job.options, name) for name in OPTIONS))


def _readings(figures: Figures) -> dict[str, Reading]:
    """Values alone: what was resampled stays with the worker, so one row by itself has no interval."""
    return {
        name: Reading(each.value, each.n, about=each.about)
        for name, each in figures.metrics.items()
        if each.status == "ok"
    }
