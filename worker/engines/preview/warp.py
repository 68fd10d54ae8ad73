"""A smooth warp of the lower face that comes apart along the lips.

Two layers, a thin-plate spline each: the upper one follows the upper lip, the lower one the lower lip and the
jaw, both the same still points. So lips part and meet and nothing between them is stretched. The splines depend
on the face alone; a pose only weighs their three modes.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from worker.engines.preview import spline
from worker.engines.preview.axes import Array
from worker.engines.preview.grid import SUPPORT, Field, Grid, Part, centres
from worker.engines.preview.lips import Lips
from worker.engines.preview.shape import (
    CHIN_PAD,
    JAW_LINE,
    LOWER_FACE,
    LOWER_LIP,
    STILL,
    UNDER_LIP,
    UPPER_LIP,
    Pose,
    Shape,
)
from worker.engines.preview.smoothstep import smoothstep
from worker.media.frame import Pixels

_KNOTS = np.unique(np.concatenate([UPPER_LIP, LOWER_LIP, UNDER_LIP, CHIN_PAD, JAW_LINE, STILL]))
_OF_UPPER = ~np.isin(_KNOTS, np.setdiff1d(np.append(LOWER_LIP, UNDER_LIP), UPPER_LIP))
_OF_LOWER = ~np.isin(_KNOTS, np.setdiff1d(UPPER_LIP, LOWER_LIP))

_REACH = 0.16  # of H: the warp fades to nothing this far outside the lower face
_BORDER = 0.06  # of H: and this far inside the region's border
_SEEN = (0.005, 0.3)  # of full reach: below, nothing moves that one could see, and the drawing fades out
_STEEPEST = 0.8  # a field that falls by 1 px from a pixel to the next would fold
_FAR = 1e6  # cells: a face wholly outside of its region is as far as this
_APART = 0.08  # of H, around the lips: the layers are kept apart to the pixel
_TURNS = 6  # of the inversion; each leaves at most 0.8 of the error, mostly 0.2


@dataclass(frozen=True)
class Warp:
    """Both layers' fields over one region.

    `reach` is (rows, columns) float32, 1 in the lower face and 0 where nothing moves. `modes` is (2 layers, 3 modes,
    x and y, rows, columns) float32, pixels for a weight of 1. `steepness` is (3,), each mode's greatest change from a
    pixel to the next.
    """

    shape: Shape
    grid: Grid
    reach: Field
    modes: Field
    steepness: Array

    @classmethod
    def of(cls, shape: Shape, width: int, height: int) -> "Warp":
        """The warp of a face, its points in the region's pixels, over a region of that size."""
        grid = Grid.over(width, height, shape.axes.height)
        reach = _reach(shape, grid)
        modes = _modes(shape, grid) * reach
        below = _below(Lips.of(shape, Pose()), shape, grid)
        shown = np.stack([1.0 - below, below])
        return cls(shape, grid, reach, modes, _steepness(modes, shown, grid.cell))

    def alpha(self) -> Field:
        """(height, width): 1 where anything may move, fading to 0 at the region's border."""
        seen = smoothstep(self.reach, *_SEEN).astype(np.float32)
        return np.clip(self.grid.enlarge(seen, self.grid.everything), 0.0, 1.0)

    def bounded(self, pose: Pose) -> Pose:
        """The pose, made smaller where it would fold the face."""
        steepest = float(np.abs(pose.weights) @ self.steepness)
        return pose if steepest <= _STEEPEST else Pose(*(pose.weights * _STEEPEST / steepest).tolist())

    def apply(self, rgb: Pixels, pose: Pose, lips: Lips) -> Pixels:
        """The region's pixels, (height, width, 3) uint8, in that pose; `lips` are the inner edges then."""
        upper, lower = (_inverted(layer, self.grid) for layer in self._moves(pose))
        below = _below(lips, self.shape, self.grid)
        warped = self._fetched(rgb, upper + (lower - upper) * below, self.grid.everything)
        mouth = self.near(lips, _APART)
        pixels = self.grid.pixels(mouth)
        over, under = (self._fetched(rgb, layer, mouth).astype(np.float32) for layer in (upper, lower))
        parted = lips.below_seam(self.shape.axes.inside(centres(pixels)), blur=1.0)
        warped[pixels] = np.round(over + (under - over) * parted[..., None])
        return warped

    def _moves(self, pose: Pose) -> Field:
        """(2 layers, x and y, rows, columns): where the source's pixels go in that pose."""
        opening, shutting, stretch = np.moveaxis(self.modes, 1, 0)
        return np.asarray(pose.opening * opening + pose.shutting * shutting + pose.stretch * stretch)

    def near(self, lips: Lips, margin: float) -> Part:
        """The cells with the lips' edges and `margin`, of H, around them."""
        axes = self.shape.axes
        return self.grid.around(axes.outside(lips.edges()), margin * axes.height)

    def _fetched(self, rgb: Pixels, offsets: Field, cells: Part) -> Pixels:
        """The pixels under those cells, each fetched from its offset."""
        rows, columns = self.grid.pixels(cells)
        x = np.arange(columns.start, columns.stop, dtype=np.float32) - self.grid.enlarge(offsets[0], cells)
        y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - self.grid.enlarge(offsets[1], cells)
        fetched = cv2.remap(rgb, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(fetched, dtype=np.uint8)


def _reach(shape: Shape, grid: Grid) -> Field:
    hull = cv2.convexHull(shape.points[LOWER_FACE]) / grid.cell - 0.5
    bits = 4  # of the polygon's corners, behind the point
    outside = np.full((grid.rows, grid.columns), 255, dtype=np.uint8)
    cv2.fillConvexPoly(outside, np.round(hull * 2**bits).astype(np.int32), 0, shift=bits)
    cells_away = np.minimum(cv2.distanceTransform(outside, cv2.DIST_L2, 5), _FAR)
    away = np.asarray(cv2.GaussianBlur(cells_away, (0, 0), 1.0), dtype=np.float32) * grid.cell
    places = grid.centres()
    to_border = np.minimum(places, np.array([grid.width, grid.height]) - 1 - places).min(axis=-1)
    to_border -= SUPPORT * grid.cell  # the interpolation looks that far, and the last pixel must stay still
    near = smoothstep(away / shape.axes.height, _REACH, 0.0)
    return np.asarray(near * smoothstep(to_border / shape.axes.height, 0.0, _BORDER), dtype=np.float32)


def _modes(shape: Shape, grid: Grid) -> Field:
    """(2 layers, 3 modes, x and y, rows, columns): through each layer's points' moves, and 0 at the neck."""
    scale = 1.0 / shape.axes.height
    knots = np.vstack([shape.points[_KNOTS], shape.neck]) * scale
    moves = np.moveaxis(shape.modes[:, _KNOTS], 0, 1).reshape(len(_KNOTS), -1)
    moves = np.vstack([moves, np.zeros((len(shape.neck), moves.shape[1]))])
    basis = spline.basis(grid.centres().reshape(-1, 2) * scale, knots)  # costly, and most of it is shared
    fields = np.empty((2, moves.shape[1], len(basis)), dtype=np.float32)
    for field, of_layer in zip(fields, (_OF_UPPER, _OF_LOWER), strict=True):
        own = np.append(of_layer, np.full(len(shape.neck), True))
        field[:] = (basis[:, np.append(own, (True, True, True))] @ spline.weights(knots[own], moves[own])).T
    return fields.reshape(2, -1, 2, grid.rows, grid.columns)


def _below(lips: Lips, shape: Shape, grid: Grid) -> Field:
    """(rows, columns): 1 in the cells of the lower layer, 0 in those of the upper one."""
    return lips.below_seam(shape.axes.inside(grid.centres()), blur=2.0 * grid.cell).astype(np.float32)


def _steepness(modes: Field, shown: Field, cell: int) -> Array:
    """(3,): of each mode, counted where its layer is `shown`, (2, rows, columns)."""
    along_x = np.abs(np.diff(modes[:, :, 0], axis=3)) * shown[:, None, :, 1:]
    along_y = np.abs(np.diff(modes[:, :, 1], axis=2)) * shown[:, None, 1:, :]
    steepest = [change.max(axis=(0, 2, 3), initial=0.0) for change in (along_x, along_y)]
    return np.asarray(np.maximum(*steepest) / cell)


def _inverted(forward: Field, grid: Grid) -> Field:
    """(2, rows, columns): offsets e with e(p) = forward(p - e(p)); what now lies at p came from p - e(p)."""
    places = np.moveaxis(grid.centres(), -1, 0).astype(np.float32)
    offsets, field = np.zeros_like(forward), np.ascontiguousarray(np.moveaxis(forward, 0, -1))
    for _ in range(_TURNS):
        x, y = (places - offsets + 0.5) / grid.cell - 0.5
        moved = cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        offsets = np.asarray(np.moveaxis(moved, -1, 0), dtype=np.float32)
    return offsets
