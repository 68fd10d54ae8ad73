import socket
import time
from concurrent.futures import ThreadPoolExecutor

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
    assert ledger.claim(JOB, "a", LEASE) == Claim("ended", 0)


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


def test_attempts_are_counted_from_one_before_they_start(ledger):
    assert ledger.claim(JOB, "a", SHORT) == Claim("claimed", 1)
    time.sleep(SHORT * 1.1)
    assert ledger.claim(JOB, "b", SHORT) == Claim("claimed", 2)


def test_a_release_that_does_not_count_takes_its_attempt_back(ledger):
    ledger.claim(JOB, "a", LEASE)
    ledger.release(JOB, "a", counted=False)
    assert ledger.claim(JOB, "b", LEASE) == Claim("claimed", 1)
    ledger.release(JOB, "b", counted=True)
    assert ledger.claim(JOB, "c", LEASE) == Claim("claimed", 2)


def test_only_the_owner_releases(ledger):
    ledger.claim(JOB, "a", LEASE)
    assert not ledger.release(JOB, "b")
    assert ledger.claim(JOB, "b", LEASE).outcome == "busy"


# --- beats


def test_a_beat_renews_the_lease_and_shows_progress(ledger):
    ledger.claim(JOB, "a", SHORT)
    for _ in range(4):
        time.sleep(SHORT / 2)
        assert ledger.beat(JOB, "a", SHORT, "tag", GENERATING)
    assert ledger.claim(JOB, "b", SHORT).outcome == "busy"
    assert ledger.progress([JOB]) == [GENERATING]


def test_a_beat_of_a_lost_lease_is_false_and_changes_nothing(ledger):
    ledger.claim(JOB, "a", SHORT)
    time.sleep(SHORT * 1.1)
    ledger.claim(JOB, "b", LEASE)
    assert not ledger.beat(JOB, "a", LEASE, "tag", GENERATING)
    assert ledger.progress([JOB]) == [Progress("staging")]


@pytest.mark.parametrize(
    "end", [lambda ledger: ledger.finish(JOB, "done"), lambda ledger: ledger.release(JOB, "a")]
)
def test_a_beat_after_the_end_is_false(ledger, end):
    ledger.claim(JOB, "a", LEASE)
    end(ledger)
    assert not ledger.beat(JOB, "a", LEASE, "tag", GENERATING)


def test_a_beat_writes_a_wiped_ledger_anew(ledger, wipe):
    ledger.claim(JOB, "a", LEASE)
    wipe()
    assert ledger.progress([JOB]) == [None]
    assert ledger.beat(JOB, "a", LEASE, "tag", GENERATING)
    assert ledger.claim(JOB, "b", LEASE).outcome == "busy"
    assert ledger.progress([JOB]) == [GENERATING]


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
    assert ledger.progress([JOB]) == [Progress("queued")]


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
