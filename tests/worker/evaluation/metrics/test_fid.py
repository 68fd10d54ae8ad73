import tracemalloc

import numpy as np
import pytest
import torch

from benchmarks.golden.pictures import tensors
from contract.errors import ConfigurationError
from tests.worker.evaluation import scene
from tests.worker.evaluation.scene import SILENCE, view
from worker.evaluation.fid import fid, kid
from worker.evaluation.metrics import fid as metric
from worker.evaluation.metrics.fid import FidMeter, load
from worker.evaluation.networks.inception import InceptionNetwork


class Colours:
    """In the network's place: a picture's colours at four places."""

    def __init__(self):
        self.batches = []

    def features(self, pictures):
        self.batches.append(len(pictures))
        return np.stack([each[:, 75::149, 75::149].reshape(-1).numpy() for each in pictures])


@pytest.fixture
def colours():
    return Colours()


@pytest.fixture
def meter(colours):
    return FidMeter(colours)


def measured(meter, views):
    for each in views:
        meter.see(each)
    return meter.readings(SILENCE)


def test_the_source_itself_is_no_distance_away(meter):
    found = measured(meter, (view(index) for index in range(30)))
    assert set(found) == {each.name for each in metric.Fid.quantities}
    for name, reading in found.items():
        assert reading.value == pytest.approx(0, abs=1e-9) and reading.n == 30 and reading.samples is None
        assert (reading.deviation is not None) == name.startswith("kid")


def test_other_pictures_are_far_away_in_the_face_and_in_the_mouth(meter):
    found = measured(meter, (view(index, made=7) for index in range(30)))
    assert min(found["fid_face"].value, found["fid_mouth"].value) > 0.5
    assert min(found["kid_face"].value, found["kid_mouth"].value) > 0.01
    assert found["fid_face"].value != found["fid_mouth"].value


def test_generated_and_source_are_the_sides_and_pairs_are_left_out(meter, colours):
    views = [view(index, made=100 + index) for index in range(26)]
    found = measured(meter, views)
    boxes = metric._boxes(views[0].source_face, views[0].source)
    four = [colours.features(metric._pictures(each, boxes)) for each in views]
    made, source = (np.stack([each[side] for each in four]) for side in (2, 3))
    assert found["fid_mouth"].value == pytest.approx(fid(source, made))
    told = found["kid_mouth"].value, found["kid_mouth"].deviation
    assert told == pytest.approx(kid(source, made, paired=True), abs=1e-12)


def test_boxes_are_the_source_faces_wherever_the_generated_face_is(meter):
    for index in range(30):
        each = view(index)
        meter.see(type(each)(index, each.source, each.source_face, each.frame, scene.face((30, 30), 20)))
    assert meter.readings(SILENCE)["fid_face"].value == pytest.approx(0, abs=1e-9)


def test_frames_without_a_face_or_with_the_mouth_outside_take_no_part_and_are_counted(meter):
    def each(index):
        if index % 10 == 3:
            return view(index, made=7, source_face=False)
        return view(index, made=7, middle=(80, 150)) if index % 10 == 4 else view(index)

    found = measured(meter, map(each, range(40)))["fid_face"]
    assert found.n == 32 and found.about["frames_without_face"] == 8
    assert found.value == pytest.approx(0, abs=1e-9)


def test_under_a_second_of_faces_there_is_no_value_and_the_reason_is_told(meter):
    for reading in measured(meter, (view(index) for index in range(24))).values():
        assert reading.value is None and reading.n == 24
        assert reading.reason == "24 frames show the source's face; 25 are needed"


def test_an_empty_video_has_no_value(meter):
    assert {each.value for each in meter.readings(SILENCE).values()} == {None}


def test_fid_says_that_it_is_biased_where_frames_are_few(meter, monkeypatch):
    found = measured(meter, (view(index) for index in range(30)))
    assert found["fid_mouth"].about["biased"] is True
    assert "only for ranking results of the same source" in found["fid_mouth"].about["note"]
    monkeypatch.setattr(metric, "ENOUGH_FRAMES", 30)
    enough = meter.readings(SILENCE)["fid_mouth"].about
    assert enough["biased"] is False and "not to be compared with published values" in enough["note"]


def test_readings_may_be_asked_again_and_in_between(meter):
    views = [view(index, made=7 + index) for index in range(50)]
    early = measured(meter, views[:27])
    late = measured(meter, views[27:])
    assert late["fid_face"].n == 50 and early["fid_face"].value != late["fid_face"].value
    again = {name: each.value for name, each in meter.readings(SILENCE).items()}
    assert again == pytest.approx({name: each.value for name, each in late.items()}, rel=1e-9, abs=1e-12)


def test_pictures_go_through_the_network_sixteen_at_a_time(meter, colours):
    measured(meter, (view(index) for index in range(30)))
    assert colours.batches == [16] * 7 + [8]


def test_memory_is_flat_however_long_the_video(monkeypatch, colours):
    """Of a long video evenly spaced frames are kept, and others do not even reach the network."""
    monkeypatch.setattr(metric, "MOST_FRAMES", 64)
    meter, one = FidMeter(colours), view(0)
    peaks = []
    tracemalloc.start()
    for _ in range(3):
        for _ in range(100):
            meter.see(one)
        peaks.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert peaks[2] < peaks[0] + 2**16
    assert all(each.base is None for each in meter._kept.items)  # none holds on to its batch
    found = meter.readings(SILENCE)["fid_face"]
    assert (found.n, found.about["every"]) == (38, 8)
    assert sum(colours.batches) < 4 * 190  # of 300 frames


@pytest.fixture(scope="module")
def network_file(tmp_path_factory):
    with torch.device("meta"):
        shapes = {name: tuple(each.shape) for name, each in InceptionNetwork().state_dict().items()}
    path = tmp_path_factory.mktemp("inception") / "seeded.pth"
    torch.save(tensors(shapes), path)
    return path


def test_with_its_network_it_measures_pictures(network_file, tmp_path, use, no_network, monkeypatch):
    monkeypatch.setattr(metric, "BATCH", 4)
    use(scene.entry("inception-fid", network_file, tmp_path))
    meter = load(tmp_path, 1).meter()
    for index in range(2):
        meter.see(view(index, made=7))
    assert [each.shape for each in meter._kept.items] == [(4, 2048)] * 2
    face_made, face_source, mouth_made, mouth_source = meter._kept.items[0]
    assert not np.allclose(face_made, face_source) and not np.allclose(mouth_made, mouth_source)


def test_without_its_weights_the_remedy_is_named(tmp_path, no_network):
    with pytest.raises(ConfigurationError, match="`dubline models fetch inception-fid`"):
        load(tmp_path, 1)


def test_an_untrained_network_is_refused(tmp_path, no_network):
    place = metric.weights.weight("inception-fid").place(tmp_path)
    place.parent.mkdir()
    torch.save({}, place)
    with pytest.raises(ConfigurationError, match=r"its SHA-256 differs"):
        load(tmp_path, 1)
