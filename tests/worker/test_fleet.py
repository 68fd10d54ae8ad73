"""Workers and a feeder, real processes, real Celery: whatever dies or is stopped, its job runs elsewhere, soon."""

import os
import platform
import secrets
import signal
import threading
import time
from contextlib import contextmanager, suppress

import pytest
from pydantic import SecretStr

from contract import broker, keys
from contract.broker import Control, make_app, publish
from contract.errors import BrokerUnavailable
from contract.queue import Queue
from contract.settings import Settings
from contract.workers import Roster
from producer.fleet.crew import Crew
from producer.fleet.draining import LOOK_SECONDS, Draining
from producer.fleet.host import Container, HostView, Slot
from tests.brokers import CERTIFICATE
from tests.worker.scripted import delivery, manifest_of, row, until
from worker.preempt import NOTICES

LEASE_SECONDS = 3.0
SOON_SECONDS = 5.0
"""After a job is free, it runs again within this time."""


def test_a_dead_workers_job_runs_again_soon_after_its_lease_is_over(worker, fed, begun, storage):
    assert Settings().lease_seconds + SOON_SECONDS <= 30
    moving = row("moving-3")
    short = {"lease_seconds": LEASE_SECONDS}
    with fed(moving, **short), worker("a", **short), worker("b", **short):
        first = begun("moving-3")
        os.kill(first.child, signal.SIGKILL)
        killed = time.time()
        second = begun("moving-3", 2)
        assert second.at - killed < LEASE_SECONDS + SOON_SECONDS
        os.kill(second.worker, signal.SIGKILL)
        killed = time.time()
        third = begun("moving-3", 3)
        assert third.at - killed < LEASE_SECONDS + SOON_SECONDS
        assert third.worker != second.worker
        made = until(lambda: manifest_of(storage, moving))
    assert (made.status, made.attempt.number) == ("succeeded", 3)


GRACE_SECONDS = 0.5


@pytest.mark.parametrize(("told", "code"), [("SIGTERM", 0), ("SIGINT", 1), ("spot notice", 0)])
def test_a_job_of_a_worker_that_stops_runs_elsewhere_soon_uncounted(
    worker, fed, begun, ledger, metadata, told, code
):
    moving, short = row("moving-60"), {"grace_seconds": GRACE_SECONDS}
    there = {"variables": {"METADATA": metadata.url}, "spot_notices": True}
    with fed(moving) as submit, worker("a", **short, **there) as a:
        begun("moving-60")
        with worker("b", **short) as b:
            submit(row("moving-0"))
            assert begun("moving-0").worker == b.pid
            stopped = time.time()
            if told == "spot notice":
                metadata.notices[NOTICES[0]] = '{"action": "terminate"}'
            else:
                a.send_signal(signal.Signals[told])
            elsewhere = begun("moving-60", times=2)
            assert elsewhere.at - stopped < GRACE_SECONDS + SOON_SECONDS
            assert elsewhere.worker == b.pid
            assert a.wait(30) == code
            claim = ledger.claim(moving.job.id, "a third", 30)
    assert (claim.outcome, claim.attempts, claim.lost, claim.preempted) == ("busy", 0, 0, 1)


OUTAGE_SECONDS = float(os.environ.get("OUTAGE_SECONDS", "11"))
"""The promise is 60 s, and a test does not wait as long unless it is told to: OUTAGE_SECONDS=60. Celery tries again after
2, 4, 6 ... s: right after this many the worker is back."""


def test_a_worker_lives_through_redis_being_away_and_says_so_in_one_line(
    worker, fed, begun, storage, settings, own_broker, tmp_path
):
    own_broker.start()
    there = {"redis_url": SecretStr(own_broker.url)}
    moving, next_one = row("moving-3"), row("moving-0")
    with fed(moving, **there) as submit, worker(**there):
        begun("moving-3")
        submit(next_one)
        own_broker.kill()
        time.sleep(OUTAGE_SECONDS)
        committed = storage.stat(keys.manifest(moving.job.id))
        assert committed, "the attempt went on without Redis"
        own_broker.start()
        until(lambda: manifest_of(storage, next_one), 90)
    made = manifest_of(storage, moving)
    assert (made.status, made.attempt.number) == ("succeeded", 1)
    assert storage.stat(keys.manifest(moving.job.id)) == committed
    assert len((tmp_path / "moving-3.1").read_text().splitlines()) == 1
    log = (tmp_path / "worker.log").read_text()
    assert log.count("consumer: Connection to broker lost") + log.count("consumer: Cannot connect") == 1
    assert log.count("the heartbeat waits") == 1
    assert log.count(" Connected to ") == 2


def test_a_job_that_outlives_the_brokers_lease_is_not_delivered_again(worker, app, begun, storage, tmp_path):
    """Without a feeder: nobody but the broker could deliver it again."""
    moving = delivery("moving-10")
    impatient = {"variables": {"VISIBILITY_SECONDS": "3"}}

    def received():
        return sum((tmp_path / f"{name}.log").read_text().count("] received") for name in "ab")

    def awake():
        row = f"moving-0.{secrets.randbelow(10**6):06}"
        publish(app, delivery(row))
        return begun(row).worker

    with worker("a", **impatient) as a, worker("b", **impatient) as b:
        seen = set()
        until(lambda: seen.add(awake()) or seen == {a.pid, b.pid})
        time.sleep(2)  # both have ended what woke them
        before = received()
        publish(app, moving)
        until(lambda: manifest_of(storage, moving.row))
        assert received() == before + 1


