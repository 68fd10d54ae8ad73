import sys
import tracemalloc

import numpy as np
import pytest

from contract.errors import ConfigurationError
from tests.worker.evaluation import scene
from tests.worker.evaluation.networks import arcface_file
from tests.worker.evaluation.scene import SILENCE, view
from worker.evaluation.metrics import csim
from worker.evaluation.metrics.csim import load
from worker.evaluation.networks.arcface import aligned


@pytest.fixture(scope="module")
def network_file(tmp_path_factory):
    return arcface_file.write(tmp_path_factory.mktemp("onnx") / "seeded.onnx")


@pytest.fixture
def loaded(network_file, tmp_path, use, no_network):
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(network_file.read_bytes())
    use(scene.entry("arcface", copy, tmp_path))
    return load(tmp_path, 1)


@pytest.fixture
def meter(loaded):
    return loaded.meter()


def measured(meter, views):
    for each in views:
        meter.see(each)
    return meter.readings(SILENCE)["csim"]


def test_the_same_frames_show_the_same_person(meter):
    found = measured(meter, (view(index) for index in range(10)))
    assert found.value == pytest.approx(1, abs=1e-6) and found.n == 10
    assert found.samples.shape == (10, 1) and found.statistic(found.samples) == found.value


def test_each_frame_is_compared_with_its_own_source_frame(meter, loaded):
    made = [7, 1, 9, 3]
    found = measured(meter, (view(index, made=seed) for index, seed in enumerate(made)))
    face = scene.face()
    for index, seed in enumerate(made):
        ours, source = loaded._network.embeddings(
            [aligned(scene.frame(each), face) for each in (seed, index)]
        )
        assert found.samples[index, 0] == pytest.approx(float(ours @ source), abs=1e-6)
    assert found.samples[1, 0] > 0.999 > found.samples[0, 0]  # frames 1 and 3 are the source's own


def test_a_face_that_is_lost_is_a_failure_and_no_skip(meter):
    found = measured(meter, (view(index, own_face=index % 4 != 2) for index in range(20)))
    assert found.about["missing_faces"] == 5 and found.n == 20
    assert found.value == pytest.approx(15 / 20, abs=1e-6)
    assert found.samples[2::4].tolist() == [[0.0]] * 5


def test_a_frame_without_a_face_in_the_source_takes_no_part_and_is_counted(meter):
    found = measured(meter, (view(index, source_face=index >= 3) for index in range(20)))
    assert found.about["frames_without_face"] == 3 and found.about["missing_faces"] == 0
    assert found.n == 17 and found.value == pytest.approx(1, abs=1e-6)
    assert np.isnan(found.samples[:3]).all() and np.isfinite(found.samples[3:]).all()


def test_without_any_face_there_is_no_value_and_the_reason_is_told(meter):
    found = measured(meter, (view(index, source_face=False) for index in range(5)))
    assert (found.value, found.n, found.samples) == (None, 0, None)
    assert found.reason == "no frame of the source shows a face"
    assert meter.readings(SILENCE)["csim"].about["csim_self"] is None


def test_all_faces_lost_is_zero_and_not_unknown(meter):
    assert measured(meter, (view(index, own_face=False) for index in range(30))).value == 0


def test_the_sources_likeness_to_itself_is_over_a_second(meter, loaded):
    """Frames repeat every second: then it is 1; a face lost meanwhile moves nothing."""
    found = measured(meter, (view(index % 25, made=99, source_face=index != 7) for index in range(60)))
    assert found.about["csim_self"] == pytest.approx(1, abs=1e-6) and found.value < 0.999
    other = measured(loaded.meter(), (view(index % 24) for index in range(60)))
    assert other.about["csim_self"] < 0.999


def test_under_a_second_the_source_has_nothing_to_be_compared_with(meter):
    assert measured(meter, (view(index) for index in range(25))).about["csim_self"] is None


def test_readings_may_be_asked_again_and_in_between(meter):
    assert measured(meter, [view(0), view(1)]).n == 2
    assert measured(meter, [view(2)]).n == 3
    assert meter.readings(SILENCE)["csim"].value == pytest.approx(1, abs=1e-6)


def test_memory_is_flat_however_long_the_video(meter):
    one, held = view(0), []
    tracemalloc.start()
    for _ in range(3):
        for _ in range(96):
            meter.see(one)
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert held[2] < held[0] + 2**14  # a number a frame


def test_without_its_weights_or_its_library_the_remedy_is_named(tmp_path, loaded, monkeypatch):
    with pytest.raises(ConfigurationError, match="`dubline models fetch arcface`"):
        load(tmp_path / "empty", 1)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'dubline\[upstream\]'"):
        load(tmp_path, 1)


def test_an_untrained_network_is_refused(network_file, tmp_path, no_network):
    place = csim.weights.weight("arcface").place(tmp_path)
    place.parent.mkdir()
    place.write_bytes(network_file.read_bytes())
    with pytest.raises(ConfigurationError, match=r"its SHA-256 differs"):
        load(tmp_path, 1)
