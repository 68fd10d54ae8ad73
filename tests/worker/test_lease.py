"""A lease lives as long as its job moves, and an attempt that must not go on ends, if need be with its process."""

import socket
import threading
import time

import pytest
from pydantic import SecretStr

from contract.errors import Cancelled, LeaseLost, Preempted, Stalled, TimeLimit
from contract.ledger import Ledger
from contract.settings import Settings
from worker import lease
from worker.lease import Heartbeat, Lease
from worker.stopping import LAST_SECONDS

LEASE_SECONDS = 0.5


class Ending:
    """What a heartbeat that ends its process said and did."""

    def __init__(self):
        self.reason, self.over = None, threading.Event()

    def last_words(self, reason):
        self.reason = reason


@pytest.fixture
def ending(monkeypatch):
    made = Ending()
    monkeypatch.setattr(lease, "end_process", made.over.set)
    monkeypatch.setattr(lease, "STALL_SECONDS", 0.4)
    monkeypatch.setattr(lease, "STOP_SECONDS", 0.2)
    return made


@pytest.fixture
def heartbeat(ledger, ending):
    def beating(limit_seconds=60.0, of=ledger):
        claim = ledger.claim("job", "me", LEASE_SECONDS)
        assert claim.outcome == "claimed"
        return Heartbeat(
            Lease(of, "job", "me", LEASE_SECONDS, "tag", claim), limit_seconds, ending.last_words
        )

    return beating


def moving(heart, seconds):
    """A render that goes on as long as it may."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        heart.progress.touch()
        time.sleep(0.02)


def test_a_job_that_moves_without_counting_frames_keeps_its_lease(heartbeat, ledger, ending):
    with heartbeat() as heart:
        moving(heart, 1.0)
        assert ledger.claim("job", "another", 30).outcome == "busy"
    assert not ending.over.is_set()


def test_a_job_that_hangs_is_ended_with_its_process_after_its_last_words(heartbeat, ending):
    with heartbeat():
        assert ending.over.wait(5)
    assert isinstance(ending.reason, Stalled)


def test_an_attempt_whose_time_is_over_stops_at_its_next_step(heartbeat, ending):
    with heartbeat(limit_seconds=0.3) as heart, pytest.raises(TimeLimit, match="time_limit_seconds"):
        moving(heart, 5)
    assert not ending.over.is_set()


def test_a_render_that_does_not_hear_that_its_time_is_over_is_ended_with_its_process(heartbeat, ending):
    with heartbeat(limit_seconds=0.1):
        assert ending.over.wait(5)
    assert isinstance(ending.reason, TimeLimit)


def test_a_cancelled_job_stops_at_its_next_step_and_stays_held_until_that_is_committed(
    heartbeat, ledger, ending
):
    with heartbeat() as heart:
        ledger.cancel(["job"])
        with pytest.raises(Cancelled):
            moving(heart, 5)
        heart.settle()
        time.sleep(LEASE_SECONDS * 1.5)
        assert ledger.claim("job", "another", 30).outcome == "busy"
    assert not ending.over.is_set()


def test_a_holder_whose_job_is_anothers_stops_and_does_not_take_it_back(heartbeat, ledger):
    with heartbeat() as heart:
        ledger.forget("job")
        ledger.claim("job", "another", 30)
        with pytest.raises(LeaseLost):
            moving(heart, 5)
        assert ledger.beat("job", "another", 30, "tag", heart.progress.snapshot()) == "held"


def test_the_first_reason_to_stop_is_the_one_that_counts(heartbeat, ledger):
    with heartbeat() as heart:
        heart.progress.revoke(Preempted("stopped"))
        ledger.cancel(["job"])
        with pytest.raises(Preempted):
            moving(heart, 1)
        heart.settle()
        heart.confirm()  # what is done may be committed: it was stopped too late


def test_while_it_is_settled_no_clock_is_watched_and_the_lease_is_kept(heartbeat, ledger, ending):
    with heartbeat(limit_seconds=0.2) as heart:
        heart.settle()
        time.sleep(1.0)  # over the time limit, and nothing has moved
        assert ledger.claim("job", "another", 30).outcome == "busy"
        heart.check_held()
    assert not ending.over.is_set()


def test_without_redis_an_attempt_goes_on_and_says_so_once(heartbeat, settings, ending, caplog):
    away = Ledger(settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")}))
    with heartbeat(of=away) as heart:
        moving(heart, 0.5)
        heart.settle()
        heart.confirm()
    assert not ending.over.is_set()
    assert caplog.text.count("the heartbeat waits") == 1


def test_a_redis_that_hangs_does_not_keep_the_clock_from_being_watched(heartbeat, settings, ending):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = SecretStr(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        hanging = Ledger(settings.model_copy(update={"redis_url": url}))
        with heartbeat(limit_seconds=0.3, of=hanging) as heart:
            with pytest.raises(TimeLimit):
                moving(heart, 15)
            assert time.monotonic() - heart._began < 8


def test_a_render_whose_worker_stops_has_longer_to_hand_over_what_is_finished(heartbeat, ending, monkeypatch):
    monkeypatch.setattr(lease, "HAND_BACK_SECONDS", 1.0)
    with heartbeat() as heart:
        heart.progress.revoke(Preempted("stopped"))
        assert not ending.over.wait(lease.STOP_SECONDS + 0.4)
        assert ending.over.wait(5)
    assert isinstance(ending.reason, Preempted)


def test_last_words_end_before_anybody_else_may_take_the_job():
    assert Settings().lease_seconds > lease.LAST_WORDS_SECONDS + lease.BEAT_SECONDS
    assert lease.HAND_BACK_SECONDS < LAST_SECONDS


def test_last_words_that_hang_do_not_keep_the_process(heartbeat, ending, monkeypatch):
    monkeypatch.setattr(lease, "LAST_WORDS_SECONDS", 0.2)
    late = threading.Event()
    ending.last_words = lambda reason: late.wait(5)
    with heartbeat():
        assert ending.over.wait(3)
        late.set()
