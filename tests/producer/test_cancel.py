"""What a person wants not to be rendered."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from contract import keys
from contract.cancel import CancelRequest
from contract.errors import NotFound
from contract.ledger import Ledger, Progress
from contract.settings import Settings
from producer.cancel import Cancellation, cancel_rows, wish


@pytest.fixture
def wished(storage, submitted):
    """What stands in the store."""

    def read():
        body = storage.get(keys.cancelled(submitted))
        return CancelRequest.model_validate_json(body) if body else None

    return read


def test_a_batch_is_cancelled_as_a_whole(storage, ledger, submitted, wished):
    assert cancel_rows(storage, ledger, submitted) == Cancellation(
        submitted, running=0, waiting=2, ended=0, told=True
    )
    assert wished().rows is None
    assert wished().covers("any")


def test_a_row_that_runs_is_told_to_stop(storage, ledger, submitted, rows, wished):
    ledger.claim(rows[0].job.id, "me", 60)
    done = cancel_rows(storage, ledger, submitted, ["one"])
    assert (done.running, done.waiting) == (1, 0)
    assert ledger.beat(rows[0].job.id, "me", 60, "tag", Progress("staging")) == "cancelled"
    assert (wished().covers("one"), wished().covers("two")) == (True, False)


def test_what_has_ended_keeps_its_result_and_leaves_no_wish(storage, ledger, submitted, rows, commit, wished):
    commit(submitted, rows[0])
    done = cancel_rows(storage, ledger, submitted, ["one"])
    assert (done.running, done.waiting, done.ended, wished()) == (0, 0, 1, None)
    done = cancel_rows(storage, ledger, submitted)
    assert (done.waiting, done.ended) == (1, 1)


def test_wishes_are_united_and_the_first_keeps_its_time(storage, ledger, submitted, wished):
    cancel_rows(storage, ledger, submitted, ["two"])
    asked = wished().asked
    cancel_rows(storage, ledger, submitted, ["one"])
    assert (wished().rows, wished().asked) == (("one", "two"), asked)
    cancel_rows(storage, ledger, submitted)
    cancel_rows(storage, ledger, submitted, ["one"])
    assert wished().rows is None


def test_of_wishes_at_the_same_moment_none_is_lost(storage, submitted, wished):
    names = [f"row{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: wish(storage, submitted, [name]), names))
    assert wished().rows == tuple(names)


def test_a_row_that_is_not_there_cancels_nothing(storage, ledger, submitted, wished):
    with pytest.raises(NotFound, match="there is no row 'three'"):
        cancel_rows(storage, ledger, submitted, ["one", "three"])
    assert wished() is None


def test_while_redis_is_away_the_wish_stands_all_the_same(storage, submitted, wished):
    away = Ledger(Settings(redis_url="redis://127.0.0.1:1/0"))
    assert not cancel_rows(storage, away, submitted).told
    assert wished().rows is None
