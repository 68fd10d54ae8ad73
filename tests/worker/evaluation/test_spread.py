import pytest

from worker.evaluation.spread import Spread


@pytest.mark.parametrize(("count", "stride"), [(3, 1), (8, 1), (9, 2), (16, 2), (17, 4), (1000, 128)])
def test_a_stream_of_any_length_leaves_evenly_spaced_items_and_never_too_many(count, stride):
    spread = Spread(8)
    for position in range(count):
        spread.add(position, position)
        assert len(spread.items) <= 8
    assert spread.items == list(range(0, count, stride)) and spread.stride == stride
    assert len(spread.items) > 4 or count <= 4


def test_what_was_wanted_when_it_came_and_is_not_any_more_is_dropped():
    spread = Spread(2)
    assert spread.wants(3)
    for position in range(4):
        spread.add(position, position)
    assert not spread.wants(3) and spread.items == [0, 2]
