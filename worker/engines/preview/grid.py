"""A coarse grid over a region of pixels: smooth fields are worked out on it and enlarged."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.engines.preview.axes import Array

Field = NDArray[np.float32]
Part = tuple[slice, slice]
"""Rows and columns, of a grid's cells or of pixels."""

_CELLS = 32  # over the height of a face
_FINER = 3
SUPPORT = 2
"""Cells to each side that cubic interpolation looks at."""


@dataclass(frozen=True)
class Grid:
    """Square cells of `cell` px over `width` x `height` px; the last row and column may hang over."""

    width: int
    height: int
    cell: int

    @classmethod
    def over(cls, width: int, height: int, face_height: float) -> "Grid":
        """A grid fine enough for a face of that height in pixels."""
        return cls(width, height, max(1, round(face_height / _CELLS)))

    @property
    def columns(self) -> int:
        """Cells from left to right."""
        return -(-self.width // self.cell)

    @property
    def rows(self) -> int:
        """Cells from top to bottom."""
        return -(-self.height // self.cell)

    @property
    def everything(self) -> Part:
        """All cells."""
        return slice(0, self.rows), slice(0, self.columns)

    def centres(self) -> Array:
        """(rows, columns, 2): x and y of the cells' centres in pixels; a pixel's centre is a whole number."""
        x = (np.arange(self.columns) + 0.5) * self.cell - 0.5
        y = (np.arange(self.rows) + 0.5) * self.cell - 0.5
        return np.stack(np.meshgrid(x, y), axis=-1)

    def around(self, points: Array, margin: float) -> Part:
        """The cells that hold (n, 2) points, x and y in pixels, and `margin` px around them; at least one cell."""
        size = np.array([self.columns, self.rows])
        first = np.floor((points.min(axis=0) - margin) / self.cell).astype(int).clip(0, size - 1)
        stop = np.ceil((points.max(axis=0) + margin) / self.cell).astype(int).clip(first + 1, size)
        return slice(int(first[1]), int(stop[1])), slice(int(first[0]), int(stop[0]))

    def pixels(self, cells: Part) -> Part:
        """The pixels under those cells."""
        rows, columns = cells
        return (
            slice(rows.start * self.cell, min(rows.stop * self.cell, self.height)),
            slice(columns.start * self.cell, min(columns.stop * self.cell, self.width)),
        )

    def enlarge(self, field: Field, cells: Part) -> Field:
        """A field of the grid, (rows, columns), at every pixel under those cells.

        By cubic convolution to cells a third as wide, then linearly: as smooth as cubic to the pixel, and cheaper.
        """
        rows, columns = (slice(max(part.start - 1, 0), part.stop + 1) for part in cells)
        finer = _cubic(self.rows)[_thirds(rows)] @ field @ _cubic(self.columns)[_thirds(columns)].T
        size = (finer.shape[1] * self.cell // _FINER, finer.shape[0] * self.cell // _FINER)
        large = cv2.resize(finer, size, interpolation=cv2.INTER_LINEAR)
        y, x = self.pixels(cells)
        top, left = rows.start * self.cell, columns.start * self.cell
        return np.asarray(
            large[y.start - top : y.stop - top, x.start - left : x.stop - left], dtype=np.float32
        )


def centres(pixels: Part) -> Array:
    """(h, w, 2): x and y of those pixels."""
    rows, columns = pixels
    x, y = np.arange(columns.start, columns.stop), np.arange(rows.start, rows.stop)
    return np.stack(np.meshgrid(x.astype(np.float64), y.astype(np.float64)), axis=-1)


def _thirds(cells: slice) -> slice:
    return slice(cells.start * _FINER, cells.stop * _FINER)


@lru_cache(maxsize=64)
def _cubic(cells: int) -> Field:
    """(3 * cells, cells): finer cells as sums of cells, by cubic convolution with a = -1/2 (Keys 1981).

    cv2.resize has a = -3/4, which ripples on a slope: by a third of a pixel in the warp of a large face.
    """
    place = (np.arange(cells * _FINER) + 0.5) / _FINER - 0.5
    matrix = np.zeros((len(place), cells), dtype=np.float32)
    for tap in range(1 - SUPPORT, SUPPORT + 1):
        index = np.floor(place).astype(int) + tap
        t = np.abs(place - index)
        near, far = (1.5 * t - 2.5) * t**2 + 1.0, ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0
        matrix[np.arange(len(place)), index.clip(0, cells - 1)] += np.where(t < 1.0, near, far)
    return matrix
