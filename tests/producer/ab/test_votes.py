import pytest

from contract.errors import BadRequest, InputNotFound
from producer.ab.votes import COLUMNS, read_ballot
from tests.producer.ab.voting import HEADING, a_study, line


@pytest.fixture
def study():
    return a_study("ab")


@pytest.fixture
def put(tmp_path):
    def put(*lines, name="votes.csv", heading=HEADING):
        (tmp_path / name).write_text("\r\n".join([heading, *lines, ""]), encoding="utf-8")
        return tmp_path / name

    return put


def test_the_columns_are_those_that_the_page_writes():
    assert ",".join(COLUMNS) == HEADING


def test_votes_come_in_the_order_of_pairs_and_raters(put, study):
    one, two = study.pairs
    path = put(line(two, "left", "ben"), line(two, "none", "anna"), line(one, "right", "ben"))
    ballot = read_ballot([path], study)
    assert [(each.pair, each.rater, each.vote) for each in ballot.votes] == [
        (one.id, "ben", "right"),
        (two.id, "anna", "none"),
        (two.id, "ben", "left"),
    ]
    assert ballot.replaced == 0


def test_the_last_of_a_raters_votes_for_a_pair_counts_whichever_file_it_is_in(put, study):
    pair = study.pairs[0]
    late = put(line(pair, "right", "anna", minute=9), name="late.csv")
    early = put(line(pair, "left", "anna", minute=1), line(pair, "none", "ben", minute=2), name="early.csv")
    ballot = read_ballot([late, early], study)
    assert [(each.rater, each.vote) for each in ballot.votes] == [("anna", "right"), ("ben", "none")]
    assert ballot.replaced == 1


def test_votes_of_another_study_are_refused(put, study):
    path = put(*(line(pair, "left", "anna") for pair in a_study("ab").pairs))
    with pytest.raises(BadRequest, match=r"votes.csv holds votes of another study: .* name their own --key"):
        read_ballot([path], study)


def test_an_unknown_pair_among_known_ones_is_named_with_its_line(put, study):
    stranger = a_study("a").pairs[0]
    path = put(line(study.pairs[0], "left", "anna"), line(stranger, "left", "anna"))
    with pytest.raises(BadRequest, match="1 of 2 votes cannot be counted") as caught:
        read_ballot([path], study)
    assert [str(each) for each in caught.value.faults] == [f"line 3: the key has no pair {stranger.id}"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vote": "both"}, "vote: Input should be 'left', 'right' or 'none'"),
        ({"rater": ""}, "rater: String should have at least 1 character"),
        ({"voted_at": "2026-01-01T00:00:00"}, "voted_at: Input should have timezone info"),
        ({"seconds_watched": "-1"}, "seconds_watched: Input should be greater than or equal to 0"),
        ({"seconds_watched": "inf"}, "seconds_watched: Input should be a finite number"),
        ({"seconds_watched": "1,2"}, "more: Extra inputs are not permitted"),
    ],
)
def test_a_line_that_is_no_vote_is_named(put, study, changes, message):
    with pytest.raises(BadRequest) as caught:
        read_ballot([put(line(study.pairs[0], "left", "anna", **changes))], study)
    assert [str(each) for each in caught.value.faults] == [f"line 2: {message}"]


@pytest.mark.parametrize("text", ["", HEADING, f"{HEADING}\r\n\r\n"])
def test_a_file_without_votes_is_refused(tmp_path, study, text):
    (tmp_path / "empty.csv").write_text(text)
    with pytest.raises(BadRequest, match=r"empty.csv holds no votes; leave it out"):
        read_ballot([tmp_path / "empty.csv"], study)


def test_another_csv_is_told_by_its_columns(put, study):
    with pytest.raises(
        BadRequest, match=r"is no file of votes: its columns are video, audio, and not pair, vote"
    ):
        read_ballot([put("a,b", heading="video,audio")], study)


def test_what_is_no_text_and_what_is_not_there_are_told(tmp_path, study):
    (tmp_path / "film.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadRequest, match=r"film.csv is no CSV in UTF-8"):
        read_ballot([tmp_path / "film.csv"], study)
    with pytest.raises(InputNotFound, match=r"gone.csv cannot be read: No such file or directory"):
        read_ballot([tmp_path / "gone.csv"], study)


def test_a_file_that_a_spreadsheet_saved_is_read(tmp_path, study):
    text = "\n".join([HEADING, line(study.pairs[0], "left", "Jürgen")])
    (tmp_path / "votes.csv").write_text(text, encoding="utf-8-sig")
    assert read_ballot([tmp_path / "votes.csv"], study).votes[0].rater == "Jürgen"
