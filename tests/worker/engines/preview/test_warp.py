import numpy as np
import pytest

from worker.engines.preview import spline
from worker.engines.preview.grid import Grid, centres
from worker.engines.preview.lips import Lips
from worker.engines.preview.shape import LOWER_INNER, UPPER_INNER, Pose, Shape
from worker.engines.preview.voice import Viseme
from worker.engines.preview.warp import Warp
from worker.faces.face import CHIN

WIDTH, HEIGHT = 512, 400


@pytest.fixture
def warp(points):
    return Warp.of(Shape(points), WIDTH, HEIGHT)


def coordinates():
    """(HEIGHT, WIDTH, 3) uint8: the first two channels say where a pixel is, in steps of 2."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x // 2, y // 2, 0 * x], axis=-1).astype(np.uint8)


def test_a_spline_passes_through_its_knots_and_is_flat_where_all_agree():
    knots = np.random.default_rng(0).uniform(size=(30, 2))
    values = np.stack([np.sin(5 * knots[:, 0]), np.full(30, 0.25)], axis=1)
    elsewhere = np.random.default_rng(1).uniform(size=(50, 2))
    weights = spline.weights(knots, values)
    np.testing.assert_allclose(spline.basis(knots, knots) @ weights, values, atol=5e-3)
    np.testing.assert_allclose((spline.basis(elsewhere, knots) @ weights)[:, 1], 0.25, atol=1e-4)


def test_a_spline_stands_points_that_fall_together():
    knots = np.repeat(np.random.default_rng(0).uniform(size=(10, 2)), 3, axis=0)
    assert np.isfinite(spline.weights(knots, knots)).all()


@pytest.mark.parametrize("size", [(512, 400), (511, 397), (30, 22), (3, 2)])
def test_a_field_enlarged_from_the_grid_is_what_it_was_at_every_pixel(size):
    grid = Grid.over(*size, face_height=300.0)
    slope = np.array([0.3, -0.2])
    enlarged = grid.enlarge((grid.centres() @ slope).astype(np.float32), grid.everything)
    inner = np.s_[2 * grid.cell : -2 * grid.cell, 2 * grid.cell : -2 * grid.cell]
    assert enlarged.shape == (size[1], size[0])
    np.testing.assert_allclose(
        enlarged[inner], (centres(grid.pixels(grid.everything)) @ slope)[inner], atol=1e-3
    )


def test_a_part_of_the_grid_enlarges_to_the_same_pixels_as_the_whole():
    grid = Grid(512, 400, 7)
    field = np.random.default_rng(0).normal(size=(grid.rows, grid.columns)).astype(np.float32)
    part = (slice(5, 20), slice(30, grid.columns))
    whole = grid.enlarge(field, grid.everything)[grid.pixels(part)]
    np.testing.assert_allclose(grid.enlarge(field, part), whole, atol=1e-5)


def test_where_nothing_moves_every_pixel_stays(warp):
    rgb = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    np.testing.assert_array_equal(warp.apply(rgb, Pose(), Lips.of(warp.shape, Pose())), rgb)


@pytest.mark.parametrize("openness", [0.0, 0.3, 1.0])
def test_the_lips_and_the_chin_land_where_the_pose_puts_them(warp, points, openness):
    pose = warp.bounded(warp.shape.pose(Viseme(openness, 0.0, 0.0)))
    shown = warp.apply(coordinates(), pose, Lips.of(warp.shape, pose)).astype(float) * 2
    moved = warp.shape.moved(pose)
    for index, inwards in ((UPPER_INNER[5], -3), (LOWER_INNER[5], 3), (CHIN, 0)):
        x, y = np.round(moved[index]).astype(int)
        came_from = shown[y + inwards, x, :2] - [0, inwards]
        assert np.linalg.norm(came_from - points[index]) < 3.0


@pytest.mark.parametrize("squeeze", [1.0, 0.5, 0.15])
@pytest.mark.parametrize("openness", [0.0, 1.0])
def test_a_face_seen_from_the_side_does_not_tear(turned, squeeze, openness):
    _, points = turned(squeeze=squeeze)
    warp = Warp.of(Shape(points), WIDTH, HEIGHT)
    pose = warp.bounded(warp.shape.pose(Viseme(openness, 0.0, 1.0)))
    forward = np.tensordot(pose.weights, warp.modes, axes=(0, 1))
    below = Lips.of(warp.shape, Pose()).below_seam(warp.shape.axes.inside(warp.grid.centres()), blur=1.0)
    landed = warp.grid.centres() + np.moveaxis(forward, 1, -1)
    assert np.isfinite(landed).all()
    for layer, shown in zip(landed, (below < 0.5, below > 0.5), strict=True):
        assert (np.diff(layer[..., 1], axis=0)[shown[1:] & shown[:-1]] > 0).all()
        assert (np.diff(layer[..., 0], axis=1)[shown[:, 1:] & shown[:, :-1]] > 0).all()


def test_a_pose_that_would_fold_the_face_is_made_smaller(warp):
    small = Pose(opening=1.0)
    assert warp.bounded(small) == small
    wild = warp.bounded(Pose(opening=1000.0, stretch=500.0))
    assert 0.0 < wild.opening < 100.0
    assert wild.opening == pytest.approx(2 * wild.stretch)
