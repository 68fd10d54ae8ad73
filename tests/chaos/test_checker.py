"""The judge says of invented histories what is wrong with them, and of a good one that it is fine."""

from dataclasses import replace

import pytest

from tests.chaos.checker import Closed, Expected, Found, check, excused
from tests.chaos.history import Event, History, read

SUCCEEDS, FAILS = frozenset({"succeeded"}), frozenset({"failed"})
GOOD = Expected("b1", "good", "j1", SUCCEEDS, sha256="aa")
BAD = Expected("b1", "bad", "j2", FAILS)
STOPPED = Expected("b1", "stopped", "j3", frozenset({"succeeded", "cancelled"}))
ASKED = [GOOD, BAD, STOPPED]
FOUND = {
    "j1": Found("j1", "a1", "succeeded", claimed_sha256="aa", stored_sha256="aa"),
    "j2": Found("j2", "a2", "failed"),
    "j3": Found("j3", "a3", "cancelled"),
}
CLOSED = {"b1": Closed({"succeeded": 1, "failed": 1, "cancelled": 1}, {"good": "aa"})}


def event(what, job="", attempt="", status="", note=""):
    return Event(0.0, "a client", what, job, attempt, status, note)


HISTORY = [
    event("submitted", note="b1"),
    event("began", "j1", "a0"),
    event("began", "j1", "a1"),
    event("stands", "j1", "a1", "succeeded"),
    event("stands", "j1", "a1", "succeeded"),
    event("stands", "j2", "a2", "failed"),
    event("stands", "j3", "a3", "cancelled"),
]


def kinds(asked=ASKED, history=HISTORY, closed=CLOSED, **changed):
    """What the checker finds where these jobs' ends are changed; None: there is none."""
    found = {**FOUND, **changed}
    return [each.kind for each in check(asked, history, filter(None, found.values()), closed)]


def j1(**changes):
    return {"j1": replace(FOUND["j1"], **changes)}


def test_a_history_as_it_should_be_is_fine():
    assert kinds() == []


def test_a_job_whose_workers_all_vanished_may_fail_and_one_that_lost_fewer_may_not():
    vanished = [event("claimed", "j1", f"lost-{number}") for number in range(3)]
    failed = FOUND | j1(status="failed", claimed_sha256=None, stored_sha256=None)
    history = [*vanished, event("claimed", "j1", "a1"), event("ended", "j1", "a1", "done")]
    for lost_attempts, wrong in ((3, []), (4, ["unplanned"])):
        asked = excused(ASKED, history, lost_attempts)
        assert [each.kind for each in check(asked, HISTORY[:1], failed.values())] == wrong


def test_a_job_of_which_nothing_was_ever_heard_is_lost():
    history = [each for each in HISTORY if each.job != "j1"]
    assert kinds(history=history, closed=None, j1=None) == ["lost"]


def test_a_job_that_began_and_has_no_manifest_never_ended():
    history = [each for each in HISTORY if (each.what, each.job) != ("stands", "j1")]
    assert kinds(history=history, closed=None, j1=None) == ["never ended"]


def test_a_manifest_that_was_seen_and_is_gone_has_vanished():
    assert kinds(closed=None, j1=None) == ["vanished"]


def test_a_submission_that_was_not_acknowledged_promises_nothing():
    assert kinds(history=[], closed=None, j1=None, j2=None, j3=None) == []


@pytest.mark.parametrize("versions", [0, 2])
def test_a_manifest_not_written_exactly_once_is_duplicated(versions):
    assert kinds(**j1(versions=versions)) == ["duplicated"]


def test_a_manifest_that_another_attempt_wrote_over_is_found_even_where_the_store_keeps_no_versions():
    assert kinds(**j1(attempt="a9")) == ["replaced"]
    assert kinds(history=[*HISTORY, event("stands", "j1", "a9", "succeeded")]) == ["replaced"]


def test_cancel_and_success_that_both_won_are_found():
    history = [*HISTORY, event("stands", "j3", "a4", "succeeded")]
    assert set(kinds(history=history)) == {"cancelled and succeeded"}


def test_a_job_that_failed_although_nothing_was_planned_to_stop_it_is_unplanned():
    assert "unplanned" in kinds(closed=None, **j1(status="failed"))


def test_bad_input_that_succeeded_is_unplanned():
    end = Found("j2", "a2", "succeeded", claimed_sha256="cc", stored_sha256="cc")
    history = [each for each in HISTORY if each.job != "j2"]
    assert kinds(history=history, closed=None, j2=end) == ["unplanned"]


def test_an_output_that_is_gone_is_missing():
    assert "missing output" in kinds(**j1(stored_sha256=None))


def test_a_success_without_an_output_is_missing_it():
    assert "missing output" in kinds(closed=None, **j1(claimed_sha256=None))


def test_bytes_that_are_not_those_of_the_manifest_are_wrong():
    assert "wrong output" in kinds(closed=None, **j1(stored_sha256="bb"))


def test_bytes_that_are_not_those_of_the_job_are_wrong_although_the_manifest_says_so():
    assert kinds(closed=None, **j1(stored_sha256="bb", claimed_sha256="bb")) == ["wrong output"]


def test_the_same_work_with_two_results_is_wrong():
    twin = Expected("b1", "twin", "j4", SUCCEEDS, same_as="portrait")
    asked = [replace(GOOD, sha256=None, same_as="portrait"), twin]
    end = Found("j4", "a4", "succeeded", claimed_sha256="bb", stored_sha256="bb")
    history = HISTORY[:5]
    assert kinds(asked, history, None, j2=None, j3=None, j4=end) == ["wrong output"]


def test_a_result_that_nobody_asked_for_is_found():
    assert kinds(asked=[GOOD, BAD], closed=None) == ["unasked"]


def test_a_batch_without_a_summary_is_not_announced():
    assert kinds(closed={}) == ["not announced"]


def test_a_summary_that_counts_otherwise_than_the_manifests_is_wrong():
    assert kinds(closed={"b1": replace(CLOSED["b1"], counts={"succeeded": 3})}) == ["wrong summary"]


@pytest.mark.parametrize("copies", [{}, {"good": "bb"}, {"good": "aa", "bad": "aa"}])
def test_a_copy_that_is_missing_other_or_too_many_is_found(copies):
    assert kinds(closed={"b1": replace(CLOSED["b1"], copies=copies)}) == ["not announced"]


def test_a_history_of_several_writers_is_read_back_as_far_as_its_lines_are_whole(tmp_path):
    path = tmp_path / "history.jsonl"
    one, other = History(path, "one"), History(path, "other")
    one.note("began", job="j1", attempt="a1")
    other.note("stands", job="j1", attempt="a1", status="succeeded")
    with path.open("ab") as file:
        file.write(b'{"half": ')
    events, position = read(path)
    assert [(each.who, each.what, each.job) for each in events] == [
        ("one", "began", "j1"),
        ("other", "stands", "j1"),
    ]
    assert read(path, position) == ([], position)
