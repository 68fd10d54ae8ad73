import base64
import json
import logging
import secrets
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from pydantic import SecretStr

from contract import keys
from contract.backlog import Backlog
from contract.broker import LIMIT_MARGIN_SECONDS, PRIORITY_STEPS, QUEUE, make_app, publish
from contract.cancel import CancelRequest
from contract.connection import connect
from contract.errors import BrokerUnavailable, InputRejected, NotFound, StoreRefused, StoreUnavailable
from contract.job import Delivery, Job, Row, Source
from contract.ledger import STATE_OF, Ledger, Progress
from contract.manifest import Attempt, Cost, Manifest, OutputRecord
from contract.storage import Storage
from contract.summary import Summary
from contract.webhook import BatchWebhook
from contract.workers import Roster, WorkerRecord
from producer import courier as courier_module
from producer import feeder as feeder_module
from producer.feeder import WINDOW_MARGIN, Feeder, resume
from producer.local import _environment, _free_ports
from producer.requeue import requeue_rows
from tests.figures import samples

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


def delivery_of(message):
    """What a message of the queue asks for."""
    return Delivery.model_validate(json.loads(base64.b64decode(json.loads(message)["body"]))[0][0])


class Bench:
    """Feeders on real services, with a hand in the place of workers."""

    def __init__(self, storage, settings):
        self.storage, self.settings = storage, settings
        self.ledger = Ledger(settings)
        self.redis = connect(settings.redis_url.get_secret_value())
        self.ended = []
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
        return [
            delivery_of(each).row.id
            for name in self._lists()
            for each in self.redis.lrange(name, 0, -1)[::-1]
        ]

    def _lists(self):
        return [f"{self.settings.namespace}:{QUEUE}{suffix}" for suffix in SUFFIXES]

    def take(self):
        """Take the message that a worker would be given next."""
        for name in self._lists():
            if body := self.redis.rpop(name):
                return delivery_of(body)
        raise AssertionError("the queue is empty")

    def end_all_that_is_queued(self, status="succeeded"):
        """A fleet takes all messages and ends their jobs at once."""
        while any(self.redis.llen(each) for each in self._lists()):
            taken = self.take()
            self.ended.append(taken.row.id)
            self.commit(taken.batch, taken.row, status)

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


def test_the_window_grows_with_the_workers_that_are_there(bench):
    roster = Roster(bench.settings)
    for number in range(5):
        roster.announce(WorkerRecord(name=f"worker@{number}", host="here"))
    bench.submit("batch", rows(100))
    feeder = bench.feeder(fleet_size=3)
    feeder.step()
    assert len(bench.queued()) == 2 * 5 + WINDOW_MARGIN
    for number in range(5):
        roster.leave(f"worker@{number}")
    bench.lose_messages()
    bench.end_all_that_is_queued()
    feeder.step()
    assert feeder._window_size == 2 * 3 + WINDOW_MARGIN


# --- the backlog


def test_a_fleet_is_told_how_many_rows_have_not_ended_of_how_many_batches(bench):
    bench.submit("one", rows(40, "a"))
    bench.submit("two", rows(7, "b"))
    feeder = bench.feeder(fleet_size=2)
    feeder.step()
    seen = Backlog(bench.settings).look()
    assert (seen.batches, seen.rows) == (2, 47)
    assert seen.oldest == bench.storage.stat(keys.rows("one")).modified
    bench.end_all_that_is_queued()
    feeder.step()
    assert Backlog(bench.settings).look().rows == 47 - len(bench.ended)


def test_a_backlog_that_ended_is_none(bench):
    bench.submit("one", rows(3))
    feeder = bench.feeder()
    feeder.step()
    bench.end_all_that_is_queued()
    feeder.step()
    seen = Backlog(bench.settings).look()
    assert (seen.batches, seen.rows, seen.oldest) == (0, 0, None)


