"""The port of every engine: `setup` once, `for_job` once a job, `prepare` and `generate` for its frames with a face.

An engine gets face crops and audio and gives mouths. It knows nothing of files, queues or S3.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from contract.job import JobOptions
from worker.faces.face import Face
from worker.media.frame import Box, Pixels


@dataclass(frozen=True)
class Crop:
    """What an engine sees of one source frame.

    `rgb` is (h, w, 3) uint8 of the frame's pixels in `box`; `face.points` stay in frame pixels. `width` and
    `height` are the whole frame's.
    """

    rgb: Pixels
    box: Box
    face: Face
    width: int
    height: int


@dataclass(frozen=True)
class Mouth:
    """What an engine draws into one frame.

    `rgb` is (h, w, 3) uint8 for the pixels of `box` (on the chroma grid), `alpha` (h, w) float32, 0 (the frame
    as it was) to 1 (the drawing). Outside `box`, and where alpha is 0, the frame stays bit-exact.
    """

    rgb: Pixels
    alpha: NDArray[np.float32]
    box: Box


class EngineJob(Protocol):
    """One job's engine: the options are settled. `Prepared` and the features are the engine's own types.

    `prepare` and `generate` are each called from one thread at a time, and may run at the same time.
    """

    batch_size: int

    def listen(self, samples: NDArray[np.float32], frames: int) -> Sequence[Any]:
        """One feature per output frame from mono 16 kHz audio in -1..1; beyond its end is silence."""

    def region(self, face: Face, width: int, height: int) -> Box:
        """The part of a frame of that size that `prepare` wants to see, on the chroma grid."""

    def prepare(self, crops: Sequence[Crop]) -> list[Any]:
        """What depends on each source frame alone; at most `batch_size` at once, each frame once a job.

        None where the frame's face cannot be drawn on after all: the frame passes through untouched.
        """

    def generate(self, prepared: Sequence[Any], features: Sequence[Any]) -> Iterable[Mouth]:
        """One mouth per pair; the two sequences are equally long, at most `batch_size`.

        What the CPU alone has to do for a mouth may be left until it is taken: another thread takes it, while this
        one calls for the next batch.
        """


@runtime_checkable
class Keeping(Protocol):
    """An `EngineJob` whose prepared frames cost so much that they are kept for other jobs with the same source."""

    def depends_on(self) -> Mapping[str, str]:
        """Everything of the engine, its weights and the options that changes what `prepare` gives."""

    def pack(self, prepared: Any) -> dict[str, NDArray[Any]]:
        """One prepared frame as named arrays, the same names for every frame; shapes may differ."""

    def unpack(self, arrays: Mapping[str, NDArray[Any]]) -> Any:
        """The prepared frame that was packed, bit for bit."""


class Engine(Protocol):
    """One way to redraw mouths."""

    name: str

    def setup(self) -> None:
        """Load the weights; once per process.

        Raises:
            ConfigurationError: weights are missing or wrong, or the machine cannot run them.
        """

    def for_job(self, options: JobOptions) -> EngineJob:
        """The engine with a job's options. Cheap: the networks are shared."""
