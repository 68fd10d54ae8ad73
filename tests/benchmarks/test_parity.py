"""What counts as parity with upstream: the comparison itself, without either side's networks."""

import argparse
import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from benchmarks import parity
from benchmarks.parity import Difference, Drawn, compare, report
from benchmarks.upstream import bounced
from tests.worker.engines.musetalk import scene
from worker.engines.base import Mouth
from worker.media.frame import Box, Frame

FRAMES = 3
SAME = Difference(
    frames=24,
    missing=0,
    inside=2,
    inside_mean=0.1,
    outside=0,
    planes_outside=0,
    drawn_mean=40.0,
    luma=1,
    luma_mean=0.1,
    chroma=9,
    chroma_mean=0.5,
)


@pytest.fixture
def shot():
    """Black frames."""
    black = SimpleNamespace(rgb=lambda: np.zeros((8, 8, 3), np.uint8))
    return SimpleNamespace(frames=[black] * FRAMES)


def grey(level):
    return np.full((8, 8, 3), level, np.uint8)


@pytest.fixture
def ours():
    """Grey frames, the lower half of which is drawn."""
    mask = np.zeros((8, 8), bool)
    mask[4:] = True
    return [Drawn(grey(100), mask, parity.planes_of(grey(100)), 0) for _ in range(FRAMES)]


def test_the_same_pictures_differ_nowhere(shot, ours):
    found = compare(shot, ours, [grey(100)] * FRAMES)
    assert (found.frames, found.missing, found.drawn_mean) == (FRAMES, 0, 100.0)
    assert (found.inside, found.inside_mean, found.outside, found.planes_outside) == (0, 0.0, 0, 0)
    assert (found.luma, found.luma_mean, found.chroma, found.chroma_mean) == (0, 0.0, 0, 0.0)
    assert found.holds


@pytest.mark.parametrize(
    ("row", "inside", "outside"), [(7, 5, 0), (4, 5, 0), (3, 0, 5)], ids=["below", "edge", "above"]
)
def test_one_colour_of_one_pixel_of_the_last_frame_is_found_on_its_side_of_the_mask(
    shot, ours, row, inside, outside
):
    theirs = [grey(100) for _ in range(FRAMES)]
    theirs[-1][row, 2, 1] -= 5
    found = compare(shot, ours, theirs)
    assert (found.inside, found.outside) == (inside, outside)
    assert found.inside_mean == pytest.approx(inside / (FRAMES * 32), abs=1e-4)


def test_the_planes_that_ship_are_compared_by_themselves_and_inside_the_mask_alone(shot, ours):
    y, u, v = (each.copy() for each in ours[-1].planes)
    y[5, 5], y[3, 3], v[2, 1], u[0, 0] = y[5, 5] + 4, 0, v[2, 1] + 6, 0
    ours[-1] = dataclasses.replace(ours[-1], planes=(y, u, v))
    found = compare(shot, ours, [grey(100)] * FRAMES)
    assert (found.luma, found.chroma) == (4, 6)
    assert found.luma_mean == pytest.approx(4 / (FRAMES * 32), abs=1e-4)
    assert found.chroma_mean == pytest.approx(6 / (FRAMES * 16), abs=1e-4)
    assert found.holds, "the aims are those of the issue, in RGB"


def test_levels_below_zero_are_no_wrap_around(shot, ours):
    theirs = [grey(100) for _ in range(FRAMES)]
    theirs[0][5, 5] = 255
    assert compare(shot, ours, theirs).inside == 155


def test_what_moved_in_our_planes_outside_of_the_mask_is_summed(shot, ours):
    moved = [dataclasses.replace(each, planes_moved=number) for number, each in enumerate(ours)]
    found = compare(shot, moved, [grey(100)] * FRAMES)
    assert found.planes_outside == 3
    assert not found.holds


@pytest.mark.parametrize(
    ("our_count", "their_count", "missing"), [(3, 2, 1), (1, 3, 2), (3, 5, 2), (2, 2, 1)]
)
def test_frames_that_one_side_lacks_are_no_parity(shot, ours, our_count, their_count, missing):
    found = compare(shot, ours[:our_count], [grey(100)] * their_count)
    assert found.missing == missing
    assert not found.holds