def test_of_a_batch_whose_rows_are_not_all_read_the_rest_is_told_by_their_length(bench, monkeypatch):
    monkeypatch.setattr("producer.openbatch.READ_ROWS", 50)
    bench.submit("long", rows(1000))
    bench.feeder().step()
    assert Backlog(bench.settings).look().rows == pytest.approx(1000, rel=0.05)


def test_a_batch_that_is_cancelled_as_a_whole_is_no_backlog(bench):
    bench.submit("one", rows(30))
    feeder = bench.feeder()
    feeder.step()
    bench.storage.put(
        keys.cancelled("one"), CancelRequest(asked=datetime.now(UTC)).model_dump_json().encode()
    )
    feeder.step()
    feeder.step()
    assert Backlog(bench.settings).look().rows == 0


def test_a_feeder_of_one_batch_tells_no_backlog(bench, storage, settings):
    bench.submit("one", rows(3))
    with make_app(settings) as app:
        Feeder(storage, Ledger(settings), app, settings, only="one").step()
    assert Backlog(settings).look() is None


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


def test_50_rows_submitted_after_50000_do_not_wait_for_them(bench):
    line = rows(1, "large")[0].model_dump_json().encode() + b"\n"
    lines = b"".join(line.replace(b"large-0", b"large-%d" % number) for number in range(50_000))
    bench.storage.put(keys.rows("large"), lines)
    feeder = bench.feeder(fleet_size=4)
    feeder.step()
    published = bench.queued()
    bench.submit("small", rows(50, "small"))
    while "small-49" not in published and len(published) < 1000:
        bench.end_all_that_is_queued(status="failed")
        feeder.step()
        published += bench.queued()
    window = 2 * 4 + WINDOW_MARGIN
    assert "small-49" in published[: window + 2 * 50]
    assert sum(name.startswith("small") for name in published) == 50


def test_priorities_share_the_window_four_to_two_to_one_and_batches_of_one_priority_evenly(bench):
    for name, priority in (("h", "high"), ("n", "normal"), ("m", "normal"), ("l", "low")):
        bench.submit(name, rows(40, name, priority=priority))
    bench.feeder(fleet_size=19).step()  # a window of 42, six turns of seven
    assert Counter(each[0] for each in bench.queued()) == {"h": 24, "n": 6, "m": 6, "l": 6}


def test_priorities_without_rows_leave_their_turns_to_the_others(bench):
    bench.submit("l", rows(20, "l", priority="low"))
    bench.feeder(fleet_size=3).step()
    assert len(bench.queued()) == 2 * 3 + WINDOW_MARGIN


def test_one_worker_that_serves_strictly_by_priority_serves_low_rows_all_the_while(bench):
    batches = {name: rows(60, name, priority=name) for name in ("high", "normal", "low")}
    for name, batch_rows in batches.items():
        bench.submit(name, batch_rows)
    feeder, kinds = bench.feeder(fleet_size=1), []
    for _ in range(70):
        feeder.step()
        taken = bench.take()
        bench.commit(taken.batch, taken.row)
        kinds.append(taken.row.priority)
    counts = Counter(kinds)
    assert counts["high"] > counts["normal"] > counts["low"] >= 6
    places = [place for place, kind in enumerate(kinds) if kind == "low"]
    gaps = [after - before for before, after in pairwise([0, *places, len(kinds)])]
    assert max(gaps) <= 7 * (2 + WINDOW_MARGIN), (
        "a low row waits for a few windows, not for the end of the others"
    )


def test_a_high_row_at_the_end_of_a_long_batch_goes_before_the_low_ones_ahead_of_it(bench, monkeypatch):
    monkeypatch.setattr("producer.openbatch.SKIP_ROWS", 100)
    bench.submit("batch", rows(350, "low", priority="low") + rows(1, "high", priority="high"))
    feeder = bench.feeder(fleet_size=1)
    for _ in range(4):  # a part of the batch is passed over in each step
        feeder.step()
        bench.end_all_that_is_queued()
    feeder.step()
    assert "high-0" in bench.ended
    assert len(bench.ended) < 50


