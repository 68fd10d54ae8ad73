"""What is counted, under which names, and that no label has an endless list of values."""

import re
from pathlib import Path

import pytest

from contract.backlog import Backlog, BacklogRecord
from contract.errors import BrokerUnavailable, NoFace
from contract.manifest import Frames, OutputRecord
from contract.metrics import (
    BOUNDS,
    FREE,
    OTHER,
    STAGES,
    FleetMetrics,
    QueueMetrics,
    Scene,
    ScratchMetrics,
    WorkerMetrics,
)
from contract.pace import Pace
from contract.queue import QueueFigures
from contract.workers import Roster, WorkerRecord
from tests.figures import all_families, samples
from tests.worker.manifests import manifest

ROOT = Path(__file__).parents[2]


def test_every_label_has_a_closed_list_of_values_or_one_value_in_a_process():
    for family in all_families():
        for sample in family.samples:
            assert set(sample.labels) - {"le"} <= BOUNDS.keys() | FREE | {"address", "method", "status"}, (
                family
            )
            for label, value in sample.labels.items():
                assert value in BOUNDS.get(label, {value}), sample


def test_names_are_as_prometheus_has_them():
    for family in all_families():
        assert re.fullmatch(r"dubline(_[a-z0-9]+)+", family.name), family.name
        assert not re.search(r"_(milli|minutes|ms|mb|percent)", family.name)
        assert family.documentation, family.name


def test_every_stage_that_a_manifest_may_time_is_known():
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "worker").rglob("*.py")]
    found = {name for text in texts for name in re.findall(r'\.stage\("(\w+)"\)', text)}
    assert found == set(STAGES)


def test_a_job_that_ended_is_counted_with_all_that_it_took():
    metrics = WorkerMetrics()
    metrics.job_ended(
        manifest(
            timings={"generate": 3.0, "of a newer version": 1.0},
            frames=Frames(total=50, with_face=50, without_face=0, prepared=10, reused=40),
            output=OutputRecord(
                key="k", bytes=1, sha256="0" * 64, frames=50, fps="25", duration_seconds=2.0,
                width=2, height=2, video_codec="h264", audio_codec="aac",
            ),
        )
    )  # fmt: skip
    told = samples(metrics.registry)
    assert told['dubline_jobs_ended_total{engine="preview",outcome="succeeded"}'] == 1
    assert told["dubline_frames_total"] == 50 and told["dubline_output_seconds_total"] == 2
    assert told['dubline_prepared_frames_total{result="hit"}'] == 40
    assert told['dubline_prepared_frames_total{result="miss"}'] == 10
    assert told['dubline_stage_seconds_sum{stage="generate"}'] == 3
    assert told['dubline_stage_seconds_count{stage="other"}'] == 1
    assert told["dubline_job_seconds_sum"] == 10
    assert told['dubline_cost_total{currency="USD"}'] == pytest.approx(0.25)


def test_a_failure_is_counted_by_its_code_and_one_that_is_not_known_as_other():
    metrics = WorkerMetrics()
    metrics.job_ended(manifest(NoFace("nobody")))
    metrics.attempt_failed("of a newer version")
    told = samples(metrics.registry)
    assert told['dubline_jobs_ended_total{engine="preview",outcome="failed"}'] == 1
    assert told['dubline_job_failures_total{code="no_face"}'] == 1
    assert told[f'dubline_attempt_failures_total{{code="{OTHER}"}}'] == 1
    assert sum(value for name, value in told.items() if name.startswith("dubline_job_failures_total")) == 1


def test_the_first_failure_of_a_kind_is_an_increase_for_its_series_was_there_at_0():
    assert samples(WorkerMetrics().registry)['dubline_job_failures_total{code="no_face"}'] == 0


def test_the_queue_is_asked_when_prometheus_asks(settings, ledger):
    seen = QueueMetrics.of(settings)
    before = samples(seen)
    assert "dubline_backlog_rows" not in before and "dubline_pace_seconds" not in before, "nobody has said so"
    Backlog(settings).tell(BacklogRecord(batches=1, rows=7))
    Pace(settings).note(4.0)
    assert (samples(seen)["dubline_backlog_rows"], samples(seen)["dubline_pace_seconds"]) == (7, 4)
    Roster(settings).announce(WorkerRecord(name="w@h", host="h", doing="idle"))
    assert before["dubline_redis_up"] == 1 and before['dubline_workers{doing="idle"}'] == 0
    assert before['dubline_queue_depth{priority="high"}'] == 0 and before["dubline_queue_oldest_seconds"] == 0
    assert samples(seen)['dubline_workers{doing="idle"}'] == 1


def test_a_fleet_tells_its_workers_by_state_its_crash_loops_and_when_all_is_done():
    metrics = FleetMetrics()
    metrics.looked(("busy", "busy", "idle"), 1, 90.0)
    metrics.looked(("busy",), 0, 60.0)
    told = samples(metrics.registry)
    assert (
        told['dubline_fleet_workers{state="busy"}'] == 1 and told['dubline_fleet_workers{state="idle"}'] == 0
    )
    assert told["dubline_fleet_crash_loops_total"] == 1 and told["dubline_fleet_done_seconds"] == 60


def test_while_redis_is_away_nothing_is_told_of_the_queue_but_that():
    def away():
        raise BrokerUnavailable("Redis is away")

    assert samples(QueueMetrics(away)) == {"dubline_redis_up": 0}


def test_an_age_that_nobody_knows_is_not_told():
    waiting = QueueFigures({"urgent": 0, "high": 0, "normal": 1, "low": 0}, 0, None)
    assert "dubline_queue_oldest_seconds" not in samples(QueueMetrics(lambda: Scene(waiting)))


def test_the_disk_of_the_scratch_folder_is_told_also_before_the_folder_is_made(tmp_path):
    for folder in (tmp_path, tmp_path / "missing" / "deep", None):
        told = samples(ScratchMetrics(folder))
        assert 0 <= told["dubline_scratch_free_bytes"] < told["dubline_scratch_bytes"]


def test_between_jobs_nothing_moves_and_a_gpu_that_nobody_knows_is_not_told():
    metrics = WorkerMetrics()
    metrics.at_hand(None)
    told = samples(metrics.registry)
    assert told["dubline_job_fps"] == told["dubline_job_moved_timestamp_seconds"] == 0
    assert not any(name.startswith("dubline_gpu") for name in told)
    metrics.gpu("H200", 1, 2, None)
    told = samples(metrics.registry)
    assert told['dubline_gpu_memory_used_bytes{gpu="H200"}'] == 1
    assert not any(name.startswith("dubline_gpu_use_ratio") for name in told)
