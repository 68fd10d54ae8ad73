"""Who starts in an outage says so once and works when it is over."""

import threading

import pytest

from contract import waiting
from contract.errors import StoreRefused, StoreUnavailable
from contract.waiting import until_it_passes


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(waiting, "PAUSE_SECONDS", 0.01)


def test_an_outage_is_said_once_and_waited_for(caplog):
    answers = [StoreUnavailable("S3 is away")] * 3

    def check():
        if answers:
            raise answers.pop()

    until_it_passes(check)
    assert [each.message for each in caplog.records] == ["the start waits: S3 is away"]


def test_what_a_person_must_put_right_is_not_waited_for():
    def check():
        raise StoreRefused("8 of 8 won")

    with pytest.raises(StoreRefused, match="8 of 8 won"):
        until_it_passes(check)


def test_who_is_told_to_stop_waits_no_longer():
    stop = threading.Event()

    def check():
        stop.set()
        raise StoreUnavailable("S3 is away")

    until_it_passes(check, stop)
