"""What follows from measured seconds."""

import pytest
from pydantic import ValidationError

from worker.evaluation.bench import report
from worker.evaluation.bench.report import Matmul, Report, Spread


def test_the_middle_of_an_odd_number_of_runs_is_one_of_them():
    assert report.percentile([3.0, 1.0, 2.0], 0.5) == 2.0


def test_between_two_runs_a_percentile_lies_in_proportion():
    assert report.percentile([1.0, 2.0], 0.95) == pytest.approx(1.95)
    assert report.percentile(range(101), 0.95) == pytest.approx(95.0)


def test_one_run_is_all_of_its_percentiles():
    assert Spread.of([4.2]) == Spread(runs=1, p50_seconds=4.2, p95_seconds=4.2)


def test_a_minute_at_25_frames_a_second_costs_a_minute_of_the_worker():
    assert report.cost_per_output_minute(fps=25.0, price_per_hour=1.2) == pytest.approx(0.02)


def test_half_the_speed_is_twice_the_cost():
    assert report.cost_per_output_minute(12.5, 1.2) == pytest.approx(0.04)


def test_the_share_is_the_arithmetic_done_over_what_the_device_can_do():
    # 100 frames of 790 GFLOP are 79 TFLOP a second
    assert report.share_of_matmul(100.0, 790.0, Matmul(tflops=158.0, side=8192)) == pytest.approx(0.5)


def test_a_report_survives_its_json(figures):
    assert Report.model_validate_json(figures.model_dump_json()) == figures


def test_a_report_with_an_unknown_field_is_refused(figures):
    with pytest.raises(ValidationError):
        Report.model_validate({**figures.model_dump(), "speed": 1})
