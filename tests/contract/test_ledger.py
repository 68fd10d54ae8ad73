import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import redis
from pydantic import SecretStr

from contract.errors import BrokerUnavailable, ConfigurationError
from contract.ledger import Claim, Ledger, Progress

JOB = "0" * 64
LEASE = 30.0
SHORT = 0.2
GENERATING = Progress("generating", frames=50, total=200, fps=25.0)


@pytest.fixture
def offer(ledger):
    return lambda seconds=LEASE: ledger.offer(JOB, lost_after_seconds=seconds)


@pytest.fixture
def wipe(settings):
    """Forget everything of this test, as a Redis that lost its disk does."""
    client = redis.Redis.from_url(settings.redis_url.get_secret_value())

    def forget():
        for key in client.scan_iter(f"{settings.namespace}:*"):
            client.delete(key)

    yield forget
    client.close()


# --- offers


def test_a_new_job_is_to_be_published_once(offer):
    assert [offer(), offer(), offer()] == ["publish", "out", "out"]


def test_of_many_feeders_one_is_told_to_publish(ledger):
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: ledger.offer(JOB, lost_after_seconds=LEASE), range(64)))
    assert answers.count("publish") == 1


def test_an_unclaimed_message_counts_as_lost_after_its_time_and_then_after_twice_that(offer):
    assert offer(SHORT) == "publish"
    time.sleep(SHORT * 1.1)
    assert offer(SHORT) == "publish"
    time.sleep(SHORT * 1.1)
    assert offer(SHORT) == "out"
    time.sleep(SHORT * 1.1)
    assert offer(SHORT) == "publish"


def test_an_offer_that_was_withdrawn_is_made_again_at_once(ledger, offer):
    offer()
    ledger.withdraw(JOB)
    assert offer() == "publish"


def test_a_held_job_is_not_offered_until_its_lease_expires(ledger, offer):
    offer()
    ledger.claim(JOB, "a", SHORT)
    assert offer() == "held"
    time.sleep(SHORT * 1.1)
    assert offer() == "publish"


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
def test_an_ended_job_is_neither_offered_nor_claimed(ledger, offer, state):
    ledger.finish(JOB, state)
    assert offer() == "ended"
    assert ledger.claim(JOB, "a", LEASE) == Claim("ended")


def test_a_forgotten_job_is_offered_anew(ledger, offer):
    ledger.finish(JOB, "done")
    ledger.forget(JOB)
    assert offer() == "publish"


def test_a_released_job_is_offered_when_its_delay_is_over(ledger, offer):
    offer()
    ledger.claim(JOB, "a", LEASE)
    assert ledger.release(JOB, "a", delay_seconds=SHORT)
    assert offer() == "later"
    time.sleep(SHORT * 1.1)
    assert offer() == "publish"


# --- claims


def test_a_claim_is_exclusive(ledger):
    with ThreadPoolExecutor(16) as pool:
        claims = list(pool.map(lambda number: ledger.claim(JOB, f"owner {number}", LEASE), range(32)))
    assert sorted(each.outcome for each in claims) == ["busy"] * 31 + ["claimed"]


def test_a_holder_that_was_never_heard_of_again_is_counted_by_the_next_claim(ledger):
    assert ledger.claim(JOB, "a", SHORT) == Claim("claimed")
    time.sleep(SHORT * 1.1)
    again = ledger.claim(JOB, "b", SHORT)
    assert again == Claim("claimed", lost=1, orphaned=True)
    assert again.number == 2
    ledger.release(JOB, "b", counts="none")
    assert ledger.claim(JOB, "c", LEASE) == Claim("claimed", lost=1)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ("job", Claim("claimed", attempts=1)),
        ("preempted", Claim("claimed", preempted=1)),
        ("infrastructure", Claim("claimed")),
        ("none", Claim("claimed")),
    ],
)
def test_a_release_counts_what_ended_the_attempt(ledger, counts, expected):
    ledger.claim(JOB, "a", LEASE)
    ledger.release(JOB, "a", counts=counts)
    again = ledger.claim(JOB, "b", LEASE)
    assert (again.attempts, again.lost, again.preempted) == (expected.attempts, 0, expected.preempted)
    assert again.number == expected.attempts + 1


def test_trouble_with_the_store_lasts_from_its_first_release_until_an_attempt_fails_by_itself(ledger):
    for owner in "ab":
        ledger.claim(JOB, owner, LEASE)
        ledger.release(JOB, owner, counts="infrastructure")
        time.sleep(SHORT)
    claim = ledger.claim(JOB, "c", LEASE)
    assert 2 * SHORT <= claim.trouble_seconds < 2 * SHORT + 2
    ledger.release(JOB, "c", counts="job")
    assert ledger.claim(JOB, "d", LEASE).trouble_seconds == 0


