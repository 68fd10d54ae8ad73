import socket
import time
from queue import SimpleQueue

import pytest
import redis
from celery import signals
from celery.contrib.testing.worker import start_worker
from pydantic import SecretStr

from contract.broker import (
    LIMIT_MARGIN_SECONDS,
    QUEUE,
    TASK,
    VISIBILITY_SECONDS,
    delivery_tag,
    job_named,
    make_app,
    publish,
)
from contract.errors import BrokerUnavailable, ConfigurationError
from contract.job import Delivery, Job, JobOptions, Row, Source
from contract.ledger import Progress


def delivery(row="row", priority="normal", **options):
    job = Job(
        video=Source(uri="s3://private-bucket/face.mp4"),
        audio=Source(uri="s3://private-bucket/voice.wav"),
        options=JobOptions(**options),
    )
    return Delivery(batch="batch", row=Row(id=row, job=job, priority=priority))


@pytest.fixture
def messages(app):
    """Take everything that is in the queue, as a worker does, first served first."""

    def take():
        with app.connection_for_read() as connection:
            queue = connection.SimpleQueue(QUEUE)
            taken = []
            while message := queue.queue(queue.channel).get():
                taken.append(message)
            for message in taken:
                message.ack()
            queue.close()
            return taken

    return take


def test_a_published_job_arrives_as_it_was_sent(app, messages):
    sent = delivery(sync_mode="loop", face=2)
    publish(app, sent)
    (message,) = messages()
    (argument,), _, _ = message.payload
    assert Delivery.model_validate(argument) == sent
    assert message.headers["task"] == TASK
    assert message.content_type == "application/json"


def test_flower_shows_batch_row_job_and_engine_and_never_keys(app, messages):
    sent = delivery()
    publish(app, sent)
    (message,) = messages()
    shown = message.headers["argsrepr"]
    assert shown == f"row of batch, preview, job {sent.row.job.id[:12]}"


def test_high_is_served_before_normal_before_low_and_equals_in_order(app, messages):
    for row, priority in (("1", "low"), ("2", "normal"), ("3", "high"), ("4", "normal")):
        publish(app, delivery(row, priority))
    assert [message.payload[0][0]["row"]["id"] for message in messages()] == ["3", "2", "4", "1"]


def test_an_urgent_job_is_served_before_all_others(app, messages):
    publish(app, delivery("1", "high"))
    publish(app, delivery("2", "low"), urgent=True)
    assert [message.payload[0][0]["row"]["id"] for message in messages()] == ["2", "1"]


def test_a_message_says_when_its_job_s_process_is_killed(settings, messages):
    limited = delivery()
    limited = limited.model_copy(update={"row": limited.row.model_copy(update={"time_limit_seconds": 90.0})})
    with make_app(settings.model_copy(update={"time_limit_seconds": 1234.0})) as app:
        publish(app, limited)
        publish(app, delivery())
    limits = [message.headers["timelimit"][0] - LIMIT_MARGIN_SECONDS for message in messages()]
    assert limits == [90.0, 1234.0]


def test_namespaces_do_not_see_each_other(app, settings, messages):
    with make_app(settings.model_copy(update={"namespace": settings.namespace + "-other"})) as other:
        publish(other, delivery())
    assert messages() == []


def test_a_beat_renews_the_broker_s_own_lease_of_the_message(app, settings, ledger):
    publish(app, delivery())
    client = redis.Redis.from_url(settings.redis_url.get_secret_value())
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue(QUEUE)
        message = queue.get(timeout=5)
        index = f"{settings.namespace}:unacked_index"
        taken = client.zscore(index, message.delivery_tag)
        client.zadd(index, {message.delivery_tag: taken - VISIBILITY_SECONDS + 5})  # nearly given to another
        ledger.claim("job", "owner", 30)
        assert ledger.beat("job", "owner", 30, message.delivery_tag, Progress("generating"))
        assert client.zscore(index, message.delivery_tag) == pytest.approx(time.time(), abs=2)
        message.ack()
        assert ledger.beat("job", "owner", 30, message.delivery_tag, Progress("generating"))
        assert client.zcard(index) == 0, "a beat after the acknowledgement must not bring the message back"
        queue.close()
    client.close()


@pytest.fixture
def _logging_left_alone():
    """A worker in this process would set the level of its root logger, for all tests that follow."""

    def ours(**_):
        pass

    signals.setup_logging.connect(ours)
    yield
    signals.setup_logging.disconnect(ours)


@pytest.mark.usefixtures("_logging_left_alone")
def test_a_task_knows_the_tag_of_its_delivery_under_which_the_broker_holds_the_message(app, settings):
    seen = SimpleQueue()
    client = redis.Redis.from_url(settings.redis_url.get_secret_value(), decode_responses=True)

    @app.task(name=TASK, bind=True, shared=False)
    def render(self, _):
        named = job_named(self.request)
        seen.put(
            (named, delivery_tag(self.request), client.zrange(f"{settings.namespace}:unacked_index", 0, -1))
        )

    publish(app, delivery())
    with start_worker(app, pool="solo", perform_ping_check=False):
        named, tag, held = seen.get(timeout=20)
    client.close()
    assert held == [tag]
    assert named == delivery().row.job.id


def test_no_answer_is_stored_in_redis(app):
    assert app.conf.result_backend is None
    assert app.conf.task_ignore_result


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("task_acks_late", "a message is held until its job ended"),
        ("task_reject_on_worker_lost", "a killed child's message goes to another worker"),
    ],
)
def test_a_message_outlives_its_worker(app, setting, why):
    assert app.conf[setting], why


def test_a_redis_that_is_away_is_broker_unavailable_within_bounded_time(settings):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    url = SecretStr(f"redis://:secret@127.0.0.1:{port}/0")
    start = time.monotonic()
    with (
        make_app(settings.model_copy(update={"redis_url": url})) as app,
        pytest.raises(BrokerUnavailable, match="DUBLINE_REDIS_URL") as caught,
    ):
        publish(app, delivery())
    assert time.monotonic() - start < 20
    assert "secret" not in str(caught.value)


def test_a_wrong_password_is_a_configuration_error(settings):
    url = settings.redis_url.get_secret_value().replace("redis://:", "redis://:not")
    with (
        make_app(settings.model_copy(update={"redis_url": SecretStr(url)})) as app,
        pytest.raises(ConfigurationError, match="DUBLINE_REDIS_URL"),
    ):
        app.conf.broker_connection_timeout = 0.1
        publish(app, delivery())
