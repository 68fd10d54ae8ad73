"""Logs of running attempts, as somebody who looks on reads them."""

import pytest
import redis
from pydantic import SecretStr

from contract import livelog
from contract.errors import BrokerUnavailable
from contract.livelog import ENDED_SECONDS, KEEP_SECONDS, LiveLog

JOB = "j" * 64


@pytest.fixture
def log(settings):
    return LiveLog(settings)


@pytest.fixture
def lifetime(settings):
    client = redis.Redis.from_url(settings.redis_url.get_secret_value())
    yield lambda: client.ttl(f"{settings.namespace}:log:{JOB}")
    client.close()


def test_a_job_of_which_nothing_was_logged_has_no_lines(log):
    assert list(log.after(JOB)) == []


def test_lines_come_in_order_with_their_attempt_and_each_once(log):
    log.append(JOB, "a1", [b"one", b"two"])
    first, second = log.after(JOB)
    assert [(each.attempt, each.line) for each in (first, second)] == [("a1", "one"), ("a1", "two")]
    log.append(JOB, "a2", ["three, Zoë".encode()])
    (third,) = log.after(JOB, second.position)
    assert (third.attempt, third.line) == ("a2", "three, Zoë")
    assert list(log.after(JOB, third.position)) == []


def test_of_many_lines_the_last_are_kept(log, monkeypatch):
    monkeypatch.setattr(livelog, "LINES", 3)
    log.append(JOB, "a1", [b"%d" % number for number in range(5)])
    log.append(JOB, "a1", [b"5"])
    assert [each.line for each in log.after(JOB)] == ["3", "4", "5"]


def test_lines_go_by_themselves_and_soon_after_the_end_of_their_attempt(log, lifetime):
    log.append(JOB, "a1", [b"one"])
    assert KEEP_SECONDS - 10 < lifetime() <= KEEP_SECONDS
    log.ended(JOB)
    assert ENDED_SECONDS - 10 < lifetime() <= ENDED_SECONDS


def test_without_redis_the_broker_is_away(settings):
    away = LiveLog(settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")}))
    with pytest.raises(BrokerUnavailable, match="live logs"):
        list(away.after(JOB))