@pytest.mark.parametrize("field", ["missing", "outside", "planes_outside", "inside"])
def test_every_aim_counts(field):
    assert SAME.holds
    assert not dataclasses.replace(SAME, **{field: getattr(SAME, field) + 1}).holds


@pytest.mark.parametrize(("found", "code"), [(SAME, 0), (dataclasses.replace(SAME, missing=1), 1)])
@pytest.mark.parametrize("as_json", [True, False])
def test_the_exit_code_and_the_report_say_the_same(capsys, found, code, as_json):
    options = argparse.Namespace(json=as_json, variant="v15", video=Path("clip.mp4"))
    assert report(found, options, ("a stub",)) == code
    printed = capsys.readouterr().out
    if as_json:
        record = json.loads(printed)
        assert (record["holds"], record["missing"]) == (code == 0, found.missing)
        assert record["substitutes"] == ["a stub"]
    else:
        assert ("parity holds" in printed) == (code == 0)
        assert "a stub" in printed


def test_the_mouth_is_pasted_in_rgb_and_moves_no_plane_outside_of_its_mask():
    planes = (np.full((8, 8), 100, np.uint8), *(np.full((4, 4), 128, np.uint8) for _ in range(2)))
    frame = Frame(0, 0, *planes)
    source = frame.rgb()
    alpha = np.zeros((4, 8), np.float32)
    alpha[2:] = 0.5
    drawing = np.full((4, 8, 3), 255, np.uint8)
    drawn = parity.pasted(frame, Mouth(drawing, alpha, Box(0, 4, 8, 8)))
    assert drawn.mask.nonzero()[0].tolist() == [6] * 8 + [7] * 8
    np.testing.assert_array_equal(drawn.rgb[:6], source[:6])
    np.testing.assert_array_equal(drawn.rgb[6:], np.rint(source[6:] + 0.5 * (255.0 - source[6:])))
    assert drawn.planes_moved == 0


@pytest.mark.parametrize("rgb", [(0, 0, 0), (255, 255, 255), (255, 0, 0), (40, 90, 200)])
def test_planes_of_one_colour_are_those_of_our_own_frames(rgb):
    frame = Frame(0, 0, *parity.planes_of(np.full((4, 4, 3), rgb, np.uint8)))
    assert np.abs(frame.rgb().astype(int) - rgb).max() <= 2


def test_what_ships_of_a_face_is_upstreams_frame_in_planes_to_a_step():
    """Upstream's formula (bit for bit its own: test_mask.py) in RGB, against `blend` in the planes."""
    frame, mouth = another_face()
    drawn = parity.pasted(frame, mouth)
    luma, chroma = parity.plane_steps(drawn, drawn.rgb)
    assert np.abs(drawn.planes[0].astype(int) - source_planes()[0]).max() > 20, "there is something drawn"
    assert luma.max() <= 2
    assert luma.mean() < 0.5
    assert chroma.mean() < 1  # halved here before it is mixed, and there after it


def test_where_the_mask_is_whole_chroma_is_upstreams_too():
    frame, mouth = another_face()
    whole = dataclasses.replace(mouth, alpha=(mouth.alpha > 0.999).astype(np.float32))
    drawn = parity.pasted(frame, whole)
    inner = cv2.erode(drawn.mask.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    assert inner.sum() > 1000
    luma, chroma = parity.plane_steps(dataclasses.replace(drawn, mask=inner), drawn.rgb)
    assert max(luma.max(), chroma.max()) <= 2


def source_planes():
    return parity.planes_of(scene.portrait())


def another_face():
    """The portrait as a frame, and its mirror image to be drawn where the mouth is, with soft edges."""
    box = Box(180, 170, 300, 290)
    rgb = scene.portrait()
    alpha = np.zeros((box.height, box.width), np.float32)
    cv2.ellipse(alpha, (60, 70), (40, 35), 0, 0, 360, 1.0, -1)
    soft = cv2.GaussianBlur(alpha, (21, 21), 0)
    drawing = np.ascontiguousarray(rgb[box.top : box.bottom, box.left : box.right][:, ::-1])
    return Frame(0, 0, *(each.copy() for each in source_planes())), Mouth(drawing, soft, box)


def test_a_cycle_goes_forward_and_backward_with_its_ends_twice():
    assert [bounced(index, 3) for index in range(8)] == [0, 1, 2, 2, 1, 0, 0, 1]
    assert [bounced(index, 1) for index in range(3)] == [0, 0, 0]
