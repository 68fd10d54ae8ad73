"""The backlog: said by feeders, read by a fleet, gone when nobody says it."""

import time
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from contract.backlog import Backlog, BacklogRecord
from contract.connection import connect
from contract.errors import BrokerUnavailable

SUBMITTED = datetime(2026, 1, 1, tzinfo=UTC)


def test_what_one_feeder_said_last_is_what_another_process_reads(settings):
    Backlog(settings).tell(BacklogRecord(batches=1, rows=9))
    Backlog(settings).tell(BacklogRecord(batches=2, rows=7, oldest=SUBMITTED))
    assert Backlog(settings).look() == BacklogRecord(batches=2, rows=7, oldest=SUBMITTED)


def test_before_any_feeder_spoke_nothing_is_known(settings):
    assert Backlog(settings).look() is None


def test_what_no_feeder_repeats_is_forgotten(settings):
    backlog = Backlog(settings, keep_seconds=0.2)
    backlog.tell(BacklogRecord(batches=1, rows=9))
    assert backlog.look()
    time.sleep(0.3)
    assert backlog.look() is None


@pytest.mark.parametrize("body", ["no JSON", "[]", '{"schema_version": 2, "batches": 1, "rows": 1}'])
def test_what_another_version_said_is_not_known(settings, body):
    client = connect(settings.redis_url.get_secret_value())
    client.set(f"{settings.namespace}:backlog", body)
    client.close()
    assert Backlog(settings).look() is None


def test_without_redis_the_broker_is_away(settings):
    away = Backlog(settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")}))
    with pytest.raises(BrokerUnavailable, match="does not serve the backlog"):
        away.look()
