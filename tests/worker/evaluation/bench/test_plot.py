"""The drawing of a report."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from worker.evaluation.bench import plot
from worker.evaluation.bench.plot import Scale

SVG = "{http://www.w3.org/2000/svg}"


def drawing(figures):
    return ElementTree.fromstring(plot.plot(figures))


def texts(figures):
    return {each.text: each for each in drawing(figures).iter(f"{SVG}text")}


def test_it_is_well_formed_whatever_the_card_is_called(figures):
    assert "musetalk-v15 on Card <8 & 16>" in texts(figures)


def test_every_batch_size_has_its_point_its_figure_and_its_mark(figures):
    assert len(list(drawing(figures).iter(f"{SVG}circle"))) == 4
    assert {"1", "2", "4", "8", "10 (5%)", "60 (31%)"} <= texts(figures).keys()


def test_what_lies_otherwise_than_in_jobs_is_not_drawn(figures):
    other = [each.model_copy(update={"layout": "contiguous", "is_shipped": False}) for each in figures.core]
    both = figures.model_copy(update={"core": (*other, *figures.core)})
    assert plot.plot(both) == plot.plot(figures)


def test_more_frames_a_second_lie_higher_and_twice_the_batch_as_far_right_each_time(figures):
    points = [
        (float(each.get("cx")), float(each.get("cy"))) for each in drawing(figures).iter(f"{SVG}circle")
    ]
    assert [y for _, y in points] == sorted((y for _, y in points), reverse=True)
    steps = [right - left for (left, _), (right, _) in pairwise(points)]
    assert steps == pytest.approx([steps[0]] * 3, abs=0.2)


def test_whole_jobs_are_level_lines_at_their_own_height(figures):
    scale = Scale(figures.core, figures.end_to_end)
    dashed = [each for each in drawing(figures).iter(f"{SVG}line") if each.get("stroke-dasharray")]
    assert [float(each.get("y1")) for each in dashed] == pytest.approx([scale.y(30), scale.y(55)], abs=0.1)
    assert all(each.get("y1") == each.get("y2") for each in dashed)


def test_names_of_lines_at_the_same_height_do_not_cover_each_other():
    assert plot.apart([100.0, 100.0, 104.0]) == [100.0, 116.0, 132.0]


def test_names_pushed_down_stay_above_the_axis():
    lowest = plot.HEIGHT - plot.BOTTOM
    assert plot.apart([lowest - 1, lowest]) == [lowest - 16, lowest]


def test_without_networks_there_are_only_the_jobs(figures):
    bare = figures.model_copy(update={"core": (), "matmul": None, "gflop_per_frame": None})
    assert not list(drawing(bare).iter(f"{SVG}circle"))
    assert "jobs, new: 30" in texts(bare)


@pytest.mark.parametrize("highest", [0.003, 0.1, 1.0, 7.3, 19.99, 60, 1234.5])
def test_marks_are_round_few_and_reach_the_highest_value(highest):
    marks = plot.ticks(highest)
    assert marks[0] == 0
    assert marks[-2] < highest <= marks[-1]
    assert len(marks) <= plot.MOST_TICKS + 1
    assert all(re.fullmatch(r"\d+(\.\d+)?", f"{each:g}") for each in marks)


def test_one_batch_size_stands_in_the_middle(figures):
    one = figures.model_copy(update={"core": figures.core[2:3]})
    (point,) = drawing(one).iter(f"{SVG}circle")
    assert float(point.get("cx")) == pytest.approx((plot.LEFT + plot.WIDTH - plot.RIGHT) / 2)
