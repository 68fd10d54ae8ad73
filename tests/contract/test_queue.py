"""The queue's figures, of real messages that a real broker holds."""

import json
import time

import pytest
import redis
from pydantic import SecretStr

from contract import broker
from contract.broker import LISTS, PRIORITY_STEPS, QUEUE, publish
from contract.errors import BrokerUnavailable
from contract.job import Delivery, Job, Row, Source
from contract.queue import Queue


def delivery(row="row", priority="normal"):
    job = Job(video=Source(uri="s3://b/v.mp4"), audio=Source(uri="s3://b/a.wav"))
    return Delivery(batch="batch", row=Row(id=row, job=job, priority=priority))


@pytest.fixture
def queue(settings):
    return Queue(settings)


@pytest.fixture
def client(settings):
    client = redis.Redis.from_url(settings.redis_url.get_secret_value())
    yield client
    client.close()


def test_an_empty_queue_has_no_oldest_message(queue):
    figures = queue.look()
    assert (figures.waiting, figures.held, figures.oldest_seconds) == (
        {"urgent": 0, "high": 0, "normal": 0, "low": 0},
        0,
        None,
    )
    assert figures.depth == 0


def test_every_list_that_a_worker_takes_from_is_counted():
    assert list(LISTS.values()) == PRIORITY_STEPS


def test_messages_are_counted_by_how_urgent_they_are(app, queue):
    for priority, count in (("low", 3), ("normal", 2), ("high", 1)):
        for _ in range(count):
            publish(app, delivery(priority=priority))
    publish(app, delivery(), urgent=True)
    figures = queue.look()
    assert figures.waiting == {"urgent": 1, "high": 1, "normal": 2, "low": 3}
    assert (figures.depth, figures.held) == (7, 0)


def test_a_message_that_is_taken_is_held_until_it_is_acknowledged(app, queue):
    publish(app, delivery("1"))
    publish(app, delivery("2"))
    with app.connection_for_read() as connection:
        taking = connection.SimpleQueue(QUEUE)
        message = taking.get(timeout=5)
        figures = queue.look()
        assert (figures.depth, figures.held) == (1, 1)
        message.ack()
        figures = queue.look()
        assert (figures.depth, figures.held) == (1, 0)
        taking.close()


def test_the_age_is_that_of_the_oldest_message_that_waits_of_whatever_priority(app, queue, monkeypatch):
    now = time.time()
    for priority, age in (("low", 90), ("low", 5), ("high", 40), ("normal", 10)):
        monkeypatch.setattr(broker.time, "time", lambda age=age: now - age)
        publish(app, delivery(priority=priority))
    monkeypatch.undo()
    assert queue.look().oldest_seconds == pytest.approx(90, abs=3)


def test_a_message_given_back_has_its_age_since_it_was_published(app, queue, monkeypatch):
    now = time.time()
    monkeypatch.setattr(broker.time, "time", lambda: now - 60)
    publish(app, delivery())
    monkeypatch.undo()
    with app.connection_for_read() as connection:
        taking = connection.SimpleQueue(QUEUE)
        taking.get(timeout=5).requeue()
        taking.close()
    figures = queue.look()
    assert figures.depth == 1
    assert figures.oldest_seconds == pytest.approx(60, abs=3)


def test_a_publisher_whose_clock_is_ahead_gives_no_age_below_zero(app, queue, monkeypatch):
    now = time.time()
    monkeypatch.setattr(broker.time, "time", lambda: now + 60)
    publish(app, delivery())
    monkeypatch.undo()
    assert queue.look().oldest_seconds == 0.0


@pytest.mark.parametrize("message", ["no JSON", "[]", "{}", json.dumps({"headers": {"published": "noon"}})])
def test_a_stranger_s_message_counts_and_has_no_age(queue, client, settings, message):
    client.lpush(f"{settings.namespace}:{QUEUE}", message)
    figures = queue.look()
    assert (figures.waiting["urgent"], figures.oldest_seconds) == (1, None)


def test_without_redis_the_broker_is_away(settings):
    away = Queue(settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")}))
    with pytest.raises(BrokerUnavailable, match="does not serve the queue"):
        away.look()
