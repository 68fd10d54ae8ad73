import numpy as np
import pytest
import torch

from benchmarks.golden.pictures import tensors
from contract.errors import ConfigurationError
from tests.worker.evaluation import scene
from tests.worker.evaluation.scene import SILENCE, view
from worker.evaluation.crops import mouth_box
from worker.evaluation.metrics import lpips
from worker.evaluation.metrics.lpips import load
from worker.evaluation.networks.alexnet import AlexNet, Heads


def file_of(build, seed, path):
    with torch.device("meta"):
        shapes = {name: tuple(each.shape) for name, each in build().state_dict().items()}
    torch.save(tensors(shapes, seed), path)
    return path


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    files = {"alexnet": (AlexNet, 1), "lpips-alex": (Heads, 2)}
    with pytest.MonkeyPatch.context() as patch:
        entries = {
            name: scene.entry(name, file_of(*made, folder / name), folder) for name, made in files.items()
        }
        others = tuple(each for each in lpips.weights.REGISTRY if each.name not in entries)
        patch.setattr("worker.weights.registry.REGISTRY", (*others, *entries.values()))
        return load(folder, 1)


@pytest.fixture
def meter(loaded):
    return loaded.meter()


def measured(meter, views):
    for each in views:
        meter.see(each)
    return meter.readings(SILENCE)["lpips_mouth"]


def test_the_same_mouth_is_no_distance_away(meter):
    found = measured(meter, (view(index) for index in range(3)))
    assert (found.value, found.n) == (pytest.approx(0, abs=1e-6), 3)


def test_each_frame_has_its_distance_and_the_value_is_their_mean(meter):
    found = measured(meter, [view(0, made=5), view(1), view(2, made=6)])
    first, second, third = found.samples[:, 0]
    assert first > 0.05 and second == pytest.approx(0, abs=1e-6) and third > 0.05 and first != third
    assert found.value == pytest.approx((first + third) / 3) == found.statistic(found.samples)


def test_only_the_mouth_counts(meter):
    """What differs all around the mouth's box is not seen."""
    one = view(0, height=100.0)
    box = mouth_box(one.source_face, one.source.width, one.source.height)
    other = scene.frame(5)
    for plane, of, step in (
        (other.y, one.source.y, 1),
        (other.u, one.source.u, 2),
        (other.v, one.source.v, 2),
    ):
        inside = np.s_[box.top // step : box.bottom // step, box.left // step : box.right // step]
        plane[inside] = of[inside]
    assert measured(meter, [type(one)(0, one.source, one.source_face, other, None)]).value == pytest.approx(
        0, abs=1e-6
    )


def test_a_small_mouth_is_enlarged_and_a_large_one_stays_as_it_is(meter, monkeypatch):
    shapes = []
    monkeypatch.setattr(meter._network, "distance", lambda *both: shapes.append(both[0].shape) or 0.0)
    measured(meter, [view(0, height=20.0), view(0, height=118.0)])
    large = view(0, height=300.0)
    wide = type(large)(
        0, scene.frame(0, 640, 480), scene.face((320, 240), 300.0), scene.frame(1, 640, 480), None
    )
    measured(meter, [wide])
    assert min(shapes[0][:2]) == 64
    box = mouth_box(wide.source_face, 640, 480)
    assert shapes[-1] == (box.height, box.width, 3) and min(shapes[-1][:2]) > 64


def test_frames_without_a_mouth_take_no_part_and_are_counted(meter):
    found = measured(
        meter, [view(0, source_face=False), view(1, made=5), view(2, middle=(80, 400)), view(3, made=6)]
    )
    assert found.n == 2 and found.about["frames_without_face"] == 2
    assert np.isnan(found.samples[[0, 2]]).all() and found.value == pytest.approx(np.nanmean(found.samples))


def test_a_lost_face_is_measured_all_the_same(meter):
    assert measured(meter, [view(0, made=5, own_face=False)]).n == 1


def test_without_any_face_there_is_no_value_and_the_reason_is_told(meter):
    found = measured(meter, [view(0, source_face=False)])
    assert (found.value, found.n, found.reason) == (None, 0, "no frame of the source shows a face")


def test_it_says_that_it_needs_the_sources_own_audio(loaded):
    (quantity,) = loaded.quantities
    assert quantity.needs_self_audio and quantity.better == "lower" and not loaded.hears


def test_without_its_weights_the_remedy_is_named(tmp_path, no_network):
    with pytest.raises(ConfigurationError, match="`dubline models fetch alexnet`"):
        load(tmp_path, 1)


def test_an_untrained_network_is_refused(tmp_path, no_network):
    place = lpips.weights.weight("alexnet").place(tmp_path)
    place.parent.mkdir()
    file_of(AlexNet, 1, place)
    with pytest.raises(ConfigurationError, match=r"its SHA-256 differs"):
        load(tmp_path, 1)