def test_a_job_that_was_preempted_goes_before_all_others(bench):
    batch = rows(1, "low", priority="low")
    bench.submit("batch", batch)
    feeder = bench.feeder()
    feeder.step()
    bench.lose_messages()
    bench.ledger.claim(batch[0].job.id, "worker", 30)
    bench.submit("other", rows(3, "high", priority="high"))
    feeder.step()
    bench.ledger.release(batch[0].job.id, "worker", counts="preempted")
    feeder.step()
    assert bench.queued() == ["low-0", "high-0", "high-1", "high-2"]


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


def test_a_job_whose_worker_died_is_published_before_all_others_when_the_lease_expires(bench):
    batch = rows(1, "low", priority="low")
    bench.submit("batch", batch)
    feeder = bench.feeder()
    feeder.step()
    bench.lose_messages()
    bench.ledger.claim(batch[0].job.id, "worker", SHORT_LEASE)
    feeder.step()
    assert bench.queued() == []
    bench.submit("other", rows(2, "high", priority="high"))
    time.sleep(SHORT_LEASE)
    feeder.step()
    assert bench.queued() == ["low-0", "high-0", "high-1"]


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


def test_two_feeders_go_on_where_a_third_died_between_its_word_to_the_ledger_and_its_message(
    bench, monkeypatch
):
    batch = rows(30)
    bench.submit("batch", batch)
    lease = 0.4
    dying, *living = (bench.feeder(fleet_size=13, lease_seconds=lease) for _ in range(3))
    sent = []

    def publish_three(app, delivery, **kinds):
        if len(sent) == 3:
            raise SystemExit  # no error that it could answer with taking its word back
        sent.append(delivery.row.id)
        publish(app, delivery, **kinds)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(feeder_module, "publish", publish_three)
        dying.step()
    for feeder in living:
        feeder.step()
    assert bench.queued() == sent, "the rest counts as sent until its time is over"
    time.sleep(3 * lease)
    for feeder in living:
        feeder.step()
    assert set(bench.queued()) == {row.id for row in batch}
    bench.end_all_that_is_queued()
    for feeder in living:
        feeder.step()
    assert bench.summary("batch").succeeded == 30


def test_a_redis_wiped_in_the_middle_of_a_batch_costs_no_row_and_repeats_none_that_has_a_result(bench):
    batch = rows(40)
    bench.submit("batch", batch)
    feeders = [bench.feeder(fleet_size=4) for _ in range(2)]
    for turn in range(60):
        for feeder in feeders:
            feeder.step()
        if turn % 5 == 2:
            bench.wipe()
        elif bench.queued():
            taken = bench.take()
            bench.ended.append(taken.row.id)
            bench.commit(taken.batch, taken.row, tell=turn % 3 > 0)
    assert len(bench.ended) == len(set(bench.ended)) >= 38


def test_a_retry_that_redis_forgot_is_published(bench):
    batch = rows(1)
    bench.submit("batch", batch)
    feeder = bench.feeder()
    feeder.step()
    bench.lose_messages()
    bench.ledger.claim(batch[0].job.id, "worker", 30)
    bench.ledger.release(batch[0].job.id, "worker", delay_seconds=3600)
    feeder.step()
    assert bench.queued() == []
    bench.wipe()
    feeder.step()
    assert bench.queued() == ["row-0"]


def test_messages_that_were_published_twice_end_in_one_row_of_the_summary(bench):
    batch = rows(3)
    bench.submit("batch", batch)
    feeder = bench.feeder()
    feeder.step()
    for row in batch:
        publish(feeder._app, Delivery(batch="batch", row=row))
    assert len(bench.queued()) == 6
    bench.end_all_that_is_queued()
    feeder.step()
    assert (bench.summary("batch").rows, bench.summary("batch").succeeded) == (3, 3)


