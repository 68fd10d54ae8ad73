"""Webhooks, posted to a real receiver on loopback, from a real store."""

import json
import random
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from contract import keys
from contract.errors import StoreUnavailable
from contract.outside import Outside
from contract.summary import Summary
from contract.webhook import BatchWebhook, WebhookDelivery
from contract.weburl import Reach
from producer import courier as module
from producer.courier import DAY, LEASE, LONGEST_BACKOFF, Courier
from producer.deliveries import deliveries
from producer.outbox import Outbox

SECRET = "whsec_" + "c2VjcmV0IG9mIHRoaXMgdGVzdCwgMzIgYnl0ZXMhISE="
OTHER = "whsec_" + "YW5vdGhlciBzZWNyZXQgb2YgdGhpcyB0ZXN0ISEhISE="


class Clock:
    """The real one, some time ahead."""

    def __init__(self):
        self.ahead = timedelta()

    def __call__(self):
        return datetime.now(UTC) + self.ahead

    def forward(self, **span):
        self.ahead += timedelta(**span)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def hire(storage, site):
    """Make couriers that reach the site; they end with the test."""
    made = []

    def hire(clock=None, secret=SECRET, outside=None):
        signing = SecretStr(secret) if secret else None
        courier = Courier(storage, outside or site.outside, signing, *([clock] if clock else []))
        made.append(courier)
        return courier

    yield hire
    for each in made:
        each.close()


def work(courier):
    """Step, and wait for what was begun."""
    courier._look_at = courier._clock()
    courier.step()
    for flight in list(courier._flights.values()):
        flight.exception()
    courier._land()


@pytest.fixture
def ended(storage, site, rows, commit, submitted):
    """A row of the batch ends; its event lies in the outbox."""

    def ended(number=0, status="succeeded", path="/hook", attempt="a1"):
        manifest = commit(submitted, rows[number], status, attempt=attempt)
        Outbox(storage).row_ended(submitted, rows[number].id, manifest, site.url(path))
        return manifest

    return ended


def answering(*statuses, **headers):
    """Answer with these statuses, one after the other, then with the last for ever."""
    left = list(statuses)
    return lambda handler: handler.say(left.pop(0) if len(left) > 1 else left[0], **headers)


def pending(storage):
    found = [storage.get(each.key) for each in storage.list(keys.events("pending"))]
    return [WebhookDelivery.model_validate_json(each) for each in found if each]


def names(storage, state):
    return [each.key.rpartition("/")[2] for each in storage.list(keys.events(state))]