def test_a_job_that_waits_after_a_failure_is_not_claimed_before_its_time(ledger):
    ledger.claim(JOB, "a", LEASE)
    ledger.release(JOB, "a", delay_seconds=SHORT)
    assert ledger.claim(JOB, "b", LEASE) == Claim("later", attempts=1)
    time.sleep(SHORT * 1.1)
    assert ledger.claim(JOB, "b", LEASE).outcome == "claimed"


def test_a_job_whose_worker_died_is_urgent_when_its_lease_is_over(ledger, offer):
    ledger.claim(JOB, "a", SHORT)
    assert (offer(), ledger.urgent([JOB])) == ("held", frozenset())
    time.sleep(SHORT * 1.1)
    assert (offer(), ledger.urgent([JOB])) == ("publish", {JOB})
    assert ledger.claim(JOB, "b", LEASE).lost == 1
    assert ledger.urgent([JOB]) == frozenset()


def test_a_job_whose_worker_was_stopped_is_urgent_until_it_is_claimed(ledger, offer):
    ledger.claim(JOB, "a", LEASE)
    assert ledger.urgent([JOB]) == frozenset()
    ledger.release(JOB, "a", counts="preempted")
    assert ledger.urgent(["unknown", JOB]) == {JOB}
    assert offer() == "publish"
    ledger.claim(JOB, "b", LEASE)
    assert ledger.urgent([JOB]) == frozenset()


def test_a_number_that_another_version_wrote_otherwise_counts_as_nothing(ledger, settings):
    client = redis.Redis.from_url(settings.redis_url.get_secret_value())
    client.hset(f"{settings.namespace}:job:{JOB}", mapping={"attempts": "[3, 4]", "state": "dreaming"})
    client.close()
    assert ledger.progress([JOB]) == [Progress("preparing")]
    assert ledger.claim(JOB, "a", LEASE) == Claim("claimed")
    assert ledger.release(JOB, "a")
    assert ledger.claim(JOB, "a", LEASE).attempts == 1


def test_only_the_owner_releases(ledger):
    ledger.claim(JOB, "a", LEASE)
    assert not ledger.release(JOB, "b")
    assert ledger.claim(JOB, "b", LEASE).outcome == "busy"


# --- beats


def test_a_beat_renews_the_lease_and_shows_progress(ledger):
    ledger.claim(JOB, "a", SHORT)
    for _ in range(4):
        time.sleep(SHORT / 2)
        assert ledger.beat(JOB, "a", SHORT, "tag", GENERATING) == "held"
    assert ledger.claim(JOB, "b", SHORT).outcome == "busy"
    assert ledger.progress([JOB]) == [GENERATING]


def test_a_beat_of_a_lost_lease_says_so_and_changes_nothing(ledger):
    ledger.claim(JOB, "a", SHORT)
    time.sleep(SHORT * 1.1)
    ledger.claim(JOB, "b", LEASE)
    assert ledger.beat(JOB, "a", LEASE, "tag", GENERATING) == "lost"
    assert ledger.progress([JOB]) == [Progress("staging", attempts=1)]


@pytest.mark.parametrize(
    "end", [lambda ledger: ledger.finish(JOB, "done"), lambda ledger: ledger.release(JOB, "a")]
)
def test_a_beat_after_the_end_takes_nothing_back(ledger, end):
    ledger.claim(JOB, "a", LEASE)
    end(ledger)
    assert ledger.beat(JOB, "a", LEASE, "tag", GENERATING) == "lost"


@pytest.mark.parametrize(
    "meanwhile", [lambda offer: None, lambda offer: offer()], ids=["wiped", "and offered"]
)
def test_a_beat_writes_a_wiped_ledger_anew_with_its_counters(ledger, wipe, offer, meanwhile):
    for owner in "ab":
        ledger.claim(JOB, owner, LEASE)
        ledger.release(JOB, owner, counts="job")
    claim = ledger.claim(JOB, "a", LEASE)
    wipe()
    assert ledger.progress([JOB]) == [None]
    meanwhile(offer)
    assert ledger.beat(JOB, "a", SHORT, "tag", GENERATING, claim) == "held"
    assert ledger.claim(JOB, "b", LEASE).outcome == "busy"
    assert ledger.progress([JOB]) == [replace(GENERATING, attempts=2)]
    time.sleep(SHORT * 1.1)
    assert ledger.claim(JOB, "b", LEASE) == Claim("claimed", attempts=2, lost=1, orphaned=True)