def test_a_process_that_lets_none_of_its_threads_run_is_killed_and_its_slot_works_again(
    worker, app, begun, storage, ledger, monkeypatch
):
    monkeypatch.setattr(broker, "LIMIT_MARGIN_SECONDS", 2.0)
    deaf, next_one = delivery("deaf-60", time_limit_seconds=1.0), delivery("moving-0")
    publish(app, deaf)
    with worker(lease_seconds=LEASE_SECONDS):
        begun("deaf-60")
        publish(app, next_one)
        begun("moving-0")
        until(lambda: manifest_of(storage, next_one.row))
    claim = until(
        lambda: (found := ledger.claim(deaf.row.job.id, "another", 30)).outcome == "claimed" and found
    )
    assert (claim.attempts, claim.lost, claim.orphaned) == (0, 1, True)


def test_a_worker_works_through_tls_as_a_user_of_the_acl_with_events_and_control(
    worker, fed, begun, storage, settings, plain, tls, user, tmp_path
):
    name, password = user
    url = f"rediss://{name}:{password}@127.0.0.1:{tls.port}/0?ssl_ca_certs={CERTIFICATE}"
    there = {"redis_url": SecretStr(url)}
    moving = row("moving-0")
    with (
        make_app(settings.model_copy(update=there)) as app,
        heard(app) as events,
        fed(moving, **there),
        worker(**there),
    ):
        until(lambda: manifest_of(storage, moving))
        (node,) = app.control.inspect(timeout=10).ping()
        control = Control(settings.model_copy(update=there))
        assert control.answers(node)
        assert not control.answers("another@nowhere")
        control.close()
        until(lambda: "task-succeeded" in events)
    assert manifest_of(storage, moving).status == "succeeded"
    log = (tmp_path / "worker.log").read_text()
    assert "NOPERM" not in log and "Traceback" not in log


@contextmanager
def heard(app):
    """Kinds of the events that workers send meanwhile, as Flower hears them, up to the first job that succeeded."""
    kinds = []

    def listen():
        def note(event):
            kinds.append(event["type"])
            receiver.should_stop = event["type"] == "task-succeeded"

        with app.connection_for_read() as connection, suppress(TimeoutError):
            receiver = app.events.Receiver(connection, handlers={"*": note})
            receiver.capture(limit=None, timeout=60)

    thread = threading.Thread(target=listen)
    thread.start()
    yield kinds
    thread.join(90)


def test_a_worker_works_on_after_a_failover_behind_sentinels(worker, fed, begun, storage, failing_over):
    master, url = failing_over
    there = {"redis_url": SecretStr(url)}
    before, across, after = row("moving-0"), row("moving-5"), row("moving-0.1")
    with fed(before, **there) as submit, worker(**there):
        until(lambda: manifest_of(storage, before))
        submit(across)
        begun("moving-5")
        master.kill()
        until(lambda: manifest_of(storage, across))
        submit(after)
        until(lambda: manifest_of(storage, after))
    assert [manifest_of(storage, each).attempt.number for each in (before, across, after)] == [1, 1, 1]


@pytest.fixture
def control(settings):
    made = Control(settings)
    yield made
    made.close()


def test_a_worker_that_is_drained_ends_its_job_takes_no_other_and_may_be_stopped_only_then(
    worker, app, begun, storage, settings, control
):
    """As the fleet does it: a real worker, a real roster, and a container in name alone."""
    roster, host = Roster(settings), platform.node()
    slot = Slot("here", "cpu0")
    view = HostView((Container("id", "dubline-cpu0", "cpu0", host, draining=True),))

    def hands():
        return Crew.of({"here": view}, [slot], roster.workers()).hands

    moving, next_one, draining = delivery("moving-6"), delivery("moving-0"), Draining(control)
    publish(app, moving)
    with worker() as process:
        begun("moving-6")
        until(lambda: [each.doing for each in roster.workers()] == ["busy"])
        assert control.held([f"worker@{host}"]) == {f"worker@{host}": 1}
        draining.tell(hands())
        publish(app, next_one)
        while manifest_of(storage, moving.row) is None:
            assert draining.done(hands()) == []
        until(lambda: draining.done(hands()))
        assert hands()[0].worker.since_seconds >= LOOK_SECONDS
        assert manifest_of(storage, moving.row).status == "succeeded"
        assert (Queue(settings).look().depth, manifest_of(storage, next_one.row)) == (1, None)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    with worker():
        until(lambda: manifest_of(storage, next_one.row))


def test_a_worker_that_is_not_there_answers_nothing(control):
    began = time.monotonic()
    assert control.stop_consuming(["worker@nowhere"]) == frozenset()
    assert control.held(["worker@nowhere"]) == {}
    assert control.stop_consuming([]) == frozenset() and control.held([]) == {}
    assert time.monotonic() - began < 30


def test_without_redis_nobody_can_be_told(settings):
    away = Control(settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")}))
    for ask in (away.stop_consuming, away.held):
        with pytest.raises(BrokerUnavailable):
            ask(["worker@here"])
    away.close()
