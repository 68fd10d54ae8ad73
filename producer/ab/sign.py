"""Whether chance alone would say as much: the sign test, and an interval for a share."""

from dataclasses import dataclass
from math import comb, exp, lgamma, log

SIGNIFICANT = 0.05
TAIL = SIGNIFICANT / 2
HALVINGS = 60
"""Of the interval that a bound is looked for in: to the last bit of a float."""


@dataclass(frozen=True)
class Sign:
    """Wins of each side; what is tied is counted, and left out of share, interval and test."""

    a: int
    b: int
    ties: int

    @property
    def decided(self) -> int:
        """Without ties."""
        return self.a + self.b

    @property
    def share(self) -> float | None:
        """Of the first side, in what is decided; None where nothing is."""
        return self.a / self.decided if self.decided else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the share by Clopper and Pearson; None where nothing is decided.

        C. J. Clopper, E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial"
        (1934). It holds a half exactly where the sign test is not significant: both bound the same two tails.
        """
        if not self.decided:
            return None
        return _lower(self.a, self.decided), 1 - _lower(self.b, self.decided)

    @property
    def p(self) -> float:
        """Of the exact two-sided sign test: how often fair coins, one for each that is decided, lie as unevenly.

        Twice the smaller tail of the binomial distribution with n = `decided` and 1/2, at most 1.
        """
        n = self.decided
        tail = sum(comb(n, wins) for wins in range(max(self.a, self.b), n + 1))
        return min(1.0, 2 * tail / (1 << n))

    @property
    def is_significant(self) -> bool:
        """Whether p is below 5 %."""
        return self.p < SIGNIFICANT


def _lower(wins: int, n: int) -> float:
    """The share below which so many wins, or more, come up in less than 2.5 % of cases."""
    low, high = 0.0, wins / n
    for _ in range(HALVINGS if wins else 0):
        middle = (low + high) / 2
        low, high = (middle, high) if _tail(wins, n, middle) < TAIL else (low, middle)
    return low


def _tail(wins: int, n: int, share: float) -> float:
    """How likely `wins` or more of n are where each is won with the probability `share`, above 0 and below 1."""
    return sum(
        exp(_log_choices(n, each) + each * log(share) + (n - each) * log(1 - share))
        for each in range(wins, n + 1)
    )


def _log_choices(n: int, k: int) -> float:
    """The logarithm of n over k: for thousands of votes the number itself is no float any more."""
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
