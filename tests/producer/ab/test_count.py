import csv
import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from contract.errors import ConfigurationError
from producer.ab.count import count
from producer.ab.sign import Sign
from producer.ab.votes import Ballot, Vote
from producer.ab.words import count_picture, write_results
from tests.producer.ab.voting import a_study, side_of

AT = datetime(2026, 1, 1, tzinfo=UTC)


def counted(by_rater, lefts=None, replaced=0, seconds=4.5):
    """Raters' preferences, a letter for each pair: a, b, `-` for no difference, a space for no vote."""
    length = len(next(iter(by_rater.values())))
    study = a_study(lefts or ("ab" * length)[:length])
    votes = tuple(
        Vote(
            pair=pair.id, vote=side_of(pair, letters[place]), rater=name, voted_at=AT, seconds_watched=seconds
        )
        for place, pair in enumerate(study.pairs)
        for name, letters in sorted(by_rater.items())
        if letters[place] != " "
    )
    return count(study, Ballot(votes, replaced))


def told(result):
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(count_picture(result))
    return console.export_text()


@pytest.mark.parametrize("lefts", ["aaaa", "bbbb", "abba"])
def test_votes_for_a_side_become_votes_for_the_system_that_stood_there(lefts):
    result = counted({"anna": "aab-"}, lefts)
    assert result.by_vote == Sign(2, 1, 1)
    assert [each.preferred for each in result.seen] == ["a", "a", "b", None]


def test_a_pair_goes_to_the_system_that_more_raters_preferred():
    result = counted({"anna": "aab-", "ben": "ab--", "cleo": "bab-"})
    assert result.by_pair == Sign(2, 1, 1)
    assert result.by_vote == Sign(4, 4, 4)


def test_a_pair_that_raters_disagree_about_is_tied():
    assert counted({"anna": "ab", "ben": "ba"}).by_pair == Sign(0, 0, 2)


def test_votes_without_a_difference_do_not_outvote_the_others():
    assert counted({"anna": "a", "ben": "-", "cleo": "-"}).by_pair == Sign(1, 0, 0)


def test_many_votes_for_few_pairs_make_no_winner():
    result = counted({f"rater {number}": "aaaaa" for number in range(20)})
    assert result.by_vote.p < 1e-20
    assert result.by_pair.p == 0.0625
    assert result.winner is None
    assert result.record()["verdict"] == "inconclusive"
    assert told(result).startswith("inconclusive (p = 0.062 over 5 pairs)")


@pytest.mark.parametrize(("letter", "name"), [("a", "ours"), ("b", "theirs")])
def test_a_winner_is_named_where_pairs_speak_for_it(letter, name):
    result = counted({"anna": letter * 6})
    assert result.winner == name
    assert result.record()["verdict"] == "winner"
    assert told(result).startswith(f"winner: {name} (p = 0.031 over 6 pairs)")


def test_each_rater_is_told_apart():
    result = counted({"anna": "aaaaaa", "ben": "ab  --"})
    assert result.by_rater == {"anna": Sign(6, 0, 0), "ben": Sign(1, 1, 2)}


def test_a_script_reads_all_figures_and_what_they_are():
    record = counted({"anna": "aaab- "}, replaced=2).record()
    assert record["by_pair"] == {
        "wins": {"ours": 3, "theirs": 1},
        "ties": 1,
        "share": 0.75,
        "ci95": pytest.approx((0.19412, 0.99369), abs=1e-5),
        "p": 0.625,
    }
    assert record["by_vote_not_independent"]["wins"] == {"ours": 3, "theirs": 1}
    assert (record["test"], record["interval"]) == (
        "exact two-sided sign test, ties left out",
        "95 %, Clopper-Pearson",
    )
    assert record["votes_by_side"] == {"left": 3, "right": 1, "none": 1}
    assert (record["votes_given_again"], record["unvoted"]) == (2, ["row 5"])


def test_a_person_reads_what_the_figures_rest_on():
    text = told(counted({"anna": "aaab- "}, replaced=2, seconds=0.2))
    for words in (
        "pairs, by majority",
        "all votes (not independent)",
        "19 to 99 %",
        "exact two-sided sign test, ties left out",
        "Clopper-Pearson",
        "5 votes of 1 rater: 3 left, 1 right, 1 no difference",
        "2 votes given again by the same rater for the same pair: the last counts",
        "5 votes given after less than a second of watching",
        "1 pair of 6 without a vote",
    ):
        assert words in text


def test_where_nobody_saw_a_difference_there_is_no_figure_to_read():
    result = counted({"anna": "---"})
    assert result.record()["by_pair"]["ci95"] is None
    assert told(result).startswith("inconclusive (p = 1.00 over 0 pairs)")


def test_a_p_of_almost_nothing_is_not_told_as_nothing():
    assert "(p < 0.0001 over 30 pairs)" in told(counted({"anna": "a" * 30}))


def test_results_are_a_line_a_vote_with_the_systems_name(tmp_path):
    result = counted({"anna, the first": "a-", "ben": "bb"}, "ab")
    write_results(result, tmp_path / "results.csv")
    with (tmp_path / "results.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(each["row"], each["rater"], each["vote"], each["preferred"]) for each in lines] == [
        ("row 0", "anna, the first", "left", "ours"),
        ("row 0", "ben", "right", "theirs"),
        ("row 1", "anna, the first", "none", ""),
        ("row 1", "ben", "left", "theirs"),
    ]
    assert lines[0]["voted_at"] == "2026-01-01T00:00:00+00:00"


def test_results_that_cannot_be_written_are_told(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be written: Is a directory; choose another file"):
        write_results(counted({"anna": "a"}), tmp_path)
