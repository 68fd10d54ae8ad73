"""Engines by name: the small ones stay, of the large ones one is in memory at a time."""

import gc
import weakref

import pytest

from contract import job
from contract.errors import ConfigurationError
from contract.settings import Settings
from tests.worker.still import StillEngine
from worker import setup, weights
from worker.media.chosen import Chosen
from worker.media.encoder import Encoder
from worker.setup import ENGINES, Toolbox, set_up


@pytest.fixture
def settings(weights_folder, tmp_path):
    return Settings(weights=weights_folder, prepared=tmp_path)


class Made(StillEngine):
    """An engine that tells `made` of itself once it is set up, and what of the others was there then."""

    def __init__(self, name, made):
        super().__init__()
        self.name, self._made = name, made

    def setup(self):
        self._made.append((weakref.ref(self), self.name, [name for each, name, _ in self._made if each()]))


@pytest.fixture
def made(monkeypatch):
    """All engines that were set up; they need no weights but those of the faces."""
    made = []
    for name in ENGINES:
        monkeypatch.setitem(ENGINES, name, lambda name, _: Made(name, made))
        monkeypatch.setitem(weights.ENGINES, name, weights.ENGINES["preview"])
    return made


def test_every_engine_that_a_row_may_name_can_be_made():
    assert list(ENGINES) == list(job.ENGINES)


def test_the_engine_is_the_settings_unless_another_is_named(settings, made):
    assert set_up(settings).engine.name == "preview"
    assert set_up(settings, engine="musetalk-v1").engine.name == "musetalk-v1"


def test_without_its_libraries_musetalk_names_what_to_install(settings, monkeypatch):
    import sys

    monkeypatch.setitem(weights.ENGINES, "musetalk-v15", weights.ENGINES["preview"])
    monkeypatch.setitem(sys.modules, "worker.engines.musetalk.engine", None)  # importing it fails
    with pytest.raises(ConfigurationError, match=r"pip install 'dubline\[musetalk\]'"):
        set_up(settings, engine="musetalk-v15")


def test_a_large_engine_is_gone_before_another_one_loads(settings, made):
    toolbox = Toolbox(settings, None)
    for name in ("musetalk-v15", "musetalk-v15", "musetalk-v1", "musetalk-v15"):
        assert toolbox(name).engine.name == name
    assert [beside for _, _, beside in made] == [[], [], []]
    gc.collect()
    assert [name for each, name, _ in made if each()] == ["musetalk-v15"]


def test_rows_of_preview_among_others_cost_no_engine_its_place(settings, made):
    toolbox = Toolbox(settings, None)
    for name in ("musetalk-v15", "preview", "musetalk-v15", "preview", "musetalk-v1", "preview"):
        assert toolbox(name).engine.name == name
    assert [name for _, name, _ in made] == ["musetalk-v15", "preview", "musetalk-v1"]


def test_the_face_networks_are_loaded_once_for_all_engines(settings, made):
    toolbox = Toolbox(settings, None)
    assert toolbox("musetalk-v15").faces is toolbox("preview").faces is toolbox("musetalk-v1").faces


@pytest.mark.parametrize("lacks", ["weights", "libraries"])
def test_an_engine_that_cannot_be_set_up_leaves_the_present_one_in_its_place(
    settings, made, monkeypatch, lacks
):
    toolbox = Toolbox(settings, None)
    present = toolbox("musetalk-v15").engine
    if lacks == "weights":
        monkeypatch.setitem(weights.ENGINES, "musetalk-v1", ("unet-v1",))
    else:
        monkeypatch.setitem(ENGINES, "musetalk-v1", _without_libraries)
    with pytest.raises(ConfigurationError):
        toolbox("musetalk-v1")
    assert toolbox("musetalk-v15").engine is present
    assert len(made) == 1


def _without_libraries(*_):
    raise ConfigurationError("cannot be imported")


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


def test_the_encoder_is_chosen_once_and_the_log_says_which_and_why(settings, made, monkeypatch, caplog):
    choices = []
    found = Chosen(Encoder("nvenc", "h264_nvenc", {}, "ab"), "it works here")
    monkeypatch.setattr(setup, "chosen", lambda choice: choices.append(choice) or found)
    caplog.set_level("INFO")
    toolbox = Toolbox(settings.model_copy(update={"encoder": "nvenc"}), None)
    assert all(toolbox(name).encoder == found.encoder for name in ("preview", "musetalk-v15", "preview"))
    assert choices == ["nvenc"]
    assert caplog.messages == ["nvenc encodes the pictures: it works here"]


def test_a_size_of_0_keeps_nothing(settings):
    assert set_up(settings).shelf is not None
    assert set_up(settings.model_copy(update={"prepared_bytes": 0})).shelf is None
