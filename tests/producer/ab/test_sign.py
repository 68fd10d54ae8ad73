"""Known values: SciPy 1.17, `binomtest(wins, n).pvalue` and `.proportion_ci(method="exact")`."""

import pytest

from producer.ab.sign import SIGNIFICANT, Sign

KNOWN = [
    (14, 4, 0.0308837890625, 0.5236272342636347, 0.9359079522820022),
    (9, 1, 0.021484375, 0.5549838829718047, 0.9974714214555375),
    (10, 10, 1.0, 0.27195784956079133, 0.7280421504392086),
    (0, 5, 0.0625, 0.0, 0.5218237501049814),
    (5, 1, 0.21875, 0.3587654210025136, 0.9957892554855104),
    (6, 0, 0.03125, 0.5407418735600995, 1.0),
    (1200, 1000, 2.1817026407914194e-05, 0.5243715705627718, 0.5664162769115156),
]


@pytest.mark.parametrize(("a", "b", "p", "low", "high"), KNOWN)
def test_p_and_interval_are_those_of_the_exact_binomial_test(a, b, p, low, high):
    sign = Sign(a, b, 0)
    assert sign.p == pytest.approx(p, rel=1e-9)
    assert sign.interval == pytest.approx((low, high), abs=1e-9)


def test_the_sides_can_be_named_the_other_way_round():
    one, other = Sign(14, 4, 0), Sign(4, 14, 0)
    assert one.p == other.p
    assert one.interval == pytest.approx(tuple(1 - each for each in reversed(other.interval)))


def test_ties_are_counted_and_change_nothing():
    assert (Sign(9, 1, 40).p, Sign(9, 1, 40).interval) == (Sign(9, 1, 0).p, Sign(9, 1, 0).interval)
    assert (Sign(9, 1, 40).decided, Sign(9, 1, 40).share) == (10, 0.9)


def test_where_nothing_is_decided_there_is_no_share_and_no_winner():
    sign = Sign(0, 0, 7)
    assert (sign.share, sign.interval, sign.p, sign.is_significant) == (None, None, 1.0, False)


@pytest.mark.parametrize("n", range(1, 40))
def test_the_interval_leaves_out_a_half_exactly_where_the_test_is_significant(n):
    for wins in range(n + 1):
        sign = Sign(wins, n - wins, 0)
        low, high = sign.interval
        assert (low < 0.5 < high) == (sign.p >= SIGNIFICANT)
