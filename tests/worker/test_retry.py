"""The table of what is tried again, and how waiting is bounded."""

import random
import time

import pytest

from contract.errors import (
    BY_CODE,
    BrokerUnavailable,
    Cancelled,
    ConfigurationError,
    DiskFull,
    DublineError,
    EngineFailed,
    InputRejected,
    LeaseLost,
    NoFace,
    Preempted,
    ResourceExhausted,
    SourceUnavailable,
    Stalled,
    StoreUnavailable,
    TemporaryFailure,
    TimeLimit,
)
from contract.ledger import Claim
from contract.settings import Settings
from worker import retry
from worker.retry import MISCONFIGURED_SECONDS, TROUBLE_SECONDS, RetryPolicy, Verdict, in_place

DAY = 24 * 3600.0
SETTINGS = Settings(attempts=3, lost_attempts=8, infrastructure_seconds=DAY)
LAST = Claim("claimed", attempts=2)


@pytest.fixture
def policy(monkeypatch):
    """Whose jitter is its upper bound."""
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    return RetryPolicy(SETTINGS)


@pytest.mark.parametrize(
    ("error", "claim", "expected"),
    [
        (LeaseLost, LAST, Verdict("stop")),
        (NoFace, Claim("claimed"), Verdict("end")),
        (Cancelled, Claim("claimed"), Verdict("end")),
        (Preempted, LAST, Verdict("release", "preempted", 0.0)),
        (ConfigurationError, LAST, Verdict("release", "none", MISCONFIGURED_SECONDS)),
        (StoreUnavailable, LAST, Verdict("release", "infrastructure", 2.0)),
        (DiskFull, LAST, Verdict("release", "infrastructure", 2.0)),
        (StoreUnavailable, Claim("claimed", trouble_seconds=60), Verdict("release", "infrastructure", 60.0)),
        (
            BrokerUnavailable,
            Claim("claimed", trouble_seconds=DAY - 1),
            Verdict("release", "infrastructure", TROUBLE_SECONDS),
        ),
        (StoreUnavailable, Claim("claimed", trouble_seconds=DAY), Verdict("end")),
        (EngineFailed, Claim("claimed"), Verdict("release", "job", 4.0)),
        (EngineFailed, Claim("claimed", attempts=1), Verdict("release", "job", 8.0)),
        (EngineFailed, Claim("claimed", lost=5, preempted=9), Verdict("release", "job", 4.0)),
        (EngineFailed, LAST, Verdict("end")),
        (ResourceExhausted, LAST, Verdict("end")),
        (Stalled, LAST, Verdict("end")),
        (SourceUnavailable, Claim("claimed"), Verdict("release", "job", 4.0)),
        (
            SourceUnavailable,
            LAST,
            Verdict("end"),
        ),  # a stranger's host that is away is not waited for like our store
        (TimeLimit, LAST, Verdict("end")),
        (TimeLimit, Claim("claimed"), Verdict("release", "job", 4.0)),
    ],
)
def test_what_follows_an_error_is_said_by_its_class_and_by_what_was_counted(policy, error, claim, expected):
    assert policy.verdict(error("the fact"), claim) == expected


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_every_error_has_a_verdict_and_only_what_may_pass_is_tried_again(policy, code):
    error = BY_CODE[code]("the fact")
    action = policy.verdict(error, Claim("claimed")).action
    assert (action == "release") == isinstance(error, TemporaryFailure | ConfigurationError)
    if isinstance(error, InputRejected) or type(error) is DublineError:
        assert action == "end"


@pytest.mark.parametrize("error", [Cancelled, NoFace, EngineFailed, StoreUnavailable])
def test_an_end_that_could_not_be_committed_is_tried_again(policy, error):
    claim = Claim("claimed", attempts=2, trouble_seconds=2 * DAY)
    assert policy.verdict(error("the fact"), claim, can_end=False).action == "release"


@pytest.mark.parametrize(
    ("claim", "code"),
    [
        (LAST, None),
        (Claim("claimed", attempts=3), "engine_failed"),
        (Claim("claimed", lost=7), None),
        (Claim("claimed", lost=8), "worker_lost"),
        (Claim("claimed", preempted=1000), None),
    ],
)
def test_a_job_whose_attempts_are_spent_is_not_begun_once_more(policy, claim, code):
    refusal = policy.refusal(claim)
    assert (refusal.code if refusal else None) == code


def test_waiting_is_jittered_so_that_nobody_comes_in_step():
    policy = RetryPolicy(SETTINGS)
    delays = {policy.verdict(EngineFailed("x"), Claim("claimed")).delay_seconds for _ in range(20)}
    assert len(delays) > 10
    assert all(0 <= each <= 4 for each in delays)


# --- in place


class Flaky:
    def __init__(self, failures):
        self.failures, self.calls = failures, 0

    def __call__(self):
        self.calls += 1
        if self.calls <= self.failures:
            raise StoreUnavailable("away")
        return "done"


def test_what_was_made_waits_for_a_store_that_comes_back(monkeypatch):
    monkeypatch.setattr(retry, "LONGEST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(random, "uniform", lambda low, high: 0.001)
    action = Flaky(3)
    assert in_place(action, check=lambda: None) == "done"
    assert action.calls == 4


def test_it_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr(retry, "IN_PLACE_SECONDS", 0.5)
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        in_place(Flaky(1000), check=lambda: None)
    assert time.monotonic() - started < 0.6


def test_a_job_that_is_anothers_meanwhile_is_not_waited_for():
    def lost():
        raise LeaseLost("another has it")

    action = Flaky(1000)
    with pytest.raises(LeaseLost):
        in_place(action, check=lost)
    assert action.calls == 1
