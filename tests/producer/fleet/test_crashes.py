"""When a slot is tried again."""

import pytest

from producer.fleet.crashes import backoff_seconds, deaths_of
from producer.fleet.host import Container, Exit


@pytest.mark.parametrize(
    ("deaths", "seconds"), [(0, 0), (1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (10_000, 300)]
)
def test_the_wait_doubles_from_a_second_to_five_minutes(deaths, seconds):
    assert backoff_seconds(deaths) == seconds


@pytest.mark.parametrize(
    ("before", "exit", "deaths"),
    [(0, Exit(1, 3), 1), (0, Exit(0, 3), 1), (4, Exit(137, 59), 5), (4, Exit(1, 61), 0), (4, None, 0)],
)
def test_a_death_counts_when_it_was_quick_whatever_the_exit_code(before, exit, deaths):
    assert deaths_of(Container("id", "name", "cpu0", "host", deaths=before, exit=exit)) == deaths