# --- cancel


def test_the_holder_of_a_cancelled_job_is_told_at_its_next_beat_and_nobody_claims_it_again(ledger):
    ledger.claim(JOB, "a", LEASE)
    assert ledger.cancel([JOB]) == [JOB]
    assert ledger.beat(JOB, "a", LEASE, "tag", GENERATING) == "cancelled"
    assert ledger.claim(JOB, "b", LEASE).outcome == "busy"
    ledger.release(JOB, "a", counts="none")
    assert ledger.claim(JOB, "b", LEASE).outcome == "cancelled"


def test_of_cancelled_jobs_those_that_are_held_are_named_and_unknown_and_ended_ones_left_alone(ledger, offer):
    offer()
    ledger.claim("held", "a", LEASE)
    ledger.finish("ended", "done")
    assert ledger.cancel([JOB, "held", "ended", "unknown"]) == ["held"]
    assert ledger.claim(JOB, "a", LEASE).outcome == "cancelled"
    assert ledger.progress(["ended", "unknown"]) == [Progress("done"), None]
    assert ledger.cancel([]) == []


def test_a_wish_to_cancel_is_forgotten_with_its_job(ledger, offer):
    offer()
    ledger.cancel([JOB])
    ledger.forget(JOB)
    assert ledger.claim(JOB, "a", LEASE) == Claim("claimed")


# --- progress


@pytest.mark.parametrize("released", [True, False], ids=["handed back", "left by a killed worker"])
def test_a_job_in_the_queue_again_shows_no_frames_of_the_attempt_before(ledger, offer, released):
    ledger.claim(JOB, "a", 0.05)
    ledger.beat(JOB, "a", 0.05, "tag", Progress("generating", frames=29, total=139, fps=34.0))
    if released:
        ledger.release(JOB, "a")
    else:
        time.sleep(0.1)
        assert offer() == "publish"
    assert replace(ledger.progress([JOB])[0], attempts=0) == Progress("queued")


def test_progress_is_in_the_order_asked_and_none_where_nothing_is_known(ledger):
    ledger.claim("a", "owner", LEASE)
    ledger.finish("b", "failed")
    assert ledger.progress(["b", "unknown", "a"]) == [Progress("failed"), None, Progress("staging")]
    assert ledger.progress([]) == []


@pytest.mark.parametrize(("fps", "eta"), [(25.0, 6.0), (0.0, None)])
def test_the_eta_is_what_is_left_at_this_pace(fps, eta):
    assert Progress("generating", frames=50, total=200, fps=fps).eta_seconds == eta


def test_entries_expire(ledger, settings):
    ledger.claim(JOB, "a", LEASE)
    client = redis.Redis.from_url(settings.redis_url.get_secret_value())
    assert 0 < client.ttl(f"{settings.namespace}:job:{JOB}") <= 7 * 24 * 3600
    client.close()


# --- away


def test_a_redis_that_is_away_is_broker_unavailable_within_bounded_time(settings):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    ledger = Ledger(
        settings.model_copy(update={"redis_url": SecretStr(f"redis://:secret@127.0.0.1:{port}/0")})
    )
    start = time.monotonic()
    with pytest.raises(BrokerUnavailable, match="DUBLINE_REDIS_URL") as caught:
        ledger.claim(JOB, "a", LEASE)
    assert time.monotonic() - start < 10
    assert "secret" not in str(caught.value)


def test_a_wrong_password_is_a_configuration_error(settings):
    url = settings.redis_url.get_secret_value().replace("redis://:", "redis://:not")
    with pytest.raises(ConfigurationError, match="DUBLINE_REDIS_URL") as caught:
        Ledger(settings.model_copy(update={"redis_url": SecretStr(url)})).ping()
    assert url.split("@")[0].removeprefix("redis://:") not in str(caught.value)


def test_what_a_job_waits_for_is_told(ledger):
    ledger.claim(JOB, "a", LEASE)
    assert ledger.progress([JOB]) == [Progress("staging")]
    ledger.release(JOB, "a", delay_seconds=60, reason="engine_failed")
    (waiting,) = ledger.progress([JOB])
    assert (waiting.state, waiting.attempts, waiting.reason) == ("queued", 1, "engine_failed")
    assert 55 < waiting.later_seconds <= 60


def test_a_wish_to_cancel_shows_until_it_is_done(ledger):
    ledger.claim(JOB, "a", LEASE)
    ledger.cancel([JOB])
    assert ledger.progress([JOB]) == [Progress("staging", cancelling=True)]
    ledger.finish(JOB, "cancelled")
    assert ledger.progress([JOB]) == [Progress("cancelled")]
