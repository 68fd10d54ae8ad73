"""Studies and votes that tests make up."""

import secrets

from producer.ab.study import Pair, Study, System, Take

HEADING = "pair,vote,rater,voted_at,seconds_watched"


def a_study(lefts):
    """A pair for each letter: which system stands on its left."""
    pairs = tuple(
        Pair(id=_token(), row=f"row {number}", left=left, a=_take(), b=_take())
        for number, left in enumerate(lefts)
    )
    return Study(
        id=_token(),
        seed=1,
        a=System(name="ours", batch="batch-of-ours"),
        b=System(name="theirs", batch="batch-of-theirs"),
        pairs=pairs,
    )


def _take():
    return Take(file=_token(), key="jobs/x", bytes=1, sha256="0" * 64)


def _token():
    return secrets.token_hex(8)


def line(pair, choice, name, minute=0, **changes):
    """A line of a file of votes."""
    cells = {
        "pair": pair.id,
        "vote": choice,
        "rater": name,
        "voted_at": f"2026-01-01T00:{minute:02}:00Z",
        "seconds_watched": "4.5",
    }
    return ",".join((cells | changes).values())


def side_of(pair, letter):
    """The vote that is for a system; `-`: for none."""
    if letter == "-":
        return "none"
    return "left" if letter == pair.left else "right"
