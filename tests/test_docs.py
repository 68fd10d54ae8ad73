"""docs/reliability.md names tests that exist, and one at least for each promise."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
PROMISES = re.split(r"^(?=- |#)", PAGE.partition("## What is not promised")[0], flags=re.MULTILINE)
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


@cache
def proofs_in(path):
    """The names of the tests in a file."""
    body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
    return {each.name for each in body if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")}


@pytest.mark.parametrize(("path", "name"), NAMED, ids=lambda part: part)
def test_a_test_that_proves_a_promise_exists(path, name):
    assert (ROOT / path).is_file() and name in proofs_in(path)


def test_nothing_looks_like_the_name_of_a_test_and_is_not_read_as_one():
    assert PAGE.count("::") == len(NAMED) > 0


def test_every_promise_names_a_test():
    promises = [each for each in PROMISES if each.startswith("- ")]
    assert promises and [each for each in promises if "::test_" not in each] == []
