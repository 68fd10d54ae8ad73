import numpy as np

from worker.engines.preview.lips import Lips
from worker.engines.preview.mouth import Inside
from worker.engines.preview.palette import Palette
from worker.engines.preview.shape import LOWER_INNER, UPPER_INNER, Pose, Shape
from worker.engines.preview.voice import Viseme

LUMA = np.array([0.2126, 0.7152, 0.0722])


def around_mouth(points):
    low, high = np.floor(points[UPPER_INNER].min(axis=0) - 20), np.ceil(points[LOWER_INNER].max(axis=0) + 20)
    (left, top), (right, bottom) = low.astype(int), high.astype(int)
    x, y = np.meshgrid(np.arange(left, right), np.arange(top, bottom))
    return np.s_[top:bottom, left:right], np.stack([x, y], axis=-1).astype(np.float64)


def with_shut_lips(points):
    shut = points.copy()
    shut[LOWER_INNER] = shut[UPPER_INNER]
    return shut


def painted(rgb, points, openness):
    """The mouth's surroundings before and after the inside was painted, and how far the lips are apart there."""
    shape = Shape(points)
    lips = Lips.of(shape, shape.pose(Viseme(openness, 0.0, 0.0)))
    area, where = around_mouth(points)
    after = Inside.of(rgb, shape).paint(rgb[area], where, lips)
    local = shape.axes.inside(where)
    upper, lower = lips.upper_at(local[..., 0]), lips.lower_at(local[..., 0])
    outside = np.maximum(local[..., 1] - upper, lower - local[..., 1])
    outside[np.abs(local[..., 0] - lips.middle) > lips.half_width] = np.inf
    return rgb[area], after, outside


def test_an_unmoved_mouth_is_the_source_to_the_pixel(portrait, points):
    area, where = around_mouth(points)
    shape = Shape(points)
    lips = Lips.of(shape, Pose())
    np.testing.assert_allclose(
        Inside.of(portrait, shape).paint(portrait[area], where, lips), portrait[area], atol=3
    )


def test_nothing_is_painted_outside_the_lips(portrait, points):
    before, after, outside = painted(portrait, with_shut_lips(points), 0.8)
    far = outside > 1.5
    np.testing.assert_array_equal(after[far], before[far])
    assert (after[outside < -1.5] != before[outside < -1.5]).any()


def test_a_wide_open_mouth_is_dark_with_bright_teeth_at_the_top(portrait, points):
    _, after, outside = painted(portrait, with_shut_lips(points), 1.0)
    luma = after @ LUMA
    inside = outside < -1.0
    rows = np.flatnonzero(inside.any(axis=1))
    top, bottom = rows[: len(rows) // 3], rows[len(rows) // 2 :]
    middle = slice(luma.shape[1] // 2 - 8, luma.shape[1] // 2 + 8)
    teeth = luma[top, middle][inside[top, middle]]
    cavity = luma[bottom, middle][inside[bottom, middle]]
    assert np.percentile(teeth, 80) > 140
    assert np.median(cavity) < 70


def test_teeth_that_the_source_shows_are_kept(portrait, points):
    """The smile's own teeth stand still while the lower lip goes down."""
    shape = Shape(points)
    before, after, _ = painted(portrait, points, 1.0)
    local = shape.axes.inside(around_mouth(points)[1])
    source = Lips.of(shape, Pose())
    lower, upper = source.lower_at(local[..., 0]), source.upper_at(local[..., 0])
    depth = np.minimum(local[..., 1] - lower, upper - local[..., 1])
    teeth = (depth > 1.5) & (np.abs(local[..., 0] - source.middle) < 0.6 * source.half_width)
    assert teeth.sum() > 30
    np.testing.assert_allclose(after[teeth], before[teeth], atol=6)


def test_the_palette_sees_that_a_smile_shows_teeth_and_shut_lips_do_not(portrait, points):
    assert Palette.of(portrait, Shape(points)).shows_teeth > 0.9
    assert Palette.of(portrait, Shape(with_shut_lips(points))).shows_teeth == 0.0


def test_teeth_are_darker_in_a_darker_scene(portrait, points):
    bright, dark = (Palette.of(rgb, Shape(points)) for rgb in (portrait, portrait // 4))
    assert 0.2 < (dark.teeth @ LUMA) / (bright.teeth @ LUMA) < 0.6
