"""Batches compared by the figures in their manifests."""

from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from contract.errors import BadRequest
from contract.figures import Figure, Figures, Sync
from contract.job import Job, JobOptions, Source
from contract.manifest import Attempt, InputRecord, Manifest
from producer.cli import app
from worker.evaluation.compare import comparison_of
from worker.evaluation.results import read_results


def figures(psnr, task="self audio", status="ok"):
    value = psnr if status == "ok" else None
    figure = Figure(
        title="mouth PSNR", value=value, better="higher", status=status, n=100, controls={"floor": 43.0}
    )
    nothing = Figure(
        title="LSE-C", value=None, better="higher", status="unavailable", reason="no weights", n=0
    )
    metrics = {"mouth_psnr": figure, "lse_c": nothing}
    return Figures(task=task, frames=100, sync=Sync(verdict="in sync"), metrics=metrics, seconds=1.0)


@pytest.fixture
def write(tmp_path):
    """A row's manifest in a folder of results."""

    def write(folder, row, evaluation, sha256="a" * 64, **options):
        pair = {"video": Source(uri="s3://b/v", etag="1"), "audio": Source(uri="s3://b/a", etag="2")}
        job = Job(**pair, options=JobOptions(**options))
        record, now = InputRecord(uri="s3://b/v", bytes=1, sha256=sha256), datetime.now(UTC)
        manifest = Manifest(
            status="succeeded",
            job_id=job.id,
            batch=folder,
            row=row,
            job=job,
            attempt=Attempt(id="a", number=1, host="h", started=now, ended=now),
            video=record,
            audio=record,
            evaluation=evaluation,
        )
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        (place / f"{row}.manifest.json").write_text(manifest.model_dump_json())
        return place

    return write


@pytest.fixture
def batches(write):
    """Two of eight clips, the second one better by about 1 dB."""
    for index in range(8):
        one = write("one", f"clip-{index}", figures(30 + index))
        two = write("two", f"clip-{index}", figures(31 + index + index / 20))
    return {"one": one, "two": two}


def test_over_many_clips_the_better_system_wins(batches):
    found = comparison_of(read_results(batches), "one", 0.0)
    psnr = found.comparison["mouth_psnr"]
    assert (found.scope, psnr.winner) == ("over clips", "two")
    assert psnr.improvement_pct == pytest.approx(100 * 1.175 / 33.5, abs=0.01)
    (versus,) = psnr.versus
    assert versus.n == 8 and versus.p_holm < 0.05 and 1 < versus.gain_ci95[0] < versus.gain_ci95[1] < 1.4
    assert found.comparison["lse_c"].winner == "inconclusive"
    assert found.comparison["lse_c"].versus[0].reason == "not measured of both"


def lagging(frames, found):
    lag = Figure(
        title="lip lag", value=frames, better="nearer 0", status="ok", n=100, about={"sync_found": found}
    )
    return figures(30).model_copy(update={"metrics": {"lip_lag": lag}})


@pytest.mark.parametrize(
    ("found", "winner"), [(True, "one"), (False, "inconclusive"), (None, "inconclusive")]
)
def test_by_an_offset_nobody_wins_where_no_sync_was_found(batches, write, found, winner):
    for index in range(8):
        write("one", f"clip-{index}", lagging(0, True))
        write("two", f"clip-{index}", lagging(9, found))
    lag = comparison_of(read_results(batches), "one", 0.0).comparison["lip_lag"]
    assert lag.winner == winner
    assert found or lag.versus[0].reason == "no sync was found in both"
    assert lag.values == {"one": 0, "two": 9}


def test_rows_that_only_one_has_take_no_part(batches, write):
    write("one", "more", figures(90))
    write("two", "without", None)
    assert len(read_results(batches)) == 8


def test_figures_that_are_invalid_on_a_clip_leave_that_clip_out(batches, write):
    write("two", "clip-0", figures(0, status="invalid"))
    (versus,) = comparison_of(read_results(batches), "one", 0.0).comparison["mouth_psnr"].versus
    assert versus.n == 7


def test_without_any_figures_it_is_told_which_column_to_set(write):
    folders = {name: write(name, "clip", None) for name in ("one", "two")}
    with pytest.raises(BadRequest, match=r"one: 0 rows with figures; .*column `evaluate` set to true"):
        read_results(folders)


def test_rows_of_one_name_and_other_inputs_are_no_pair(batches, write):
    write("two", "clip-3", figures(30), sha256="b" * 64)
    with pytest.raises(BadRequest, match="row clip-3 is of another video or audio"):
        read_results(batches)


@pytest.mark.parametrize("options", [{"start": 2.0}, {"end": 9.0}, {"face": "left"}, {"sync_mode": "loop"}])
def test_rows_that_play_the_source_otherwise_are_no_pair(batches, write, options):
    write("two", "clip-3", figures(30), **options)
    with pytest.raises(BadRequest, match=r"row clip-3 .* plays it otherwise"):
        read_results(batches)


def test_rows_of_other_engines_are_a_pair(batches, write):
    write("two", "clip-3", figures(30), engine="musetalk-v1", bbox_shift=3)
    assert len(read_results(batches)) == 8


def test_means_are_those_of_the_same_clips(batches, write):
    write("two", "clip-0", figures(0, status="invalid"))
    values = comparison_of(read_results(batches), "one", 0.0).comparison["mouth_psnr"].values
    assert values == {"one": 34.0, "two": pytest.approx(35.2)}, "clip-0 has 30 dB of `one` alone"


def test_what_only_one_system_has_is_shown_all_the_same(batches, write):
    for index in range(8):
        write("two", f"clip-{index}", figures(0, status="unavailable"))
    values = comparison_of(read_results(batches), "one", 0.0).comparison["mouth_psnr"].values
    assert values == {"one": 33.5, "two": None}


def test_it_is_told_how_few_clips_have_a_figure_of_both(batches, write):
    for index in range(5):
        write("two", f"clip-{index}", figures(0, status="invalid"))
    (versus,) = comparison_of(read_results(batches), "one", 0.0).comparison["mouth_psnr"].versus
    assert versus.reason == "3 clips, and 6 are needed"


def test_a_manifest_that_is_none_is_told(batches):
    (batches["one"] / "clip-1.manifest.json").write_text("{}")
    with pytest.raises(BadRequest, match=r"clip-1\.manifest\.json is no manifest"):
        read_results(batches)


def test_tasks_are_not_mixed(batches, write):
    for name in batches:
        write(name, "clip-2", figures(30, task="cross audio"))
    with pytest.raises(BadRequest, match="cannot be compared together"):
        comparison_of(read_results(batches), "one", 0.0)


def test_the_command_compares_folders_of_results(batches, tmp_path):
    words = [word for name, folder in batches.items() for word in ("--results", f"{name}={folder}")]
    page = tmp_path / "report.html"
    done = CliRunner().invoke(
        app, ["compare", *words, "--json", str(tmp_path / "out.json"), "--html", str(page)]
    )
    assert done.exit_code == 0, done.output
    assert "8 clips, over clips; % of one" in done.output
    assert "two against" not in page.read_text() and "one against two" in page.read_text()
    for wrong, told in (
        (["--results", f"one={batches['one']}"], "at least two"),
        ([*words, "--baseline", "three"], "none of one, two"),
        (["--results", "one=nowhere", "--results", f"two={batches['two']}"], "nowhere is not a folder"),
        ([*words, "--source", str(page)], "not both"),
    ):
        done = CliRunner().invoke(app, ["compare", *wrong])
        assert done.exit_code in (1, 2) and told in done.output.replace("\n", " "), told
