"""What is counted as which request, and what rest takes off."""

from collections import Counter

import pytest

from benchmarks.traffic import Counts, _named


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("PUT", "/dubline/jobs/ab/manifest.json", "PUT jobs"),
        ("GET", "/dubline?list-type=2&prefix=batches%2F", "LIST"),
        ("POST", "/dubline?delete", "POST bucket"),
        ("POST", "/dubline/outputs/b/r.mp4?uploads", "POST outputs"),
    ],
)
def test_a_request_is_named_by_its_method_and_folder(method, path, name):
    assert _named(method, path) == name


def test_what_rest_would_have_brought_is_taken_off_by_its_share_of_time():
    rest = Counts(10.0, Counter(ping=10), requests=Counter(LIST=10))
    busy = Counts(20.0, Counter(ping=20, lpush=4), requests=Counter({"LIST": 20, "PUT jobs": 8}))
    told = busy.told(rest, over=2)
    assert told["by_command"] == {"lpush": 2.0} and told["by_request"] == {"PUT jobs": 4.0}


def test_between_two_moments_only_what_came_anew_is_counted():
    first, second = Counts(1.0, Counter(ping=3), 5.0), Counts(4.0, Counter(ping=5), 9.0)
    assert second.since(first) == Counts(3.0, Counter(ping=2), 4.0)
