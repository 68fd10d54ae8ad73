"""The roster: who works, on what, and since when by the server's clock."""

import time

import pytest
import redis
from pydantic import SecretStr

from contract.errors import BrokerUnavailable
from contract.workers import Roster, WorkerRecord


@pytest.fixture
def roster(settings):
    return Roster(settings)


def record(name="worker1@here", **more):
    return WorkerRecord(name=name, host="here", **more)


BUSY = dict(doing="busy", batch="nightly", row="one", job="j" * 64, attempt="a1", stage="generating")


def test_an_idle_worker_is_on_the_roster_and_one_that_left_is_not(roster):
    roster.enrol(record("worker2@here"))
    roster.enrol(record("worker1@here", device="NVIDIA L4", gpu_used_bytes=3, gpu_bytes=24))
    first, second = roster.workers()
    assert (first.name, first.doing, first.device, first.gpu_used_bytes) == (
        "worker1@here",
        "idle",
        "NVIDIA L4",
        3,
    )
    assert (second.name, second.device) == ("worker2@here", None)
    roster.leave("worker1@here")
    assert [each.name for each in roster.workers()] == ["worker2@here"]


def test_a_worker_that_falls_silent_leaves_the_roster(settings):
    roster = Roster(settings, keep_seconds=0.3)
    roster.announce(record())
    assert roster.workers()
    time.sleep(0.4)
    assert roster.workers() == []
    roster.announce(record("worker2@here"))
    client = redis.Redis.from_url(settings.redis_url.get_secret_value(), decode_responses=True)
    assert client.zrange(f"{settings.namespace}:workers", 0, -1) == ["worker2@here"]
    client.close()


def test_since_counts_from_when_a_worker_began_what_it_does(roster):
    roster.announce(record())
    time.sleep(0.3)
    roster.announce(record())
    assert roster.workers()[0].since_seconds >= 0.3
    roster.announce(record(**BUSY))
    assert roster.workers()[0].since_seconds < 0.3
    time.sleep(0.3)
    roster.announce(record(**BUSY, frames=7, total=50, fps=12.5))
    (worker,) = roster.workers()
    assert worker.since_seconds >= 0.3
    assert (worker.frames, worker.total, worker.fps, worker.row) == (7, 50, 12.5, "one")
    roster.announce(record(**{**BUSY, "attempt": "a2"}))
    assert roster.workers()[0].since_seconds < 0.3, "another attempt at the same job begins anew"


def test_a_worker_that_stops_is_marked_until_another_of_its_name_begins(roster):
    roster.enrol(record(**BUSY))
    roster.stopping("worker1@here")
    roster.announce(record(**BUSY))
    assert [(each.doing, each.row) for each in roster.workers()] == [("stopping", "one")]
    roster.enrol(record())
    assert [each.doing for each in roster.workers()] == ["idle"]


def test_a_worker_that_has_left_is_not_brought_back_by_stopping(roster):
    roster.stopping("worker1@here")
    assert roster.workers() == []


def test_a_record_of_another_version_is_a_worker_of_which_nothing_is_known(roster, settings):
    roster.announce(record())
    client = redis.Redis.from_url(settings.redis_url.get_secret_value())
    client.hset(f"{settings.namespace}:worker:worker1@here", "record", '{"schema_version": 2, "name": "x"}')
    client.close()
    assert [(each.name, each.doing) for each in roster.workers()] == [("worker1@here", "unknown")]


def test_without_redis_the_broker_is_away(settings):
    away = Roster(settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")}))
    with pytest.raises(BrokerUnavailable, match="roster of workers"):
        away.workers()
