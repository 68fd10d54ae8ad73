"""A smooth warp of the lower face that comes apart along the lips.

One thin-plate spline per lip: the upper layer follows the upper lip, the lower one the lower lip and jaw, both the
same still points and the mouth's corners. So lips part and meet without smearing what lies between them.
The splines depend on the face alone; a pose only weighs their two moves.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.engines.preview.lips import Lips
from worker.engines.preview.shape import (
    CHEEKS,
    CHIN_PAD,
    EYES,
    FACE_SIDES,
    JAW_LINE,
    LOWER_FACE,
    LOWER_LIP,
    NOSE,
    UNDER_LIP,
    UPPER_LIP,
    Array,
    Axes,
    Pose,
    Shape,
    smoothstep,
)
from worker.media.frame import Pixels

Field = NDArray[np.float32]
Cells = tuple[slice, slice]
"""Rows and columns of a grid."""

_CELLS = 40  # grid cells over the height of a face
_SHARED = np.concatenate([JAW_LINE, CHIN_PAD, NOSE, EYES, CHEEKS, FACE_SIDES])
_UPPER = np.concatenate([UPPER_LIP, _SHARED])
_LOWER = np.concatenate([LOWER_LIP, UNDER_LIP, _SHARED])
_STIFFNESS = 1e-4  # keeps the system solvable where a profile's points fall together
_REACH = 0.16  # of H: the warp fades to nothing this far outside the lower face
_BORDER = 0.06  # of H: and this far inside the region's border
_STEEPEST = 0.8  # a field that falls by more than 1 px a pixel would fold
_SUPPORT = 2  # cells on each side that cubic interpolation looks at
_APART = 0.08  # of H, around the lips: within it the layers are kept apart to the pixel
_TURNS = 6  # of the fixed-point inversion; each leaves at most 0.8 of the error, typically 0.2


@dataclass(frozen=True)
class Grid:
    """Square cells of `cell` px over a region of `width` x `height` px; fields are known at the cells' centres."""

    width: int
    height: int
    cell: int

    @classmethod
    def over(cls, width: int, height: int, face_height: float) -> "Grid":
        """A grid fine enough for a face of that height."""
        return cls(width, height, max(1, round(face_height / _CELLS)))

    @property
    def columns(self) -> int:
        """Cells from left to right."""
        return -(-self.width // self.cell)

    @property
    def rows(self) -> int:
        """Cells from top to bottom."""
        return -(-self.height // self.cell)

    def centres(self) -> Array:
        """(rows, columns, 2) float64: x and y of the cells' centres, where pixel centres are whole numbers."""
        x = (np.arange(self.columns) + 0.5) * self.cell - 0.5
        y = (np.arange(self.rows) + 0.5) * self.cell - 0.5
        return np.stack(np.meshgrid(x, y), axis=-1)

    def pixels(self, cells: Cells) -> tuple[slice, slice]:
        """Rows and columns of the pixels under some cells."""
        (top, bottom), (left, right) = (((s.start * self.cell, s.stop * self.cell)) for s in cells)
        return slice(top, min(bottom, self.height)), slice(left, min(right, self.width))

    def around(self, places: Array, margin: float) -> Cells:
        """The cells that hold (n, 2) places, x and y in pixels, and `margin` px around them; at least one."""
        low = np.floor((places.min(axis=0) - margin) / self.cell).astype(int)
        high = np.ceil((places.max(axis=0) + margin) / self.cell).astype(int)
        size = np.array([self.columns, self.rows])
        left, top = np.clip(low, 0, size - 1).tolist()
        right, bottom = np.clip(high, low.clip(0, size - 1) + 1, size).tolist()
        return slice(top, bottom), slice(left, right)

    def enlarge(self, field: Field, cells: Cells | None = None) -> Field:
        """A field of the grid, (rows, columns, ...), at every pixel of those cells (default all), by cubic interpolation."""
        rows, columns = cells or (slice(0, self.rows), slice(0, self.columns))
        top, left = max(rows.start - _SUPPORT, 0), max(columns.start - _SUPPORT, 0)
        part = field[top : rows.stop + _SUPPORT, left : columns.stop + _SUPPORT]
        size = (part.shape[1] * self.cell, part.shape[0] * self.cell)
        large = cv2.resize(np.ascontiguousarray(part), size, interpolation=cv2.INTER_CUBIC)
        y, x = self.pixels((rows, columns))
        return large[y.start - top * self.cell : y.stop - top * self.cell, x.start - left * self.cell : x.stop - left * self.cell]


@dataclass(frozen=True)
class Warp:
    """Both layers' fields over one region, and where they end.

    `modes` is (2 layers, 3 modes, rows, columns, 2) float32, in pixels for a weight of 1; `steepness` (3,) each
    mode's greatest change from a pixel to the next; `alpha` (height, width) float32, 1 where anything may move.
    """

    shape: Shape
    grid: Grid
    modes: Field
    steepness: Array
    alpha: Field

    @classmethod
    def of(cls, shape: Shape, width: int, height: int) -> "Warp":
        """The warp of a face, its points in the region's pixels, over a region of that size."""
        grid = Grid.over(width, height, shape.axes.height)
        reach = _reach(shape, grid)
        layers = [_fields(shape, points, grid) * reach[..., None] for points in (_UPPER, _LOWER)]
        modes = np.stack(layers).astype(np.float32)
        below = Lips.of(shape, Pose()).below_seam(shape.axes.inside(grid.centres()), blur=2.0 * grid.cell)
        alpha = np.clip(grid.enlarge(smoothstep(reach, 0.02, 0.2).astype(np.float32)), 0.0, 1.0)
        return cls(shape, grid, modes, _steepness(modes, np.stack([1.0 - below, below]), grid.cell), alpha)

    def bounded(self, pose: Pose) -> Pose:
        """The pose, made smaller where it would fold the face."""
        steep = float(np.abs(pose.weights) @ self.steepness)
        share = min(1.0, _STEEPEST / max(steep, 1e-9))
        return Pose(*(share * pose.weights).tolist())

    def apply(self, rgb: Pixels, pose: Pose, lips: Lips) -> Pixels:
        """The region's pixels, (height, width, 3) uint8, in that pose; `lips` are the inner edges after it."""
        forward = np.tensordot(pose.weights.astype(np.float32), self.modes, axes=(0, 1))
        upper, lower = (_inverted(layer, self.grid) for layer in forward)
        axes = self.shape.axes
        below = lips.below_seam(axes.inside(self.grid.centres()), blur=2.0 * self.grid.cell)
        everything = (slice(0, self.grid.rows), slice(0, self.grid.columns))
        warped = self._pulled(rgb, _mixed(upper, lower, below), everything)
        mouth = self.mouth(lips)
        pixels = self.grid.pixels(mouth)
        below = lips.below_seam(axes.inside(places(*pixels)), blur=1.0)
        layers = (self._pulled(rgb, layer, mouth).astype(np.float32) for layer in (upper, lower))
        warped[pixels] = np.round(_mixed(*layers, below))
        return warped

    def mouth(self, lips: Lips) -> Cells:
        """The cells in which lips are near."""
        across = np.concatenate([lips.across, lips.across])
        edges = np.stack([across, np.concatenate([lips.upper, lips.lower])], axis=-1)
        return self.grid.around(self.shape.axes.outside(edges), _APART * self.shape.axes.height)

    def _pulled(self, rgb: Pixels, offsets: Field, cells: Cells) -> Pixels:
        """The pixels of some cells, each fetched from where it came from."""
        rows, columns = self.grid.pixels(cells)
        fine = self.grid.enlarge(offsets, cells)
        x = np.arange(columns.start, columns.stop, dtype=np.float32) - fine[..., 0]
        y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - fine[..., 1]
        pulled = cv2.remap(rgb, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(pulled, dtype=np.uint8)


def places(rows: slice, columns: slice) -> Array:
    """(h, w, 2) x and y of those pixels' centres."""
    x, y = np.arange(columns.start, columns.stop), np.arange(rows.start, rows.stop)
    return np.stack(np.meshgrid(x.astype(np.float64), y.astype(np.float64)), axis=-1)


def _mixed(upper: Field, lower: Field, below: Array) -> Field:
    return np.asarray(upper + (lower - upper) * below.astype(np.float32)[..., None])


def _reach(shape: Shape, grid: Grid) -> Array:
    """(rows, columns): 1 in the lower face, fading to 0 outside of it and at the region's border."""
    hull = cv2.convexHull(shape.points[LOWER_FACE]) / grid.cell
    inside = np.full((grid.rows, grid.columns), 255, np.uint8)
    fraction_bits = 4
    corners = np.round((hull - 0.5) * 2**fraction_bits).astype(np.int32)
    cv2.fillConvexPoly(inside, corners, 0, lineType=cv2.LINE_8, shift=fraction_bits)
    outside = cv2.GaussianBlur(cv2.distanceTransform(inside, cv2.DIST_L2, 5), (0, 0), 1.0)
    near = 1.0 - smoothstep(outside * grid.cell / shape.axes.height, 0.0, _REACH)
    centres = grid.centres()
    to_border = np.minimum(centres, np.array([grid.width, grid.height]) - 1 - centres).min(axis=-1)
    return near * smoothstep(to_border / shape.axes.height, 0.0, _BORDER)


def _fields(shape: Shape, points: NDArray[np.intp], grid: Grid) -> Array:
    """(3 modes, rows, columns, 2): a thin-plate spline through the moves of those points, 0 at the neck."""
    modes = np.moveaxis(shape.modes[:, points], 0, 1).reshape(len(points), -1)
    moves = np.vstack([modes, np.zeros((len(shape.neck), modes.shape[1]))])
    knots = np.vstack([shape.points[points], shape.neck]) / shape.axes.height
    values = _spline(knots, moves, grid.centres().reshape(-1, 2) / shape.axes.height)
    return np.moveaxis(values.reshape(grid.rows, grid.columns, -1, 2), 2, 0)


def _spline(knots: Array, values: Array, places: Array) -> Array:
    """A thin-plate spline (Bookstein 1989) through (n, m) values at (n, 2) knots, at (k, 2) places: (k, m)."""
    count = len(knots)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _kernel(knots, knots) + _STIFFNESS * np.eye(count)
    system[:count, count:] = _affine(knots)
    system[count:, :count] = system[:count, count:].T
    weights = np.linalg.solve(system, np.vstack([values, np.zeros((3, values.shape[1]))]))
    return np.asarray(np.hstack([_kernel(places, knots), _affine(places)]) @ weights)


def _kernel(a: Array, b: Array) -> Array:
    """r² log r between all places of (k, 2) and (n, 2): (k, n)."""
    squared = (a[:, None, 0] - b[None, :, 0]) ** 2 + (a[:, None, 1] - b[None, :, 1]) ** 2
    return np.asarray(0.5 * squared * np.log(squared + 1e-12))


def _affine(places: Array) -> Array:
    return np.hstack([np.ones((len(places), 1)), places])


def _steepness(modes: Field, shown: Array, cell: int) -> Array:
    """(3,): the greatest change from a pixel to the next of each mode, where its layer is `shown`."""
    along_x = np.abs(np.diff(modes[..., 0], axis=3)) * shown[:, None, :, 1:]
    along_y = np.abs(np.diff(modes[..., 1], axis=2)) * shown[:, None, 1:, :]
    steepest = [change.max(axis=(0, 2, 3), initial=0.0) for change in (along_x, along_y)]
    return np.asarray(np.maximum(*steepest) / cell, dtype=np.float64)


def _inverted(forward: Field, grid: Grid) -> Field:
    """Offsets e with e(x) = forward(x - e(x)): from where a forward field brings what now lies at x."""
    cells = grid.centres().astype(np.float32)
    back = np.zeros_like(forward)
    for _ in range(_TURNS):
        x, y = np.moveaxis((cells - back + 0.5) / grid.cell - 0.5, -1, 0)
        back = cv2.remap(forward, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return back
