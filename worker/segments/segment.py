"""One finished part of a job, as a file: what was encoded, and what its successor needs to know. No pickle."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from contract.errors import ResourceExhausted
from contract.manifest import WarningRecord
from worker.faces.trace import Trace
from worker.media.writer import Encoded

SEGMENT_FRAMES = 500
"""20 s of output. A job of no more is one segment, of which nothing is kept."""
_FORMAT = "dubline-segment-1"
_TRACE = "trace."


def ends_segment(index: int) -> bool:
    """Whether an output frame is the last of its segment: counted from 0, never timed, and so the same each time."""
    return left_in_segment(index) == 0


def left_in_segment(index: int) -> int:
    """How many frames of its segment come after an output frame."""
    return SEGMENT_FRAMES - 1 - index % SEGMENT_FRAMES


def is_long(frames: int) -> bool:
    """Whether an output of so many frames has several segments."""
    return frames > SEGMENT_FRAMES


def layout() -> str:
    """What two attempts must agree on to read each other's segments."""
    return f"{_FORMAT}, of {SEGMENT_FRAMES} frames"


class SegmentDamaged(ResourceExhausted):
    """The file is not what its name says, or of another job or software."""


@dataclass(frozen=True)
class Segment:
    """Output frames `first` .. `first + frames - 1`, encoded.

    `with_face` of them have a new mouth. `trace` has the faces that were first seen in them and the tracker as it
    was after them; None where no faces were followed, because all that is prepared of them was known already.
    `prints` are of the source's last frames before `end` (`Witness`). The last segment has the source's `warnings`.
    """

    first: int
    frames: int
    with_face: int
    pictures: tuple[Encoded, ...]
    trace: Trace | None
    prints: tuple[int, ...] = ()
    warnings: tuple[WarningRecord, ...] = ()

    @property
    def end(self) -> int:
        """The first output frame after it."""
        return self.first + self.frames


def write_segment(path: Path, segment: Segment, chain: Mapping[str, str]) -> None:
    """Write the segment as a link of the chain that is named so. The same segment gives the same bytes.

    Raises:
        OSError: the disk is full, or the like.
    """
    pictures = segment.pictures
    tensors: dict[str, NDArray[Any]] = {
        "times": np.array([(each.pts, each.dts) for each in pictures], np.int64).reshape(-1, 2),
        "is_key": np.array([each.is_key for each in pictures], np.uint8),
        "sizes": np.array([len(each.data) for each in pictures], np.int64),
        "payload": np.frombuffer(b"".join(each.data for each in pictures), np.uint8),
    }
    if segment.trace:
        tensors |= {f"{_TRACE}{name}": array for name, array in segment.trace.pack().items()}
    about = {
        **chain,
        "first": segment.first,
        "frames": segment.frames,
        "with_face": segment.with_face,
        "prints": segment.prints,
        "warnings": [each.model_dump() for each in segment.warnings],
    }
    try:
        save_file(tensors, path, metadata={_FORMAT: json.dumps(about)})
    except SafetensorError as error:  # its own name for what the disk says
        raise OSError(str(error)) from error


def read_segment(path: Path, chain: Mapping[str, str]) -> Segment:
    """What was written as a link of that chain.

    Raises:
        SegmentDamaged: it was not, or the file is not whole.
    """
    try:
        with cast(Any, safe_open(path, framework="numpy")) as file:  # its stub has no types
            about = dict(json.loads((file.metadata() or {}).get(_FORMAT, "{}")))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        segment = _segment(about, tensors)
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise SegmentDamaged(f"{path.name} cannot be read: {error}") from error
    if any(about.get(name) != value for name, value in chain.items()):
        raise SegmentDamaged(f"{path.name} belongs to something else")
    if len(segment.pictures) != segment.frames:
        raise SegmentDamaged(f"{path.name} has {len(segment.pictures)} pictures of {segment.frames}")
    return segment


def _segment(about: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> Segment:
    traced = {name.removeprefix(_TRACE): each for name, each in tensors.items() if name.startswith(_TRACE)}
    return Segment(
        about["first"],
        about["frames"],
        about["with_face"],
        tuple(_pictures(tensors)),
        Trace.unpack(traced) if traced else None,
        tuple(about["prints"]),
        tuple(WarningRecord(**each) for each in about["warnings"]),
    )


def _pictures(tensors: Mapping[str, NDArray[Any]]) -> Sequence[Encoded]:
    payload, sizes = tensors["payload"].tobytes(), tensors["sizes"].tolist()
    stops = accumulate(sizes)
    rows = zip(stops, sizes, tensors["times"].tolist(), tensors["is_key"].tolist(), strict=True)
    return [
        Encoded(payload[stop - size : stop], pts, dts, bool(is_key))
        for stop, size, (pts, dts), is_key in rows
    ]
