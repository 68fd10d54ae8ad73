"""What raters' votes say once the key tells which system stood where.

Votes of several raters for one pair are not independent of each other: a pair that one system spoilt is lost to it with
everybody. So the verdict rests on pairs: each goes to the system that more of its raters preferred, and is tied where as
many preferred either, or nobody saw a difference. The test over all votes is told beside it, and decides nothing.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from producer.ab.sign import Sign
from producer.ab.study import Letter, Study
from producer.ab.votes import Ballot, Vote

GLANCE_SECONDS = 1.0
"""Whoever votes after less has seen nothing."""


@dataclass(frozen=True)
class Seen:
    """A vote, and what the key tells of it."""

    vote: Vote
    row: str
    preferred: Letter | None
    """None: no difference."""


@dataclass(frozen=True)
class Count:
    """The study counted."""

    study: Study
    seen: tuple[Seen, ...]
    replaced: int

    @property
    def by_pair(self) -> Sign:
        """Each pair that anybody voted for, by majority: the verdict rests on it."""
        groups = groupby(self.seen, key=lambda each: each.vote.pair)
        return _sign(_majority(each.preferred for each in group) for _, group in groups)

    @property
    def by_vote(self) -> Sign:
        """All votes, as if they were independent."""
        return _sign(each.preferred for each in self.seen)

    @property
    def by_rater(self) -> dict[str, Sign]:
        """The votes of each rater: one for a pair, so these are independent."""
        names = sorted({each.vote.rater for each in self.seen})
        return {
            name: _sign(each.preferred for each in self.seen if each.vote.rater == name) for name in names
        }

    @property
    def winner(self) -> str | None:
        """The system that the pairs speak for significantly, by name; None: inconclusive."""
        sign = self.by_pair
        if not sign.is_significant:
            return None
        return self.study.name_of("a" if sign.a > sign.b else "b")

    @property
    def unvoted(self) -> list[str]:
        """Rows that nobody voted for."""
        voted = {each.vote.pair for each in self.seen}
        return [pair.row for pair in self.study.pairs if pair.id not in voted]

    @property
    def sides(self) -> Counter[str]:
        """Votes by side: far from even means that raters liked a side."""
        return Counter(each.vote.vote for each in self.seen)

    @property
    def glances(self) -> int:
        """Votes that were given before anything could be seen."""
        return sum(each.vote.seconds_watched < GLANCE_SECONDS for each in self.seen)

    def record(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "study": self.study.id,
            "systems": [self.study.a.model_dump(), self.study.b.model_dump()],
            "verdict": "winner" if self.winner else "inconclusive",
            "winner": self.winner,
            "by_pair": self._figures(self.by_pair),
            "by_vote_not_independent": self._figures(self.by_vote),
            "by_rater": {name: self._figures(sign) for name, sign in self.by_rater.items()},
            "test": "exact two-sided sign test, ties left out",
            "interval": "95 %, Clopper-Pearson",
            "votes_by_side": {side: self.sides[side] for side in ("left", "right", "none")},
            "votes_given_again": self.replaced,
            "votes_after_under_a_second": self.glances,
            "unvoted": self.unvoted,
        }

    def _figures(self, sign: Sign) -> dict[str, Any]:
        """Of one test, the systems by name."""
        return {
            "wins": {self.study.a.name: sign.a, self.study.b.name: sign.b},
            "ties": sign.ties,
            "share": sign.share,
            "ci95": sign.interval,
            "p": sign.p,
        }


def count(study: Study, ballot: Ballot) -> Count:
    """Unblind the votes; those of one pair lie together."""
    pairs = {pair.id: pair for pair in study.pairs}
    seen = []
    for vote in ballot.votes:
        pair = pairs[vote.pair]
        preferred = None if vote.vote == "none" else pair.system_at(vote.vote)
        seen.append(Seen(vote, pair.row, preferred))
    return Count(study, tuple(seen), ballot.replaced)


def _sign(preferred: Iterable[Letter | None]) -> Sign:
    counts = Counter(preferred)
    return Sign(counts["a"], counts["b"], counts[None])


def _majority(preferred: Iterable[Letter | None]) -> Letter | None:
    counts = Counter(preferred)
    if counts["a"] == counts["b"]:
        return None
    return "a" if counts["a"] > counts["b"] else "b"
