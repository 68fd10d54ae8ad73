"""The files that raters send back: read, checked against the key, one vote of a rater for a pair."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError

from contract.errors import BadRequest, Fault, InputNotFound
from contract.job import Boundary
from producer.ab.study import Pair, Study

Choice = Literal["left", "right", "none"]


class Vote(Boundary):
    """One line of a file of votes."""

    pair: str
    vote: Choice
    """None: the rater saw no difference."""
    rater: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    voted_at: AwareDatetime
    """By the rater's clock."""
    seconds_watched: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """How long the pair played before the vote."""


COLUMNS = tuple(Vote.model_fields)


@dataclass(frozen=True)
class Ballot:
    """The votes that count."""

    votes: tuple[Vote, ...]
    """In the order of the study's pairs, and of the raters' names."""
    replaced: int
    """Votes that the same rater gave for the same pair again later."""


def read_ballot(paths: Sequence[Path], study: Study) -> Ballot:
    """The votes of all files; of a rater's votes for one pair the last.

    Raises:
        InputNotFound: there is no such file.
        BadRequest: a file holds no votes, something else, or votes of another study.
    """
    pairs = {pair.id: pair for pair in study.pairs}
    read = [vote for path in paths for vote in _votes(path, pairs)]
    last = {(each.pair, each.rater): each for each in sorted(read, key=lambda each: each.voted_at)}
    order = {pair.id: place for place, pair in enumerate(study.pairs)}
    votes = sorted(last.values(), key=lambda each: (order[each.pair], each.rater))
    return Ballot(tuple(votes), len(read) - len(votes))


def _votes(path: Path, pairs: dict[str, Pair]) -> list[Vote]:
    lines = _lines(path)
    votes, faults = [], []
    for number, line in lines:
        found = _vote(line)
        if isinstance(found, str):
            faults.append(Fault(number, found))
        else:
            votes.append((number, found))
    unknown = [(number, each) for number, each in votes if each.pair not in pairs]
    if votes and len(unknown) == len(votes):
        raise BadRequest(
            f"{path} holds votes of another study: the key has none of its pairs; name their own --key"
        )
    faults += [Fault(number, f"the key has no pair {each.pair}") for number, each in unknown]
    if faults:
        raise BadRequest(
            f"{path}: {len(faults)} of {len(lines)} votes cannot be counted; correct or remove those lines",
            sorted(faults, key=lambda each: each.line),
        )
    return [each for _, each in votes]


def _vote(line: dict[str, str]) -> Vote | str:
    """The vote of a line, or what is wrong with it."""
    try:
        return Vote.model_validate(line)
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _lines(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The lines below the heading, each with its number in the file."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restkey="more", restval="")
            lines = [(reader.line_num, line) for line in reader]
            heading = tuple(reader.fieldnames or ())
    except OSError as error:
        raise InputNotFound(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadRequest(f"{path} is no CSV in UTF-8: {error}") from error
    if heading and heading != COLUMNS:
        raise BadRequest(
            f"{path} is no file of votes: its columns are {', '.join(heading)}, and not {', '.join(COLUMNS)}"
        )
    if not lines:
        raise BadRequest(f"{path} holds no votes; leave it out, or ask its rater for the file again")
    return lines
