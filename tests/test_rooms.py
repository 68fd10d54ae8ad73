"""The docstring of each room is its map."""

import re
from pathlib import Path

import pytest

import contract
import producer
import worker


@pytest.mark.parametrize("room", [contract, producer, worker], ids=lambda room: room.__name__)
def test_the_map_of_a_room_names_all_that_is_in_it(room):
    inside = Path(room.__file__).parent
    there = {path.stem for path in inside.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))}
    named = set(re.findall(r"\w+", room.__doc__))
    assert sorted(name for name in there - named if not name.startswith("__")) == []
