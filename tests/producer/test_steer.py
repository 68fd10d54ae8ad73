"""The commands that steer, as a person and as a script meet them."""

import json

import pytest

from contract import keys
from contract.outputs import publish_output
from producer import cli, steer


@pytest.fixture
def failed(storage, submitted, rows, commit):
    """The batch, of which the row `two` failed."""
    publish_output(storage, submitted, "two", commit(submitted, rows[1], "failed"))
    return submitted


def test_a_batch_is_cancelled_and_requeued_by_the_beginning_of_its_name(dubline, here, submitted):
    begun = submitted[:4]
    assert dubline("cancel", begun).stdout.splitlines() == [
        f"batch {submitted}: 2 rows cancelled",
        f"to render them after all: dubline requeue {submitted}",
    ]
    assert dubline("requeue", begun).stdout.splitlines() == [
        f"batch {submitted}: nothing to requeue, for no such row failed or was cancelled",
        "2 rows had no result yet: nothing to move aside",
        "the wish to cancel is taken back; a row that was being stopped may still end as cancelled",
    ]


def test_what_runs_and_what_has_ended_is_told_apart(dubline, here, failed, rows, ledger):
    ledger.claim(rows[0].job.id, "me", 60)
    assert dubline("cancel", failed).stdout.splitlines()[:3] == [
        f"batch {failed}: 1 row cancelled",
        "1 of them runs and stops within seconds",
        "1 row had ended and keeps its result",
    ]
    told = dubline("cancel", failed, "two").stdout
    assert told == f"batch {failed}: nothing to cancel, 1 row had ended before\n"


def test_failed_rows_are_listed_with_what_to_type_next(dubline, here, failed):
    shown = dubline("failed", failed)
    assert shown.exit_code == 0
    assert " ".join(shown.stdout.split("\n")[4].split()) == "two no_face 1 no frame of face.MP4 shows a face"
    assert f"dubline requeue {failed} [ROW...] [--code CODE]" in shown.stdout
    told = json.loads(dubline("failed", failed, "--json").stdout)
    assert (told["batch"], told["rows"][0]["row"], told["rows"][0]["code"]) == (failed, "two", "no_face")


def test_a_batch_without_failures_says_so(dubline, here, submitted):
    assert dubline("failed", submitted).stdout == f"batch {submitted}: no row has failed\n"


def test_failed_rows_are_requeued_by_their_code(dubline, here, failed):
    assert dubline("requeue", failed, "--code", "no_audio").stdout.startswith(
        f"batch {failed}: nothing to req"
    )
    assert dubline("requeue", failed, "--code", "no_face").stdout.splitlines()[0] == (
        f"batch {failed}: 1 row requeued: two"
    )
    assert json.loads(dubline("requeue", failed, "--json").stdout) == {
        "batch": failed,
        "requeued": [],
        "succeeded": 0,
        "unended": 2,
        "wanted_again": False,
    }


def test_a_job_is_shown_to_people_and_to_scripts(dubline, here, failed, rows):
    assert f"two of batch {failed}  failed" in dubline("show", failed, "two").stdout
    told = json.loads(dubline("show", rows[1].job.id[:10], "--json").stdout)
    assert (told["row"], told["state"]) == ("two", "failed")


@pytest.mark.parametrize("command", ["cancel", "requeue", "failed", "resume", "results"])
def test_a_batch_that_is_not_there_exits_2_with_what_is_near(dubline, here, storage, command):
    storage.put(keys.rows("nightly"), b"")
    more = ("--to", "out") if command == "results" else ()
    shown = dubline(command, "nihgtly", *more, "--json")
    assert shown.exit_code == 2
    assert "did you mean 'nightly'?" in json.loads(shown.stdout)["error"]["message"]


def test_a_resubmitted_csv_with_failed_rows_names_the_command_that_helps(
    dubline, here, jobs, failed, commit, rows
):
    commit(failed, rows[0], "cancelled")
    shown = dubline("submit", jobs)
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[-1] == (
        "1 row failed and 1 row was cancelled before: nothing is tried again before you say so, "
        f"with `dubline requeue {failed}`"
    )
    told = json.loads(dubline("submit", jobs, "--json").stdout)
    assert (told["already"], told["failed"], told["cancelled"]) == (True, 1, 1)


def test_ctrl_c_while_waiting_says_that_the_batch_goes_on(dubline, here, jobs, monkeypatch):
    def interrupted(view, console):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "follow", interrupted)
    shown = dubline("submit", jobs, "--batch", "nightly", "--wait")
    assert shown.exit_code == 130
    for line in (
        "batch nightly goes on without this terminal",
        "to follow it: dubline status nightly --watch",
        "to stop it: dubline cancel nightly",
    ):
        assert line in shown.stdout.splitlines()


def test_a_batch_is_resumed_until_it_has_ended_and_failure_is_told_by_the_exit_code(
    dubline, here, failed, rows, commit
):
    commit(failed, rows[0])
    shown = dubline("resume", failed, "--json")
    told = json.loads(shown.stdout)
    assert (told["succeeded"], told["failed"], shown.exit_code) == (1, 1, 1)


def test_a_batch_that_went_well_resumes_with_exit_0(dubline, here, submitted, rows, commit):
    for row in rows:
        commit(submitted, row)
    shown = dubline("resume", submitted)
    assert shown.stdout.splitlines()[-1] == f"{submitted}  2 done"
    assert shown.exit_code == 0


def test_ctrl_c_in_resume_says_who_goes_on(dubline, here, submitted, monkeypatch):
    def interrupted(settings, batch):
        raise KeyboardInterrupt

    monkeypatch.setattr(steer, "feed_until_ended", interrupted)
    shown = dubline("resume", submitted)
    assert shown.exit_code == 130
    assert f"batch {submitted} is fed from here no more; other feeders go on" in shown.stdout


def test_a_dry_sweep_counts_and_removes_nothing(dubline, here, storage):
    storage.put(keys.log("0" * 64, "a1"), b"line")
    shown = dubline("sweep", "--dry-run")
    assert shown.stdout == ("0 objects of 0.0 MB and 0 unfinished uploads would be removed\n")
    assert json.loads(dubline("sweep", "--json").stdout) == {
        "objects": 0,
        "bytes": 0,
        "uploads": 0,
        "dry_run": False,
    }


@pytest.mark.parametrize("days", ["0", "-1", "nan"])
def test_a_sweep_of_what_is_young_is_refused(dubline, here, days):
    shown = dubline("sweep", "--days", days)
    assert shown.exit_code == 2
    assert "must be at least 1" in shown.stderr
