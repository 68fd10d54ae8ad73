from importlib.metadata import EntryPoint

import pytest

from contract.checks import Check
from contract.settings import Settings
from producer import doctor
from producer.doctor import GROUP, examine


def codecs(settings):
    """A part's checks."""
    yield Check("codecs", True, "all there")


def half_installed(settings):
    """A part that finds out late."""
    raise ImportError("no module named av")
    yield


@pytest.fixture
def parts(monkeypatch):
    """Install parts by their values."""

    def install(**values):
        found = [EntryPoint(name, value, GROUP) for name, value in values.items()]
        monkeypatch.setattr(doctor, "entry_points", lambda group: found)

    return install


def test_broker_and_store_are_well_where_they_are(settings, parts):
    parts()
    assert [(check.name, check.ok) for check in examine(settings)] == [("broker", True), ("store", True)]


def test_what_is_away_comes_with_what_to_do(parts):
    parts()
    nowhere = Settings(redis_url="redis://127.0.0.1:1/0", s3_endpoint="http://127.0.0.1:1")
    for check in examine(nowhere):
        assert check.ok is False
        assert check.detail
        assert "start one with `dubline up`, or set DUBLINE_" in check.remedy


def test_parts_bring_their_own_checks_and_one_that_is_not_installed_is_no_failure(settings, parts):
    parts(worker=f"{__name__}:codecs", musetalk="no_such_module:checks", half=f"{__name__}:half_installed")
    codec, musetalk, half = list(examine(settings))[2:]
    assert codec == Check("codecs", True, "all there")
    for check in (musetalk, half):
        assert check.ok is None
        assert f"pip install 'dubline[{check.name}]'" in check.remedy
