"""The pace: the last jobs alone, their mean, and how many end in an hour."""

import pytest
from pydantic import SecretStr

from contract import pace
from contract.connection import connect
from contract.errors import BrokerUnavailable
from contract.pace import Pace


@pytest.fixture
def client(settings):
    client = connect(settings.redis_url.get_secret_value())
    yield client
    client.close()


def test_before_any_job_ended_nothing_is_known(settings):
    seen = Pace(settings).look()
    assert (seen.jobs, seen.seconds_per_job, seen.jobs_per_hour) == (0, None, 0.0)


def test_a_job_takes_as_long_as_the_last_ones_in_the_mean(settings):
    for seconds in (10, 20, 60):
        Pace(settings).note(seconds)
    seen = Pace(settings).look()
    assert (seen.jobs, seen.seconds_per_job) == (3, 30.0)
    assert seen.jobs_per_hour == 18, "three in the last ten minutes"


def test_jobs_of_long_ago_tell_how_long_a_job_takes_and_nothing_of_throughput(settings, client):
    now = client.time()[0]
    client.lpush(f"{settings.namespace}:pace", f"{now - 3600} 40.0")
    seen = Pace(settings).look()
    assert (seen.seconds_per_job, seen.jobs_per_hour) == (40.0, 0.0)


def test_only_the_last_jobs_are_kept_and_a_fast_fleet_s_throughput_is_theirs(settings, client, monkeypatch):
    monkeypatch.setattr(pace, "JOBS", 4)
    mine, key = Pace(settings), f"{settings.namespace}:pace"
    client.rpush(key, *[f"{client.time()[0] - 60} 5.0"] * 3)
    for _ in range(2):
        mine.note(9.0)
    seen = mine.look()
    assert (client.llen(key), seen.jobs, seen.seconds_per_job) == (4, 4, 7.0)
    assert seen.jobs_per_hour == pytest.approx(240, rel=0.05), "four in a minute"


def test_without_redis_the_broker_is_away(settings):
    away = Pace(settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")}))
    with pytest.raises(BrokerUnavailable, match="does not serve the pace"):
        away.note(1.0)
