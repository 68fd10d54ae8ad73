"""EC2's notices, and a machine without them."""

import threading

import pytest

from worker import preempt
from worker.preempt import NOTICES, NoticePoller


@pytest.fixture
def poller(monkeypatch):
    """Start a poller of an endpoint; the event is set when it has seen a notice."""
    monkeypatch.setattr(preempt, "POLL_SECONDS", 0.02)
    made = []

    def start(endpoint):
        noticed = threading.Event()
        made.append(NoticePoller(noticed.set, endpoint))
        made[-1].start()
        return noticed

    yield start
    for each in made:
        each.stop()


@pytest.mark.parametrize("path", NOTICES)
def test_a_notice_of_either_kind_is_told_and_without_one_nothing_happens(metadata, poller, path):
    noticed = poller(metadata.url)
    assert not noticed.wait(0.3)
    assert set(metadata.asked) == set(NOTICES)
    assert metadata.tokens == 1
    metadata.notices[path] = '{"action": "terminate", "time": "2026-01-02T03:04:05Z"}'
    assert noticed.wait(5)


def test_a_token_that_is_no_longer_good_is_replaced(metadata, poller):
    noticed = poller(metadata.url)
    assert not noticed.wait(0.2)
    metadata.tokens = 41
    metadata.notices[NOTICES[0]] = "soon"
    assert noticed.wait(5)
    assert metadata.tokens == 42


def test_a_machine_without_metadata_is_said_once_and_works_on(poller, caplog):
    noticed = poller("http://127.0.0.1:1")
    assert not noticed.wait(0.5)
    assert caplog.text.count("metadata service does not answer") == 1
