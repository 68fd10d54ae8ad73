import base64
import json
import logging
import secrets
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

import pytest
import redis
from pydantic import SecretStr

from contract import keys
from contract.broker import PRIORITY_STEPS, QUEUE, make_app
from contract.errors import StoreUnavailable
from contract.job import Job, Row, Source
from contract.ledger import STATE_OF, Ledger
from contract.manifest import Attempt, Cost, Manifest, OutputRecord
from contract.summary import Summary
from producer import feeder as feeder_module
from producer.feeder import WINDOW_MARGIN, Feeder
from producer.local import Command, Service, valkey_program

SHORT_LEASE = 0.05
SUFFIXES = [f"\x06\x16{step}" if step else "" for step in PRIORITY_STEPS]
"""Of the queue's lists, in the order they are served."""


def rows(count, name="row", **kinds):
    return [
        Row(
            id=f"{name}-{number}",
            job=Job(
                video=Source(uri=f"s3://bucket/{name}-{number}.mp4", etag="1"),
                audio=Source(uri="s3://bucket/voice.wav", etag="2"),
            ),
            **kinds,
        )
        for number in range(count)
    ]


class Bench:
    """Feeders on real services, with a hand in the place of workers."""

    def __init__(self, storage, settings):
        self.storage, self.settings = storage, settings
        self.ledger = Ledger(settings)
        self.redis = redis.Redis.from_url(settings.redis_url.get_secret_value())
        self.open = ExitStack()
        self.open.callback(self.redis.close)

    def feeder(self, **changed):
        settings = self.settings.model_copy(update=changed)
        app = self.open.enter_context(make_app(settings))
        return Feeder(self.storage, Ledger(settings), app, settings)

    def submit(self, batch, batch_rows):
        lines = b"".join(row.model_dump_json().encode() + b"\n" for row in batch_rows)
        self.storage.put(keys.rows(batch), lines)

    def queued(self):
        """Ids of the rows whose messages are in the queue, in the order they will be served."""
        lists = [f"{self.settings.namespace}:{QUEUE}{suffix}" for suffix in SUFFIXES]
        bodies = [json.loads(each)["body"] for name in lists for each in self.redis.lrange(name, 0, -1)[::-1]]
        return [json.loads(base64.b64decode(each))[0][0]["row"]["id"] for each in bodies]

    def lose_messages(self):
        for key in self.redis.scan_iter(f"{self.settings.namespace}:{QUEUE}*"):
            self.redis.delete(key)

    def wipe(self):
        for key in self.redis.scan_iter(f"{self.settings.namespace}:*"):
            self.redis.delete(key)

    def commit(self, batch, row, status="succeeded", *, tell=True):
        """What a worker leaves behind; without `tell` it died between the commit and everything after."""
        video = keys.attempt(row.job.id, "a1", "video.mp4")
        moment = datetime.now(UTC)
        self.storage.put(video, row.id.encode())
        manifest = Manifest(
            status=status,
            job_id=row.job.id,
            batch=batch,
            row=row.id,
            job=row.job,
            attempt=Attempt(id="a1", number=1, host="bench", started=moment, ended=moment),
            output=record(video) if status == "succeeded" else None,
            cost=Cost(seconds=36.0, price_per_hour=1.0, currency="EUR", amount=0.01),
        )
        self.storage.put(keys.manifest(row.job.id), manifest.model_dump_json().encode())
        if tell:
            self.ledger.finish(row.job.id, STATE_OF[status])

    def summary(self, batch):
        body = self.storage.get(keys.summary(batch))
        return Summary.model_validate_json(body) if body else None

    @contextmanager
    def running(self, feeder):
        stop = threading.Event()
        thread = threading.Thread(target=feeder.run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(30)
            assert not thread.is_alive()


def record(key):
    return OutputRecord(
        key=key,
        bytes=1,
        sha256="0" * 64,
        frames=1500,
        fps="25",
        duration_seconds=60.0,
        width=64,
        height=64,
        video_codec="h264",
        audio_codec="aac",
    )


def until(true, seconds=20):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


@pytest.fixture
def bench(storage, settings):
    made = Bench(storage, settings)
    with made.open:
        yield made


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(feeder_module, "STEP_SECONDS", 0.05)


# --- the window


def test_of_1000_rows_only_a_window_is_in_the_queue(bench):
    bench.submit("batch", rows(1000))
    feeder = bench.feeder(fleet_size=3)
    for _ in range(3):
        feeder.step()
    assert bench.queued() == [f"row-{number}" for number in range(2 * 3 + WINDOW_MARGIN)]


def test_what_ends_makes_room_for_the_next_until_all_have_ended(bench):
    batch = rows(25)
    by_id = {row.id: row for row in batch}
    bench.submit("batch", batch)
    feeder = bench.feeder(fleet_size=1)
    served = []
    while bench.summary("batch") is None and len(served) <= len(batch):
        feeder.step()
        waiting = bench.queued()
        assert len(waiting) <= 2 + WINDOW_MARGIN
        bench.lose_messages()  # the hand takes them all
        for row in waiting:
            bench.commit("batch", by_id[row])
        served += waiting
    assert sorted(served) == sorted(by_id)


def test_rows_that_wait_after_a_failure_take_no_place_in_the_window(bench):
    batch = rows(20)
    bench.submit("batch", batch)
    feeder = bench.feeder(fleet_size=1)
    feeder.step()
    size = len(bench.queued())
    for row in batch[:size]:
        bench.ledger.claim(row.job.id, "worker", 30)
        bench.ledger.release(row.job.id, "worker", delay_seconds=60)
    bench.lose_messages()
    feeder.step()
    feeder.step()
    assert bench.queued() == [row.id for row in batch[size : 2 * size]]


def test_open_batches_take_turns(bench):
    bench.submit("a", rows(50, "a"))
    bench.submit("b", rows(50, "b"))
    bench.submit("c", rows(1, "c"))
    bench.feeder(fleet_size=2).step()
    assert Counter(each[0] for each in bench.queued()) == {"a": 4, "b": 3, "c": 1}


def test_priority_orders_the_window(bench):
    bench.submit("a", rows(1, "a", priority="low") + rows(1, "b") + rows(1, "c", priority="high"))
    bench.feeder().step()
    assert bench.queued() == ["c-0", "b-0", "a-0"]


def test_a_long_batch_is_read_in_parts(bench, monkeypatch):
    monkeypatch.setattr("producer.openbatch.READ_ROWS", 3)
    bench.submit("batch", rows(8, "Grüße"))
    bench.feeder(fleet_size=2).step()
    assert bench.queued() == [f"Grüße-{number}" for number in range(8)]


# --- what got lost


def test_a_lost_message_is_published_again(bench):
    bench.submit("batch", rows(2))
    feeder = bench.feeder(lease_seconds=SHORT_LEASE)
    feeder.step()
    bench.lose_messages()
    feeder.step()
    assert bench.queued() == []
    time.sleep(3 * SHORT_LEASE)
    feeder.step()
    assert sorted(bench.queued()) == ["row-0", "row-1"]


def test_a_job_whose_worker_died_is_published_when_the_lease_expires(bench):
    batch = rows(1)
    bench.submit("batch", batch)
    feeder = bench.feeder()
    feeder.step()
    bench.lose_messages()
    bench.ledger.claim(batch[0].job.id, "worker", SHORT_LEASE)
    feeder.step()
    assert bench.queued() == []
    time.sleep(SHORT_LEASE)
    feeder.step()
    assert bench.queued() == ["row-0"]


@pytest.mark.parametrize("anew", [False, True], ids=["the same feeder", "a feeder that starts anew"])
def test_after_redis_was_wiped_nothing_committed_is_published(bench, anew):
    batch = rows(12)
    bench.submit("batch", batch)
    feeder = bench.feeder(fleet_size=8)
    feeder.step()
    for row in batch[::2]:
        bench.commit("batch", row, tell=False)
    bench.wipe()
    feeder = bench.feeder(fleet_size=8) if anew else feeder
    feeder.step()
    assert sorted(bench.queued()) == sorted(row.id for row in batch[1::2])


def test_a_feeder_that_starts_anew_without_a_ledger_passes_over_what_is_committed_in_one_step(bench):
    batch = rows(60)
    bench.submit("batch", batch)
    for row in batch[:50]:
        bench.commit("batch", row, "failed", tell=False)
    bench.feeder(fleet_size=1).step()
    assert bench.queued() == [row.id for row in batch[50 : 50 + 2 + WINDOW_MARGIN]]


def test_a_row_that_was_taken_when_the_store_went_away_is_fed_later(bench, monkeypatch):
    bench.submit("a", rows(1, "a"))
    bench.submit("b", rows(1, "b"))
    feeder = bench.feeder()
    lines = bench.storage.lines

    def away_for_b(address, start=0):
        if "/b/" in address:
            raise StoreUnavailable("away")
        return lines(address, start)

    monkeypatch.setattr(bench.storage, "lines", away_for_b)
    with pytest.raises(StoreUnavailable):
        feeder.step()
    monkeypatch.undo()
    feeder.step()
    assert sorted(bench.queued()) == ["a-0", "b-0"]


def test_a_ledger_that_calls_an_unfinished_job_done_is_corrected(bench, caplog):
    batch = rows(2)
    bench.submit("batch", batch)
    bench.ledger.finish(batch[0].job.id, "done")
    feeder = bench.feeder()
    feeder.step()
    feeder.step()
    assert sorted(bench.queued()) == ["row-0", "row-1"]
    assert bench.summary("batch") is None
    assert caplog.messages == ["batch batch: 1 jobs that the ledger calls ended have no manifest"]


def test_two_feeders_publish_each_job_once(bench):
    bench.submit("batch", rows(40))
    feeders = [bench.feeder(fleet_size=18) for _ in range(2)]
    threads = [threading.Thread(target=each.step) for each in feeders]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for each in feeders:
        each.step()
    assert sorted(bench.queued()) == sorted(row.id for row in rows(40))


# --- the end


def test_a_batch_whose_rows_have_ended_gets_its_summary_once(bench):
    batch = rows(4)
    bench.submit("batch", batch)
    for row, status in zip(batch, ("succeeded", "succeeded", "failed", "cancelled"), strict=True):
        bench.commit("batch", row, status, tell=False)
    feeder = bench.feeder()
    feeder.step()
    assert bench.summary("batch") == Summary(
        batch="batch",
        rows=4,
        succeeded=2,
        failed=1,
        cancelled=1,
        reused=0,
        output_minutes=2.0,
        cost=0.04,
        currency="EUR",
    )
    bench.storage.put(keys.summary("batch"), b"{}")
    feeder.step()
    bench.feeder().step()
    assert bench.storage.get(keys.summary("batch")) == b"{}"


def test_no_summary_while_a_row_has_not_ended(bench):
    batch = rows(3)
    bench.submit("batch", batch)
    for row in batch[:2]:
        bench.commit("batch", row)
    feeder = bench.feeder()
    feeder.step()
    feeder.step()
    assert bench.summary("batch") is None
    assert bench.queued() == ["row-2"]


def test_a_batch_without_rows_has_ended(bench):
    bench.submit("empty", [])
    bench.feeder().step()
    assert bench.summary("empty").rows == 0


def test_outputs_that_a_dying_worker_did_not_publish_are_published(bench):
    batch = rows(2)
    bench.submit("batch", batch)
    bench.commit("batch", batch[0], tell=False)
    bench.commit("batch", batch[1], "failed", tell=False)
    bench.feeder().step()
    assert [each.key for each in bench.storage.list(keys.OUTPUTS)] == [
        "outputs/batch/row-0.json",
        "outputs/batch/row-0.mp4",
    ]
    assert bench.storage.get(keys.output("batch", "row-0")) == b"row-0"


def test_work_that_another_batch_has_done_is_not_done_again_but_shown(bench):
    batch = rows(1)
    bench.submit("first", batch)
    bench.submit("second", batch)
    feeder = bench.feeder()
    feeder.step()
    assert bench.queued() == ["row-0"]
    bench.commit("first", batch[0])
    feeder.step()
    assert bench.storage.get(keys.output("second", "row-0")) == b"row-0"
    assert (bench.summary("first").reused, bench.summary("first").cost) == (0, 0.01)
    assert (bench.summary("second").reused, bench.summary("second").cost) == (1, 0.0)


def test_a_result_whose_video_is_gone_ends_its_row_and_is_said(bench, caplog):
    batch = rows(1)
    bench.submit("batch", batch)
    bench.commit("batch", batch[0])
    bench.storage.delete(keys.attempt(batch[0].job.id, "a1", "video.mp4"))
    bench.feeder().step()
    assert bench.summary("batch").succeeded == 1
    assert "row row-0 of batch batch has lost its video" in caplog.text


# --- calm


def test_a_batch_of_another_version_does_not_keep_the_others_from_being_fed(bench, caplog):
    bench.storage.put(keys.rows("future"), b'{"id": "x", "job": {"schema_version": 9}}\n')
    bench.submit("batch", rows(2))
    feeder = bench.feeder()
    for _ in range(3):
        feeder.step()
    assert sorted(bench.queued()) == ["row-0", "row-1"]
    assert bench.summary("future") is None
    assert [each.levelname for each in caplog.records if "future is set aside" in each.message] == ["ERROR"]


def test_a_manifest_of_another_version_sets_its_batch_aside(bench, caplog):
    batch = rows(1)
    bench.submit("batch", batch)
    bench.submit("other", rows(1, "other"))
    bench.storage.put(keys.manifest(batch[0].job.id), b'{"schema_version": 9}')
    feeder = bench.feeder()
    feeder.step()
    feeder.step()
    assert bench.queued() == ["other-0"]
    assert caplog.text.count("batch batch is set aside") == 1


def test_a_deleted_batch_is_fed_no_longer(bench):
    bench.submit("batch", rows(30))
    feeder = bench.feeder()
    feeder.step()
    bench.lose_messages()
    bench.storage.delete(keys.rows("batch"))
    bench.submit("other", rows(1, "other"))
    feeder.step()
    assert bench.queued() == ["other-0"]


@pytest.fixture
def own_broker(programs, tmp_path):
    """A Valkey that may be killed and started again on its port; it forgets everything."""
    config = tmp_path / "valkey.conf"
    port = secrets.SystemRandom().randrange(22_100, 32_000)
    config.write_text(f'bind 127.0.0.1\nport {port}\nsave ""\nappendonly no\n')
    running = []

    class Broker:
        url = f"redis://127.0.0.1:{port}/0"

        def start(self):
            client = redis.Redis.from_url(self.url)
            command = Command(
                "broker", [valkey_program(), str(config)], {}, tmp_path, lambda: answers(client)
            )
            running.append(Service(command, tmp_path / "broker.log"))
            running[-1].until_ready()
            client.close()

        def kill(self):
            running.pop().kill()

    yield Broker()
    for each in running:
        each.kill()


def answers(client):
    try:
        return client.ping()
    except redis.ConnectionError:
        return False


def test_a_broker_that_dies_and_comes_back_empty_costs_one_line_and_no_row(
    storage, settings, own_broker, quick, caplog
):
    caplog.set_level(logging.INFO, logger="producer.feeder")
    own_broker.start()
    bench = Bench(storage, settings.model_copy(update={"redis_url": SecretStr(own_broker.url)}))
    bench.submit("batch", rows(2))
    with bench.open, bench.running(bench.feeder()):
        until(lambda: len(bench.queued()) == 2)
        own_broker.kill()
        until(lambda: "the feeder waits" in caplog.text)
        bench.submit("late", rows(1, "late"))
        time.sleep(0.5)
        own_broker.start()
        until(lambda: sorted(bench.queued()) == ["late-0", "row-0", "row-1"])
    told = [each.message for each in caplog.records if each.levelname == "WARNING"]
    assert len(told) == 1
    assert told[0].startswith("the feeder waits: Redis does not serve the ledger")
    assert "the feeder goes on" in caplog.text
