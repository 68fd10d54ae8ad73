from collections import Counter
from itertools import pairwise

import pytest

from contract.errors import BadRequest, NotFound
from contract.manifest import InputRecord
from producer.ab.draw import Match, draw, find_matches
from producer.ab.study import System
from producer.batches import manifests
from tests.producer.ab.conftest import NAMES, ROWS, A, B

ONE, OTHER = (System(name=name, batch=batch) for name, batch in zip(NAMES, (A, B), strict=True))


@pytest.fixture
def matched(storage, batches):
    return find_matches(storage, ONE, OTHER).matched


@pytest.fixture
def many(matched):
    """Three hundred rows to draw from."""
    return [Match(f"row {number:03}", matched[0].a, matched[0].b) for number in range(300)]


def test_rows_that_both_batches_have_a_video_of_are_compared(storage, batches):
    matches = find_matches(storage, ONE, OTHER)
    assert [each.row for each in matches.matched] == list(ROWS)
    assert (matches.left_out, matches.other_sources) == ({}, [])


def test_rows_that_cannot_be_compared_are_told_with_the_reason(storage, put_rows, commit):
    ours = put_rows(A, ("both", "ours", "failed", "waits", "same"))
    theirs = put_rows(B, ("theirs", "both", "failed", "waits", "same"), margin=1)
    for row in ours:
        commit(A, row, "failed" if row.id == "failed" else "succeeded", video=f"a {row.id}".encode())
    for row in theirs:
        if row.id != "waits":
            commit(B, row, video=b"a same" if row.id == "same" else b"b")
    matches = find_matches(storage, ONE, OTHER)
    assert [each.row for each in matches.matched] == ["both"]
    assert matches.left_out == {
        f"only in batch {A}": ["ours"],
        f"only in batch {B}": ["theirs"],
        "without a video in one batch": ["failed", "waits"],
        "with the same bytes from both": ["same"],
    }


def test_rows_of_one_name_and_two_voices_are_not_compared(storage, put_rows, commit):
    for batch, voice in ((A, "voice"), (B, "another")):
        for row in put_rows(batch, ("one",), voice=voice):
            commit(batch, row, video=voice.encode())
    matches = find_matches(storage, ONE, OTHER)
    assert matches.left_out == {"with another audio in each batch": ["one"]}


@pytest.mark.parametrize(("read", "is_same"), [(("1" * 64, "1" * 64), True), (("1" * 64, "2" * 64), False)])
def test_what_was_read_tells_voices_apart_and_not_their_addresses(
    storage, put_rows, commit, monkeypatch, read, is_same
):
    by_job = {}
    for batch, voice, sha256 in ((A, "voice", read[0]), (B, "another", read[1])):
        (row,) = put_rows(batch, ("one",), voice=voice)
        heard = InputRecord(uri="s3://media/a", bytes=1, sha256=sha256)
        update = {"audio": heard, "video": heard}
        by_job[row.job.id] = commit(batch, row, video=voice.encode()).model_copy(update=update)
    monkeypatch.setattr("producer.ab.draw.manifests", lambda _, jobs: [by_job[job] for job in jobs])
    assert bool(find_matches(storage, ONE, OTHER).matched) is is_same


def test_another_face_is_told_and_compared_all_the_same(storage, put_rows, commit, monkeypatch):
    for margin, batch in enumerate((A, B)):
        for row in put_rows(batch, ("one",), margin=margin):
            commit(batch, row, video=batch.encode())

    def with_faces(storage, jobs):
        for each in manifests(storage, jobs):
            face = InputRecord(uri="s3://media/v", bytes=1, sha256=each.output.sha256)
            yield each.model_copy(update={"video": face})

    monkeypatch.setattr("producer.ab.draw.manifests", with_faces)
    matches = find_matches(storage, ONE, OTHER)
    assert ([each.row for each in matches.matched], matches.other_sources) == (["one"], ["one"])


def test_a_batch_that_is_not_there_is_told(storage, batches):
    with pytest.raises(NotFound, match="there is no batch 'nightly'"):
        find_matches(storage, ONE, System(name="x", batch="nightly"))


def test_without_a_row_in_common_there_is_no_study(storage):
    with pytest.raises(BadRequest, match="have no row that both made a video of, for the same audio"):
        draw([], ONE, OTHER, 1, None)


def test_the_same_seed_draws_the_same_order_and_sides_whatever_order_rows_come_in(many):
    one, again = draw(many, ONE, OTHER, 7, None), draw(many[::-1], ONE, OTHER, 7, None)
    assert [(each.row, each.left) for each in one.pairs] == [(each.row, each.left) for each in again.pairs]
    other = draw(many, ONE, OTHER, 8, None)
    assert [each.row for each in one.pairs] != [each.row for each in other.pairs]
    assert [each.left for each in one.pairs] != [each.left for each in other.pairs]


@pytest.mark.parametrize("count", [1, 2, 7, 300])
def test_each_system_stands_on_the_left_as_often_as_the_other(many, count):
    left = Counter(each.left for each in draw(many[:count], ONE, OTHER, 3, None).pairs)
    assert abs(left["a"] - left["b"]) == count % 2


def test_sides_are_not_in_turns(many):
    sides = [each.left for each in draw(many, ONE, OTHER, 3, None).pairs]
    changes = sum(one != other for one, other in pairwise(sides))
    assert 120 < changes < 180  # of 299; even coins change 150 times, give or take 9


def test_a_limit_draws_from_all_rows_and_not_the_first(many):
    rows = [each.row for each in draw(many, ONE, OTHER, 3, 10).pairs]
    assert len(rows) == 10
    assert max(rows) > "row 100"


def test_names_of_pairs_and_files_follow_from_no_seed(many):
    one, again = draw(many, ONE, OTHER, 7, None), draw(many, ONE, OTHER, 7, None)
    names = [
        token
        for study in (one, again)
        for pair in study.pairs
        for token in (pair.id, pair.a.file, pair.b.file)
    ]
    assert len(set(names)) == len(names)
    assert one.id != again.id