def test_a_row_s_own_time_limit_goes_with_its_message_and_the_setting_s_with_those_of_others(bench):
    own = rows(1, "own", time_limit_seconds=90.0)
    bench.submit("batch", own + rows(1, "other"))
    bench.feeder(time_limit_seconds=1234.0).step()
    found = {
        delivery_of(message).row.id: json.loads(message)["headers"]["timelimit"][0]
        for name in bench._lists()
        for message in bench.redis.lrange(name, 0, -1)
    }
    assert found == {"own-0": 90.0 + LIMIT_MARGIN_SECONDS, "other-0": 1234.0 + LIMIT_MARGIN_SECONDS}


# --- what a person does not want


def wish(bench, batch, *names):
    wanted = CancelRequest(rows=names or None, asked=datetime.now(UTC))
    bench.storage.put(keys.cancelled(batch), wanted.model_dump_json().encode())


def manifest_of(bench, row):
    body = bench.storage.get(keys.manifest(row.job.id))
    return Manifest.model_validate_json(body) if body else None


def test_a_cancelled_batch_ends_without_another_row_being_published(bench, monkeypatch):
    monkeypatch.setattr(feeder_module, "CANCEL_ROWS", 40)
    batch = rows(100)
    bench.submit("batch", batch)
    feeder = bench.feeder()
    feeder.step()
    published = bench.queued()
    wish(bench, "batch")
    for _ in range(4):
        feeder.step()
    assert bench.queued() == published, "what was published is refused when it is claimed"
    summary = bench.summary("batch")
    assert (summary.rows, summary.cancelled) == (100, 100)
    found = manifest_of(bench, batch[99])
    assert (found.status, found.attempt.number, found.error.code) == ("cancelled", 0, "cancelled")
    assert {bench.ledger.claim(row.job.id, "worker", 30).outcome for row in batch[:5]} == {"ended"}


def test_cancelled_rows_end_wherever_they_stand_and_the_others_are_rendered(bench):
    batch = rows(40)
    bench.submit("batch", batch)
    feeder = bench.feeder()
    feeder.step()
    wish(bench, "batch", "row-1", "row-39")
    feeder.step()
    assert [manifest_of(bench, batch[each]).status for each in (1, 39)] == ["cancelled", "cancelled"]
    bench.redis.delete(*bench._lists())
    for row in batch:
        if manifest_of(bench, row) is None:
            bench.commit("batch", row)
    for _ in range(3):
        feeder.step()
    assert (bench.summary("batch").succeeded, bench.summary("batch").cancelled) == (38, 2)


def test_a_cancelled_row_that_a_worker_holds_is_left_to_it_and_the_worker_is_told(bench):
    batch = rows(1)
    bench.submit("batch", batch)
    feeder = bench.feeder()
    feeder.step()
    job = batch[0].job.id
    bench.ledger.claim(job, "worker", 30)
    wish(bench, "batch")
    for _ in range(2):
        feeder.step()
    assert manifest_of(bench, batch[0]) is None
    assert bench.ledger.beat(job, "worker", 30, "tag", Progress("generating")) == "cancelled"
    bench.commit("batch", batch[0], "cancelled")
    feeder.step()
    assert bench.summary("batch").cancelled == 1


def test_a_cancelled_row_whose_worker_died_is_ended_when_its_lease_is_over(bench):
    batch = rows(1)
    bench.submit("batch", batch)
    feeder = bench.feeder()
    feeder.step()
    bench.ledger.claim(batch[0].job.id, "worker", SHORT_LEASE)
    wish(bench, "batch")
    time.sleep(SHORT_LEASE * 1.5)
    feeder.step()
    assert manifest_of(bench, batch[0]).status == "cancelled"


