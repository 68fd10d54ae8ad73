"""The drawing of a dashboard shows each of its panels, and says where there is nothing to show."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.drawn import Line, Span, _stacked, page, shown_as

DASHBOARD = json.loads(
    (Path(__file__).parents[2] / "docker" / "grafana" / "dashboards" / "dubline.json").read_text()
)
SPAN = Span(100.0, 200.0)


def test_every_panel_and_row_is_there_with_its_lines_and_the_caption():
    made = page(
        DASHBOARD, lambda expr, legend: [Line("<one>", [(100.0, 1.0), (200.0, 2.0)])], SPAN, "no Grafana"
    )
    for panel in DASHBOARD["panels"]:
        assert panel["title"] in made
    charts = [each for each in DASHBOARD["panels"] if each["type"] == "timeseries"]
    assert made.count("<svg") == len(charts) and "No data" not in made
    assert "&lt;one&gt;" in made and "<one>" not in made and "no Grafana" in made


def test_what_has_no_data_says_so():
    made = page(DASHBOARD, lambda expr, legend: [], SPAN, "")
    kinds = [each["type"] for each in DASHBOARD["panels"]]
    assert made.count("No data") == kinds.count("timeseries") and made.count("unknown") == kinds.count("stat")


def test_stacked_lines_lie_on_those_before_also_where_one_has_gaps():
    first, second = Line("a", [(1.0, 2.0), (3.0, 4.0)]), Line("b", [(1.0, 1.0), (2.0, 1.0), (3.0, 1.0)])
    assert [below for _, below in _stacked([first, second])] == [[0, 0], [2, 0, 4]]


def test_a_line_is_broken_where_points_are_missing():
    points = [(at, 1.0) for at in (100.0, 110.0, 120.0, 160.0, 170.0)]
    made = page(DASHBOARD, lambda expr, legend: [Line("one", points)], SPAN, "")
    broken = re.findall(r"<path d='([^']*)' fill=none", made)
    assert broken and all(path.count("M") == 2 for path in broken)


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.256, "percentunit", "26%"),
        (90.0, "s", "1.5 min"),
        (0.25, "s", "0.25 s"),
        (3 * 2**20, "bytes", "3 MiB"),
        (2.0, "short", "2"),
    ],
)
def test_values_are_shown_in_their_units(value, unit, shown):
    assert shown_as(value, unit) == shown