def test_an_event_is_posted_with_a_signature_that_the_library_verifies(storage, site, hire, ended, submitted):
    site.answers["/hook"] = answering(204)
    manifest = ended()
    work(hire())
    (asked,) = site.asked
    told = Webhook(SECRET).verify(asked.body, asked.headers)
    assert told == {
        "type": "job.succeeded",
        "timestamp": manifest.attempt.ended.isoformat(),
        "data": {
            "batch": submitted,
            "row": "one",
            "job": manifest.job_id,
            "status": "succeeded",
            "attempts": 1,
            "error": None,
            "output": {
                "key": keys.output(submitted, "one"),
                "bytes": 7,
                "sha256": manifest.output.sha256,
                "frames": 50,
                "seconds": 2,
            },
            "cost": {"amount": 0.002, "currency": "USD", "seconds": 2},
            "manifest": keys.manifest(manifest.job_id),
        },
    }
    assert asked.headers["content-type"] == "application/json"
    assert len(asked.body) < 4000
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(asked.body, asked.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(asked.body + b" ", asked.headers)
    assert (names(storage, "pending"), len(names(storage, "delivered"))) == ([], 1)


@pytest.mark.parametrize(("status", "code"), [("failed", "no_face"), ("cancelled", "cancelled")])
def test_what_did_not_succeed_says_why(site, hire, ended, status, code):
    site.answers["/hook"] = answering(200)
    ended(status=status)
    work(hire())
    told = json.loads(site.asked[0].body)
    assert (told["type"], told["data"]["error"]["code"]) == (f"job.{status}", code)
    assert told["data"]["output"] is None


def test_a_batch_that_ended_tells_its_counts(storage, site, hire):
    site.answers["/hook"] = answering(200)
    summary = Summary(
        batch="b",
        rows=3,
        succeeded=1,
        failed=2,
        cancelled=0,
        reused=0,
        output_minutes=1.5,
        cost=0.1,
        currency="EUR",
    )
    storage.put(keys.webhook("b"), BatchWebhook(url=site.url("/hook")).model_dump_json().encode())
    Outbox(storage).batch_ended(summary)
    Outbox(storage).batch_ended(summary.model_copy(update={"batch": "nobody-asked"}))
    work(hire())
    (asked,) = site.asked
    told = Webhook(SECRET).verify(asked.body, asked.headers)
    assert told["type"] == "batch.ended"
    assert (told["data"]["failed"], told["data"]["cost"]) == (2, 0.1)


@pytest.mark.parametrize("bad", [500, 404, 302, 429, 418])
def test_anything_but_a_yes_is_tried_again_under_the_same_id_until_it_is_one(
    storage, site, hire, ended, clock, bad
):
    site.answers["/hook"] = answering(bad, bad, 200)
    ended()
    courier = hire(clock)
    for _ in range(3):
        work(courier)
        clock.forward(seconds=10)
    assert len(site.asked) == 3
    assert len({each.headers["webhook-id"] for each in site.asked}) == 1
    assert len({each.headers["webhook-timestamp"] for each in site.asked}) == 3
    assert len({each.body for each in site.asked}) == 1
    assert names(storage, "pending") == []
    work(courier)
    assert len(site.asked) == 3


def test_nothing_is_tried_before_its_time(site, hire, ended, clock, monkeypatch):
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    site.answers["/hook"] = answering(500)
    ended()
    courier = hire(clock)
    work(courier)
    clock.forward(seconds=3)
    work(courier)
    assert len(site.asked) == 1
    clock.forward(seconds=2)
    work(courier)
    assert len(site.asked) == 2
    clock.forward(seconds=8)  # doubled
    work(courier)
    assert len(site.asked) == 2


def test_waiting_is_jittered_and_bounded(hire, clock, storage, ended):
    courier = hire(clock)
    ended()
    (event,) = pending(storage)
    waits = [courier._next_try(event.model_copy(update={"tries": 3}), 0.0) - clock() for _ in range(20)]
    assert max(waits) - min(waits) > timedelta(seconds=1)
    assert all(timedelta(seconds=9) <= each <= timedelta(seconds=20) for each in waits)
    assert courier._next_try(event.model_copy(update={"tries": 5000}), 0.0) - clock() <= LONGEST_BACKOFF


def test_a_receiver_that_asks_for_patience_gets_it(site, hire, ended, clock):
    site.answers["/hook"] = answering(503, 200, Retry_After="600")
    ended()
    courier = hire(clock)
    work(courier)
    clock.forward(seconds=590)
    work(courier)
    assert len(site.asked) == 1
    clock.forward(seconds=11)
    work(courier)
    assert len(site.asked) == 2


def test_a_receiver_that_asks_for_a_year_is_tried_once_more_when_the_day_is_over(
    storage, site, hire, ended, clock
):
    site.answers["/hook"] = answering(503, Retry_After=str(365 * 86400))
    ended()
    courier = hire(clock)
    work(courier)
    clock.forward(hours=24)
    work(courier)
    assert len(site.asked) == 2
    assert (names(storage, "pending"), len(names(storage, "failed"))) == ([], 1)


def test_after_a_day_it_is_given_up_and_said_so(storage, site, hire, ended, clock, caplog, submitted):
    site.answers["/hook"] = answering(500)
    ended(path="/hook?key=hunter2")
    courier = hire(clock)
    began = clock()
    while names(storage, "pending"):
        work(courier)
        clock.forward(minutes=20)
    assert DAY <= clock() - began <= DAY + timedelta(minutes=45)
    assert 15 <= len(site.asked) <= 40
    (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert "given up" in record.message
    assert "it answered 500" in record.message
    assert "hunter2" not in caplog.text
    (view,) = deliveries(storage, submitted)
    assert (view.state, view.last, view.tries) == ("failed", "500", len(site.asked))
    work(courier)
    assert 15 <= len(site.asked) <= 40


def test_a_receiver_that_is_gone_is_not_asked_again(storage, site, hire, ended, clock, caplog):
    site.answers["/hook"] = answering(410)
    ended()
    courier = hire(clock)
    work(courier)
    clock.forward(hours=1)
    work(courier)
    assert len(site.asked) == 1
    assert len(names(storage, "failed")) == 1
    assert "wants no more" in caplog.text


def test_a_redirect_to_inside_is_not_followed(storage, site, hire, ended, submitted):
    site.answers["/hook"] = answering(307, Location="https://127.0.0.1/admin")
    ended()
    work(hire())
    assert len(site.asked) == 1
    (view,) = deliveries(storage, submitted)
    assert (view.state, view.last) == ("pending", "307")


def test_an_inside_receiver_is_not_connected_to(storage, site, hire, ended, submitted):
    ended()
    work(hire(outside=Outside(Reach(ports=frozenset({site.port})))))
    assert site.connections == 0
    (view,) = deliveries(storage, submitted)
    assert (view.state, view.tries) == ("pending", 1)
    assert view.last.startswith("[url_forbidden]")


def test_the_same_end_put_any_number_of_times_is_one_event(storage, site, hire, ended):
    site.answers["/hook"] = answering(200)
    ended()
    ended()
    courier = hire()
    work(courier)
    ended()
    work(courier)
    assert len(site.asked) == 1
    assert names(storage, "pending") == []


def test_an_end_after_a_requeue_is_another_event(storage, rows, site, hire, ended):
    site.answers["/hook"] = answering(200)
    ended(status="failed")
    storage.delete(keys.manifest(rows[0].job.id))
    ended(attempt="a2")
    work(hire())
    assert len({each.headers["webhook-id"] for each in site.asked}) == 2


def test_two_couriers_post_an_event_once(site, storage, hire, ended):
    site.answers["/hook"] = answering(200)
    couriers = [hire() for _ in range(4)]
    for number in range(10):
        ended(number % 2, attempt=f"a{number}")
        storage.delete(keys.manifest(ended(number % 2, attempt=f"a{number}").job_id))
        threads = [threading.Thread(target=work, args=(each,)) for each in couriers]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert len(site.asked) == len(names(storage, "delivered"))
    assert names(storage, "pending") == []


class Killed(BaseException):
    """As the process would be."""


@pytest.mark.parametrize("moment", ["_post", "_settle", "_end"])
def test_a_courier_that_dies_at_any_point_leaves_the_event_to_another(
    storage, site, hire, ended, clock, monkeypatch, moment
):
    site.answers["/hook"] = answering(200)
    ended()
    dying = hire(clock)

    def die(*_):
        raise Killed

    monkeypatch.setattr(dying, moment, die)
    key = keys.event("pending", pending(storage)[0].batch, "one", pending(storage)[0].id)
    with pytest.raises(Killed):
        dying._deliver(key)
    other = hire(clock)
    work(other)
    before = len(site.asked)
    assert before == (0 if moment == "_post" else 1)
    clock.forward(seconds=LEASE.total_seconds() + 1)
    work(other)
    assert len(site.asked) == before + 1
    assert len({each.headers["webhook-id"] for each in site.asked}) == 1
    assert names(storage, "pending") == []


def test_one_that_died_between_the_record_and_the_end_of_the_pending_one_is_not_posted_again(
    storage, site, hire, ended, clock, monkeypatch
):
    site.answers["/hook"] = answering(200)
    ended()
    dying = hire(clock)
    delete = storage.delete
    monkeypatch.setattr(storage, "delete", lambda key: None)
    work(dying)
    monkeypatch.setattr(storage, "delete", delete)
    assert len(names(storage, "pending")) == 1
    clock.forward(seconds=LEASE.total_seconds() + 1)
    work(hire(clock))
    assert len(site.asked) == 1
    assert names(storage, "pending") == []


def test_a_slow_receiver_does_not_keep_the_others_from_theirs(
    storage, site, resolver, rows, hire, commit, submitted
):
    resolver.answers["slow.example"] = [["127.0.0.1"]]

    def slow(handler):
        handler.site.hold.wait(10)
        handler.say(200)

    site.answers |= {"/slow": slow, "/hook": answering(200)}
    outbox = Outbox(storage)
    for number in range(20):
        outbox.row_ended(
            submitted, f"row-{number}", commit(submitted, rows[0]), site.url("/slow", "slow.example")
        )
    outbox.row_ended(submitted, "fast", commit(submitted, rows[0]), site.url("/hook"))
    courier = hire()
    began = time.monotonic()
    with courier.running():
        while not names(storage, "delivered") and time.monotonic() - began < 8:
            time.sleep(0.05)
        took = time.monotonic() - began
        assert sum(each.path == "/slow" for each in site.asked) <= module.HOST_THREADS
        assert [each.key.split("/")[3] for each in storage.list(keys.events("delivered"))] == ["fast"]
        site.hold.set()
    assert took < 5


def test_without_a_secret_nothing_is_posted_and_it_is_said_once(site, storage, hire, ended, caplog):
    ended()
    courier = hire(secret=None)
    for _ in range(3):
        work(courier)
    assert site.asked == []
    assert caplog.text.count("DUBLINE_WEBHOOK_SECRET") == 1
    site.answers["/hook"] = answering(200)
    work(hire())
    assert len(site.asked) == 1


def test_what_a_newer_version_wrote_is_left_alone(storage, hire, site, ended, caplog):
    site.answers["/hook"] = answering(200)
    storage.put(keys.event("pending", "b", "row", "evt_1"), b'{"schema_version": 2}')
    ended()
    courier = hire()
    work(courier)
    work(courier)
    assert caplog.text.count("not written by this version") == 1
    assert names(storage, "pending") == ["evt_1.json"]
    assert len(site.asked) == 1


def test_a_store_that_is_away_puts_it_off_and_loses_nothing(
    storage, site, hire, ended, clock, monkeypatch, caplog
):
    site.answers["/hook"] = answering(200)
    ended()
    courier = hire(clock)
    replace = storage.replace_if_same

    def away(*_):
        raise StoreUnavailable("away")

    monkeypatch.setattr(storage, "replace_if_same", away)
    work(courier)
    assert site.asked == []
    assert "waits: away" in caplog.text
    monkeypatch.setattr(storage, "replace_if_same", replace)
    clock.forward(seconds=LEASE.total_seconds() + 1)
    work(courier)
    assert len(site.asked) == 1


def test_where_a_delivery_stands_is_told(storage, site, hire, ended, clock, submitted):
    site.answers |= {"/hook": answering(200), "/bad": answering(503)}
    ended(0)
    ended(1, path="/bad?key=hunter2")
    assert {(each.row, each.state, each.tries) for each in deliveries(storage, submitted)} == {
        ("one", "pending", 0),
        ("two", "pending", 0),
    }
    work(hire(clock))
    first, second = sorted(deliveries(storage, submitted), key=lambda each: each.row)
    assert (first.state, first.last, first.tries, first.type) == ("delivered", "200", 1, "job.succeeded")
    assert (second.state, second.last, second.tries) == ("pending", "503", 1)
    assert second.url == site.url("/bad")
    assert 0 < second.next_seconds <= 5
    assert [each.row for each in deliveries(storage, submitted, "two")] == ["two"]
