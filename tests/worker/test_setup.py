"""Engines by name, one of them in memory at a time."""

import gc
import weakref

import pytest

from contract import job
from contract.errors import ConfigurationError
from contract.settings import Settings
from tests.worker.still import StillEngine
from worker.setup import ENGINES, Toolbox, set_up


@pytest.fixture
def settings(weights_folder, tmp_path):
    return Settings(weights=weights_folder, prepared=tmp_path)


def test_every_engine_that_a_row_may_name_can_be_made():
    assert list(ENGINES) == list(job.ENGINES)


def test_the_engine_is_the_settings_unless_another_is_named(settings, monkeypatch):
    monkeypatch.setitem(ENGINES, "musetalk-v1", lambda *_: StillEngine())
    assert set_up(settings).engine.name == "preview"
    assert isinstance(set_up(settings, engine="musetalk-v1").engine, StillEngine)


def test_without_its_libraries_musetalk_names_what_to_install(settings, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "worker.engines.musetalk.engine", None)  # importing it fails
    with pytest.raises(ConfigurationError, match=r"pip install 'dubline\[musetalk\]'"):
        set_up(settings, engine="musetalk-v15")


def test_tools_stay_warm_until_another_engine_is_asked_for_and_are_gone_before_it_loads(
    settings, monkeypatch
):
    made = []

    def engine(name, _):
        assert [each for each in made if each()] == []  # of the other engines nothing is left
        new = StillEngine()
        new.name = name
        made.append(weakref.ref(new))
        return new

    for name in ENGINES:
        monkeypatch.setitem(ENGINES, name, engine)
    toolbox = Toolbox(settings, None)
    for name in ("preview", "preview", "musetalk-v1", "preview", "preview"):
        assert toolbox(name).engine.name == name
    assert len(made) == 3
    gc.collect()
    assert len([each for each in made if each()]) == 1


def test_an_engine_that_cannot_be_set_up_is_tried_again(settings, monkeypatch):
    class Broken(StillEngine):
        tries = 0

        def setup(self):
            Broken.tries += 1
            if Broken.tries == 1:
                raise ConfigurationError("weights are missing")

    monkeypatch.setitem(ENGINES, "preview", lambda *_: Broken())
    toolbox = Toolbox(settings, None)
    with pytest.raises(ConfigurationError):
        toolbox("preview")
    assert toolbox("preview").engine.name == "preview"


def test_a_size_of_0_keeps_nothing(settings):
    assert set_up(settings).shelf is not None
    assert set_up(settings.model_copy(update={"prepared_bytes": 0})).shelf is None
