"""What following a face leaves to whoever goes on from there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from worker.faces.face import Face


@dataclass(frozen=True)
class Trace:
    """The faces of the source frames from `first` on, None where there is none, and the tracker's state after them."""

    first: int
    faces: tuple[Face | None, ...]
    tracker: Mapping[str, NDArray[Any]]

    @property
    def end(self) -> int:
        """The first source frame that was not looked at."""
        return self.first + len(self.faces)

    def pack(self) -> dict[str, NDArray[Any]]:
        """As named arrays, 4 kB a face."""
        found = [face for face in self.faces if face]
        return {
            "first": np.array([self.first]),
            "has_face": np.array([face is not None for face in self.faces], np.uint8),
            "points": np.array([face.points for face in found], np.float32),
            "scores": np.array([face.score for face in found], np.float64),
            **{f"tracker.{name}": array for name, array in self.tracker.items()},
        }

    @classmethod
    def unpack(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """What was packed, bit for bit."""
        found = map(Face, arrays["points"], arrays["scores"].tolist())
        faces = tuple(next(found) if has_face else None for has_face in arrays["has_face"])
        begin = "tracker."
        tracker = {
            name.removeprefix(begin): array for name, array in arrays.items() if name.startswith(begin)
        }
        return cls(int(arrays["first"][0]), faces, tracker)
