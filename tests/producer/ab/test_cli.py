"""From two batches in a real store to a verdict, as a person and as a script go."""

import json

import pytest

from producer.ab.study import read_study
from tests.producer.ab.conftest import A, B
from tests.producer.ab.voting import HEADING, line, side_of


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "raters"


@pytest.fixture
def votes(tmp_path):
    """Write what a rater prefers of each row, as the page would."""

    def votes(key, name, **preferred):
        study = read_study(key)
        lines = [line(pair, side_of(pair, preferred[pair.row]), name) for pair in study.pairs]
        path = tmp_path / f"votes-{name}.csv"
        path.write_text("\r\n".join([HEADING, *lines, ""]))
        return path

    return votes


def test_two_batches_become_a_page_and_votes_a_verdict(dubline, here, batches, folder, votes, tmp_path):
    made = dubline(
        "ab", "make", A, B, "--output", folder, "--name-a", "ours", "--name-b", "theirs", "--seed", 3
    )
    assert made.exit_code == 0
    assert made.stdout.splitlines() == [
        "4 pairs: ours against theirs",
        f"for raters, the whole folder: {folder}",
        f"the key, not for raters: {folder}.key.json",
        f"when votes are back: dubline ab count VOTES.csv... --key {folder}.key.json",
    ]
    key = tmp_path / "raters.key.json"
    anna = votes(key, "anna", one="a", two="a", three="b", four="-")
    ben = votes(key, "ben", one="a", two="-", three="a", four="-")
    results = tmp_path / "results.csv"
    counted = dubline("ab", "count", anna, ben, "--key", key, "--csv", results, "--json")
    assert counted.exit_code == 0
    record = json.loads(counted.stdout)
    assert (record["verdict"], record["by_pair"]["wins"]) == ("inconclusive", {"ours": 2, "theirs": 0})
    assert record["by_pair"]["ties"] == 2
    assert len(results.read_text().splitlines()) == 9
    assert "inconclusive (p = 0.50 over 2 pairs)" in dubline("ab", "count", anna, ben, "--key", key).stdout


def test_a_script_reads_what_was_made_and_what_was_left_out(dubline, here, put_rows, commit, folder):
    for row in put_rows(A, ("one", "two", "three")):
        commit(A, row, video=b"a")
    for row in put_rows(B, ("one", "two"), margin=1):
        commit(B, row, "succeeded" if row.id == "one" else "failed", video=b"b")
    made = json.loads(dubline("ab", "make", A, B, "--output", folder, "--json").stdout)
    assert (made["pairs"], made["key"], made["drawn_before"]) == (1, f"{folder}.key.json", False)
    assert made["left_out"] == {f"only in batch {A}": ["three"], "without a video in one batch": ["two"]}
    assert [each["name"] for each in made["systems"]] == [A, B]
    again = dubline("ab", "make", A, B, "--output", folder).stdout
    assert again.startswith(f"1 pair: {A} against {B}, as drawn before")


def test_a_person_reads_what_was_left_out(dubline, here, put_rows, commit, folder):
    for margin, batch in enumerate((A, B)):
        for row in put_rows(batch, ("one", "two")[: 2 - margin], margin=margin):
            commit(batch, row, video=batch.encode())
    assert f"left out: 1 row only in batch {A}" in dubline("ab", "make", A, B, "-o", folder).stdout


def test_the_limit_bounds_the_pairs(dubline, here, batches, folder):
    made = json.loads(dubline("ab", "make", A, B, "-o", folder, "--limit", 2, "--json").stdout)
    assert (made["pairs"], len(made["left_out"]["beyond --limit"])) == (2, 2)
    assert len(list((folder / "videos").iterdir())) == 4


def test_a_batch_may_be_cut_short_as_elsewhere(dubline, here, batches, folder):
    made = json.loads(dubline("ab", "make", "batch-of-o", "batch-of-t", "-o", folder, "--json").stdout)
    assert [each["batch"] for each in made["systems"]] == [A, B]


def test_what_cannot_be_is_one_line_and_exit_2(dubline, here, batches, folder, tmp_path):
    shown = dubline("ab", "make", A, A, "-o", folder)
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert shown.stderr.startswith(f"error [bad_request]: both batches are {A}")
    dubline("ab", "make", A, B, "-o", folder)
    (tmp_path / "votes.csv").write_text(f"{HEADING}\nx,left,anna,2026-01-01T00:00:00Z,1\n")
    shown = dubline("ab", "count", tmp_path / "votes.csv", "--key", f"{folder}.key.json")
    assert shown.exit_code == 2
    assert "votes.csv holds votes of another study" in shown.stderr