def test_after_a_wipe_a_worker_that_runs_a_cancelled_row_is_told_again(bench):
    batch = rows(1)
    bench.submit("batch", batch)
    feeder = bench.feeder()
    feeder.step()
    job = batch[0].job.id
    bench.ledger.claim(job, "worker", 30)
    wish(bench, "batch")
    feeder.step()
    bench.wipe()
    assert bench.ledger.beat(job, "worker", 30, "tag", Progress("generating")) == "held"
    feeder.step()
    assert bench.ledger.beat(job, "worker", 30, "tag", Progress("generating")) == "cancelled"


def test_a_wish_that_comes_after_the_result_changes_nothing(bench):
    batch = rows(2)
    bench.submit("batch", batch)
    bench.commit("batch", batch[0], tell=False)
    wish(bench, "batch")
    bench.feeder().step()
    summary = bench.summary("batch")
    assert (summary.succeeded, summary.cancelled) == (1, 1)
    assert manifest_of(bench, batch[0]).status == "succeeded"


def test_a_wish_that_is_taken_back_is_forgotten(bench):
    batch = rows(30)
    bench.submit("batch", batch)
    feeder = bench.feeder()
    wish(bench, "batch", "row-20")
    feeder.step()
    bench.storage.delete(keys.cancelled("batch"))
    bench.storage.delete(keys.manifest(batch[20].job.id))
    bench.ledger.forget(batch[20].job.id)
    while len(bench.ended) < 30 and bench.queued():
        bench.end_all_that_is_queued()
        feeder.step()
    assert bench.summary("batch").succeeded == 30


def test_a_wish_of_another_version_sets_the_batch_aside_rather_than_rendering_it(bench, caplog):
    bench.storage.put(keys.cancelled("batch"), b'{"schema_version": 9}')
    bench.submit("batch", rows(2))
    bench.feeder().step()
    assert bench.queued() == []
    assert "batch batch is set aside" in caplog.text


# --- rows that are rendered after all


def requeue(bench, batch, row):
    bench.storage.delete(keys.manifest(row.job.id))
    bench.ledger.forget(row.job.id)
    bench.storage.put(keys.requeued(batch), secrets.token_hex(8).encode())
    bench.storage.delete(keys.summary(batch))


def test_a_requeued_row_of_an_open_batch_is_published_though_it_was_counted(bench):
    batch = rows(2)
    bench.submit("batch", batch)
    bench.commit("batch", batch[0], "failed")
    feeder = bench.feeder()
    feeder.step()
    bench.lose_messages()
    requeue(bench, "batch", batch[0])
    feeder.step()
    assert bench.queued() == ["row-0"]
    bench.commit("batch", batch[0])
    bench.commit("batch", batch[1])
    feeder.step()
    assert (bench.summary("batch").succeeded, bench.summary("batch").failed) == (2, 0)


def test_a_batch_is_not_closed_over_a_row_that_is_requeued_at_that_moment(bench, monkeypatch):
    batch = rows(1)
    bench.submit("batch", batch)
    bench.commit("batch", batch[0], "failed")
    feeder = bench.feeder()
    put = bench.storage.put_if_absent

    def requeued_just_before(key, *rest):
        monkeypatch.undo()
        requeue(bench, "batch", batch[0])
        return put(key, *rest)

    monkeypatch.setattr(bench.storage, "put_if_absent", requeued_just_before)
    feeder.step()
    feeder.step()
    assert bench.queued() == ["row-0"]
    assert bench.summary("batch") is None


# --- the process


FEEDER = [sys.executable, "-m", "producer.cli", "feeder"]


def test_a_store_that_ignores_a_condition_is_refused_by_a_feeder(settings, small_store):
    careless = settings.model_copy(update={"s3_endpoint": small_store({("PUT", "If-None-Match")})})
    done = subprocess.run(FEEDER, env=_environment(careless), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "error [store_refused]: " in done.stderr and "8 of 8 won a put" in done.stderr


def test_a_feeder_that_starts_while_the_store_is_away_waits_and_may_be_stopped(settings):
    away = settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:1"})
    with subprocess.Popen(FEEDER, env=_environment(away), stderr=subprocess.PIPE, text=True) as process:
        told = process.stderr.readline()
        process.terminate()
        assert process.wait(20) == 0
    assert "the start waits: http://127.0.0.1:1 did not answer" in told


# --- its metrics


def test_a_feeder_tells_prometheus_of_its_batches_and_of_the_looks_that_failed(bench, monkeypatch):
    bench.submit("batch", rows(3))
    feeder, stop = bench.feeder(), threading.Event()
    monkeypatch.setattr("producer.feeder.STEP_SECONDS", 0.01)
    step, failing = feeder.step, [StoreUnavailable("away"), BrokerUnavailable("away")]

    def step_twice_in_an_outage():
        if failing:
            raise failing.pop()
        step()
        stop.set()

    monkeypatch.setattr(feeder, "step", step_twice_in_an_outage)
    feeder.run(stop)
    told = samples(feeder.metrics.registry)
    assert (told["dubline_batches_open"], told["dubline_rows_taken"]) == (1, 3)
    for code in ("store_unavailable", "broker_unavailable"):
        assert told[f'dubline_feeder_step_failures_total{{code="{code}"}}'] == 1
    assert time.time() - told["dubline_feeder_step_timestamp_seconds"] < 600


def test_a_feeder_serves_its_metrics_and_the_queues_also_while_the_store_is_away(settings):
    (port,) = _free_ports(1)
    away = settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:1", "metrics_port": port})
    with subprocess.Popen(FEEDER, env=_environment(away), stderr=subprocess.PIPE, text=True) as process:
        process.stderr.readline()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        process.terminate()
        assert process.wait(20) == 0
    assert "dubline_redis_up 1.0" in text and 'dubline_queue_depth{priority="normal"} 0.0' in text
    assert "dubline_feeder_step_timestamp_seconds 0.0" in text


# --- one batch alone


def test_resuming_a_batch_feeds_it_alone_until_it_has_ended(bench, quick):
    mine, other = rows(12, "mine"), rows(3, "other")
    bench.submit("mine", mine)
    bench.submit("other", other)
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(resume, bench.settings, "mine", stop)
        try:
            until(lambda: bench.end_all_that_is_queued() or len(bench.ended) == 12)
            summary = result.result(20)
        finally:
            stop.set()
    assert (summary.batch, summary.succeeded) == ("mine", 12)
    assert sorted(bench.ended) == sorted(row.id for row in mine)
    assert resume(bench.settings, "mine") == summary, "of an ended batch it tells what became of it"


def test_a_store_that_ignores_a_condition_is_refused_by_resume(settings, small_store):
    careless = settings.model_copy(update={"s3_endpoint": small_store({("DELETE", "If-Match")})})
    Storage(careless).put(keys.rows("batch"), rows(1)[0].model_dump_json().encode())
    with pytest.raises(StoreRefused, match="a deletion of a version that is gone"):
        resume(careless, "batch")


def test_resuming_a_batch_that_cannot_be_fed_says_why(bench):
    with pytest.raises(NotFound, match="there is no batch mine"):
        resume(bench.settings, "mine")
    bench.storage.put(keys.rows("future"), b'{"id": "x", "job": {"schema_version": 9}}\n')
    with pytest.raises(InputRejected, match=r"(?s)batch future cannot be fed.*schema_version"):
        resume(bench.settings, "future")


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
    assert told[0].startswith(
        "the feeder waits: Redis does not "
    )  # serve, or take messages: what it asked first
    assert "the feeder goes on" in caplog.text


def test_a_failover_behind_sentinels_costs_one_line_and_no_row(
    storage, settings, failing_over, quick, caplog
):
    caplog.set_level(logging.INFO, logger="producer.feeder")
    master, url = failing_over
    bench = Bench(storage, settings.model_copy(update={"redis_url": SecretStr(url), "lease_seconds": 0.5}))
    batch = rows(3)
    bench.submit("batch", batch)
    with bench.open, bench.running(bench.feeder(lease_seconds=0.5)):
        until(lambda: len(bench.queued()) == 3)
        held = batch[0].job.id
        assert bench.ledger.claim(held, "worker", 30).outcome == "claimed"
        master.kill()
        until(lambda: "the feeder goes on" in caplog.text)
        assert bench.ledger.beat(held, "worker", 30, "tag", Progress("generating")) == "held"
        bench.submit("late", rows(1, "late"))
        until(lambda: {"late-0", "row-1", "row-2"} <= set(bench.queued()))
    told = [
        each.message for each in caplog.records if each.name == "producer.feeder" and each.levelname != "INFO"
    ]
    assert len(told) == 1
    assert told[0].startswith(
        "the feeder waits: Redis does not "
    )  # serve, or take messages: what it asked first
    assert caplog.text.count("the feeder goes on") == 1


# --- webhooks


@pytest.fixture
def hooked(bench, site, monkeypatch):
    """Feeders whose couriers reach the site, and a batch of three rows that names it."""
    site.answers["/hook"] = lambda handler: handler.say(204)
    monkeypatch.setattr(courier_module, "Outside", lambda _: site.outside)
    secret = SecretStr("whsec_" + base64.b64encode(b"s" * 32).decode())
    bench.settings = bench.settings.model_copy(update={"webhook_secret": secret})
    batch = rows(3, webhook_url=site.url("/hook"))
    bench.storage.put(keys.webhook("batch"), BatchWebhook(url=site.url("/hook")).model_dump_json().encode())
    bench.submit("batch", batch)
    return batch


def told(site):
    """Events by their id, as the site was told them; an event that came twice is there twice."""
    events = [(each.headers["webhook-id"], json.loads(each.body)) for each in site.asked]
    return [(name, event["type"], event["data"].get("row")) for name, event in events]


def test_a_webhook_is_told_of_every_row_and_of_the_batch_once_though_two_feeders_run(
    bench, site, hooked, quick
):
    with bench.running(bench.feeder()), bench.running(bench.feeder()):
        until(lambda: len(bench.queued()) == 3)
        bench.commit("batch", hooked[0])
        bench.commit("batch", hooked[1], "failed")
        bench.commit("batch", hooked[2])
        until(lambda: len(site.asked) >= 4)
        time.sleep(1)
    assert sorted((kind, row or "") for _, kind, row in told(site)) == [
        ("batch.ended", ""),
        ("job.failed", "row-1"),
        ("job.succeeded", "row-0"),
        ("job.succeeded", "row-2"),
    ]
    ended = next(json.loads(each.body) for each in site.asked if b"batch.ended" in each.body)
    assert ended["data"] == bench.summary("batch").model_dump(mode="json")


def test_a_cancelled_row_is_told_too(bench, site, hooked, quick):
    bench.storage.put(
        keys.cancelled("batch"), CancelRequest(asked=datetime.now(UTC)).model_dump_json().encode()
    )
    with bench.running(bench.feeder()):
        until(lambda: len(site.asked) == 4)
    assert Counter(kind for _, kind, _ in told(site)) == {"job.cancelled": 3, "batch.ended": 1}


@pytest.mark.parametrize("point", ["row_ended", "batch_ended", "put_if_absent"])
def test_a_feeder_that_dies_around_an_event_loses_none(bench, site, hooked, quick, monkeypatch, point):
    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    for row in hooked:
        bench.commit("batch", row)
    dying, put = bench.feeder(), bench.storage.put_if_absent
    with monkeypatch.context() as patched:
        if point == "put_if_absent":  # the events are out, and the summary is not
            summary = keys.summary("batch")
            patched.setattr(
                bench.storage, point, lambda key, *body: die() if key == summary else put(key, *body)
            )
        else:
            patched.setattr(dying._outbox, point, die)
        with pytest.raises(Killed):
            for _ in range(5):
                dying.step()
    assert bench.summary("batch") is None
    with bench.running(bench.feeder()):
        until(lambda: bench.summary("batch"))
        until(lambda: len(site.asked) >= 4)
    assert len(told(site)) == len(set(told(site))) == 4


def test_a_requeued_row_s_new_end_is_a_new_event_and_the_others_are_not_told_again(
    bench, site, hooked, quick
):
    bench.commit("batch", hooked[0])
    bench.commit("batch", hooked[1], "failed")
    bench.commit("batch", hooked[2])
    with bench.running(bench.feeder()):
        until(lambda: bench.summary("batch"))
        until(lambda: len(site.asked) == 4)
        requeue_rows(bench.storage, bench.ledger, "batch")
        until(lambda: bench.queued())
        taken = bench.take()
        body = json.loads(failure_of(taken.row, "batch", attempt="a2"))
        bench.storage.put(keys.manifest(taken.row.job.id), json.dumps(body).encode())
        bench.ledger.finish(taken.row.job.id, "failed")
        until(lambda: bench.summary("batch"))
        until(lambda: len(site.asked) >= 6)
        time.sleep(0.5)
    assert Counter((kind, row) for _, kind, row in told(site)) == {
        ("job.succeeded", "row-0"): 1,
        ("job.failed", "row-1"): 2,
        ("job.succeeded", "row-2"): 1,
        ("batch.ended", None): 2,
    }
    assert len({name for name, _, _ in told(site)}) == 6


def failure_of(row, batch, attempt):
    moment = datetime.now(UTC)
    return Manifest(
        status="failed",
        job_id=row.job.id,
        batch=batch,
        row=row.id,
        job=row.job,
        attempt=Attempt(id=attempt, number=1, host="bench", started=moment, ended=moment),
    ).model_dump_json()


def test_a_receiver_that_does_not_answer_does_not_slow_the_feeding(bench, site, hooked, quick, monkeypatch):
    def silent(handler):
        handler.site.hold.wait(120)
        handler.say(200)

    monkeypatch.setattr(courier_module, "POST_SECONDS", 120.0)
    site.answers["/hook"] = silent
    bench.submit("other", rows(25, "other", webhook_url=site.url("/hook")))
    began = time.monotonic()
    with bench.running(bench.feeder()):
        while bench.summary("other") is None:
            bench.end_all_that_is_queued()
            time.sleep(0.01)
            assert time.monotonic() - began < 60
        until(lambda: site.asked)
        assert not list(bench.storage.list(keys.events("delivered")))  # not one post was waited for
        site.hold.set()


def test_a_webhook_s_url_goes_to_no_worker(bench, hooked):
    bench.feeder().step()
    assert bench.take().row == hooked[0].model_copy(update={"webhook_url": None})


def test_deliveries_of_a_batch_that_has_closed_go_on_in_another_feeder(bench, site, hooked, quick):
    site.answers["/hook"] = lambda handler: handler.say(503)
    for row in hooked:
        bench.commit("batch", row)
    first = bench.feeder()
    while bench.summary("batch") is None:
        first.step()
    assert site.asked == []
    site.answers["/hook"] = lambda handler: handler.say(200)
    with bench.running(bench.feeder()):
        until(lambda: len(site.asked) == 4)


def test_one_that_feeds_a_single_batch_tells_of_its_end_before_it_goes(bench, site, hooked, quick):
    for row in hooked:
        bench.commit("batch", row)
    assert resume(bench.settings, "batch").succeeded == 3
    assert Counter(kind for _, kind, _ in told(site)) == {"job.succeeded": 3, "batch.ended": 1}
