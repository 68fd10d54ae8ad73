"""One frame from crop to paste, on tiny real networks: nothing but the lower half of the face changes."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from contract.job import JobOptions
from tests.worker.engines.musetalk import scene, tiny_registry
from worker.engines.base import Keeping
from worker.engines.musetalk import engine as story
from worker.engines.musetalk.crop import expanded
from worker.engines.musetalk.landmarks import points68
from worker.engines.musetalk.variants import VARIANTS
from worker.media.blend import blend
from worker.media.frame import Box
from worker.weights import ENGINES, registry

DEFAULT = JobOptions()


@pytest.fixture(scope="module")
def weights_of_tiny_networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    tiny_registry.write_weights(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "REGISTRY", tiny_registry.of(folder))
        yield folder


@pytest.fixture(scope="module")
def engine(weights_of_tiny_networks):
    return scene.engine_in(weights_of_tiny_networks)


@pytest.fixture(scope="module")
def first(weights_of_tiny_networks):
    """The engine of MuseTalk's first release."""
    return scene.engine_in(weights_of_tiny_networks, "musetalk-v1")


@pytest.fixture(scope="module")
def job(engine):
    return engine.for_job(DEFAULT)


@pytest.fixture(scope="module")
def picture():
    return scene.portrait()


@pytest.fixture(scope="module")
def crop(job, picture):
    return scene.crop_of(job, picture, scene.points())


@pytest.fixture(scope="module")
def prepared(job, crop):
    (frame,) = job.prepare([crop])
    return frame


@pytest.fixture(scope="module")
def windows(job):
    return job.listen(scene.voice(1.0), 25)


def test_the_way_of_a_frame_fits_into_one_file_of_under_150_lines():
    assert len(Path(story.__file__).read_text().splitlines()) < 150


@pytest.mark.parametrize("name", VARIANTS)
def test_the_weights_that_a_variant_loads_are_those_that_its_engine_is_said_to_need(name):
    assert set(VARIANTS[name].weights.values()) <= set(ENGINES[name])


def test_a_mouth_changes_the_lower_half_of_the_face_and_nothing_else(job, picture, prepared, windows):
    (mouth,) = job.generate([prepared], [windows[10]])
    frame, before = scene.frame_of(picture), scene.frame_of(picture)
    blend(frame, mouth)
    face = prepared.box
    changed = frame.y != before.y
    inside = np.zeros_like(changed)
    inside[(face.top + face.bottom) // 2 - 8 : face.bottom, face.left : face.right] = (
        True  # 8: the blur's reach
    )
    assert changed[inside].mean() > 0.2, "a random network draws noise there"
    assert not changed[~inside].any()
    chroma = inside[::2, ::2] | inside[1::2, ::2] | inside[::2, 1::2] | inside[1::2, 1::2]
    for plane, same in ((frame.u, before.u), (frame.v, before.v)):
        assert not (plane != same)[~chroma].any()


def test_what_is_seen_of_the_drawing_is_the_networks_picture_in_the_boxs_size(job, engine, prepared, windows):
    (mouth,) = job.generate([prepared], [windows[10]])
    (drawn,) = engine.generator.pictures(prepared.latents[None], windows[10][None])
    face, box = prepared.box, mouth.box
    inside = np.s_[face.top - box.top : face.bottom - box.top, face.left - box.left : face.right - box.left]
    resized = cv2.resize(drawn, (face.width, face.height), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(mouth.rgb[inside], resized)
    assert mouth.rgb.shape == (*mouth.alpha.shape, 3) == (box.height, box.width, 3)
    assert (mouth.rgb.dtype, mouth.alpha.dtype) == (np.uint8, np.float32)


def test_what_the_network_is_shown_is_the_boxs_pixels_in_rgb(job, engine, crop, prepared, picture):
    face = prepared.box
    shown = cv2.resize(
        picture[face.top : face.bottom, face.left : face.right], (256, 256), interpolation=cv2.INTER_LANCZOS4
    )
    np.testing.assert_array_equal(engine.conditioner.latents(shown[None])[0], prepared.latents)


def test_a_batch_gives_what_its_frames_give_alone(job, windows):
    crops = [scene.crop_of(job, *scene.moved(x=3 * step)) for step in range(job.batch_size)]
    together = job.prepare(crops)
    alone = [frame for crop in crops for frame in job.prepare([crop])]
    for one, other in zip(together, alone, strict=True):
        assert one.box == other.box
        np.testing.assert_array_equal(one.latents, other.latents)
        np.testing.assert_array_equal(one.mask, other.mask)
    features = list(windows[5 : 5 + job.batch_size])
    mouths = job.generate(together, features)
    for frame, feature, mouth in zip(together, features, mouths, strict=True):
        (same,) = job.generate([frame], [feature])
        np.testing.assert_array_equal(mouth.rgb, same.rgb)


def test_the_networks_are_done_at_once_and_what_is_left_when_a_mouth_is_taken(
    job, prepared, windows, monkeypatch
):
    networks, rest = [], []
    pictures = job._engine.generator.pictures
    monkeypatch.setattr(
        job._engine.generator, "pictures", lambda *given: networks.append(1) or pictures(*given)
    )
    monkeypatch.setattr(story, "mouth", lambda *given: rest.append(1))
    mouths = job.generate([prepared] * 2, list(windows[3:5]))
    assert (networks, rest) == ([1], [])
    assert len(list(mouths)) == len(rest) == 2


def test_each_mouth_is_that_of_its_own_frame_and_its_own_window(job, windows):
    frames = [job.prepare([scene.crop_of(job, *scene.moved(x=x))])[0] for x in (0, 40)]
    one, other = job.generate(frames, [windows[4], windows[12]])
    other_first, one_last = job.generate(frames[::-1], [windows[12], windows[4]])
    np.testing.assert_array_equal(one.rgb, one_last.rgb)
    np.testing.assert_array_equal(other.rgb, other_first.rgb)
    assert one.box != other.box
    (unheard,) = job.generate(frames[:1], [windows[12]])
    assert (unheard.rgb != one.rgb).any(), "another window, another mouth"


def test_the_same_job_gives_the_same_bytes_with_networks_loaded_anew(
    weights_of_tiny_networks, job, crop, prepared, windows
):
    other = scene.engine_in(weights_of_tiny_networks).for_job(DEFAULT)
    (again,) = other.prepare([crop])
    assert again.latents.tobytes() == prepared.latents.tobytes()
    (mouth,) = job.generate([prepared], [windows[3]])
    (same,) = other.generate([again], [other.listen(scene.voice(1.0), 25)[3]])
    assert (same.rgb.tobytes(), same.alpha.tobytes(), same.box) == (
        mouth.rgb.tobytes(),
        mouth.alpha.tobytes(),
        mouth.box,
    )


def test_there_is_a_window_for_every_frame_and_silence_after_the_voice(job):
    windows = job.listen(scene.voice(0.4), 25)
    assert len(windows) == 25
    assert {each.shape for each in windows} == {windows[0].shape}
    assert not windows[24].any() and windows[9].any()


def test_a_job_with_the_mesh_looks_at_the_faces_box_and_no_further(job, prepared, crop):
    assert crop.box == prepared.box.even_within(512, 512)


def test_a_job_with_upstreams_mask_looks_at_all_that_its_network_is_shown(engine, crop, prepared):
    job = engine.for_job(JobOptions(mask="bisenet"))
    assert job.region(crop.face, 512, 512) == expanded(prepared.box).even_within(512, 512)
    _, points = scene.moved(x=-150)
    region = job.region(replace(crop.face, points=points), 512, 512)
    assert region.left == 0 and region.right <= 512


def test_a_job_with_upstreams_landmarks_looks_at_the_whole_frame(engine, crop):
    assert engine.for_job(JobOptions(landmarks="dwpose")).region(crop.face, 640, 360) == Box(0, 0, 640, 360)


class UpstreamsPoints:
    """What finds points in a whole frame, and this time finds those of the mesh, moved."""

    def __init__(self, points):
        self.points = points

    def points68(self, rgb):
        assert rgb.shape == (512, 512, 3), "the whole frame"
        return self.points


@pytest.fixture
def with_upstreams(weights_of_tiny_networks):
    """An engine whose job has upstream's landmarks or mask, as the test has them."""

    def build(options, **networks):
        engine = scene.engine_in(weights_of_tiny_networks)
        for name, network in networks.items():
            setattr(engine, name, network)
        return engine.for_job(JobOptions(**options))

    return build


def test_upstreams_landmarks_make_the_box_in_place_of_the_mesh(with_upstreams, crop, prepared, picture):
    seen = UpstreamsPoints(points68(crop.face.points) + np.float32(12))
    job = with_upstreams({"landmarks": "dwpose"}, dwpose=seen)
    (moved,) = job.prepare([scene.crop_of(job, picture, crop.face.points)])
    assert (moved.box.left, moved.box.bottom) == (prepared.box.left + 12, prepared.box.bottom + 12)


def test_a_frame_in_which_upstreams_landmarks_see_nothing_is_left_alone(with_upstreams, crop, picture):
    job = with_upstreams({"landmarks": "dwpose"}, dwpose=UpstreamsPoints(None))
    assert job.prepare([scene.crop_of(job, picture, crop.face.points)]) == [None]


class UpstreamsClasses:
    """Says that all of a face's expanded crop is one class, and keeps what it was shown."""

    def __init__(self, label):
        self.label, self.shown = label, []

    def labels(self, rgb):
        self.shown.append(rgb)
        return np.full((512, 512), self.label, np.uint8)


def test_upstreams_classes_make_the_mask_in_place_of_the_mesh(with_upstreams, crop, prepared, picture):
    skin, background = UpstreamsClasses(1), UpstreamsClasses(0)
    masks = []
    for seen in (skin, background):
        job = with_upstreams({"mask": "bisenet", "parsing_mode": "raw"}, bisenet=seen)
        (frame,) = job.prepare([scene.crop_of(job, picture, crop.face.points)])
        masks.append(frame.mask)
    square = expanded(prepared.box)
    np.testing.assert_array_equal(
        skin.shown[0], picture[square.top : square.bottom, square.left : square.right]
    )
    assert masks[0][-40:-20, 10:-10].min() == 255, "raw draws all skin of the lower half"
    assert not masks[1].any(), "and nothing else"


def test_v15_reaches_below_the_chin_by_the_margin_and_takes_no_shift(engine, crop, prepared):
    (wider,) = _prepared(engine, crop, extra_margin=17)
    (shifted,) = _prepared(engine, crop, bbox_shift=9)
    assert wider.box == replace(prepared.box, bottom=prepared.box.bottom + 7)
    assert shifted.box == prepared.box


def test_v1_takes_the_shift_and_no_margin(engine, first, crop, prepared):
    (plain,) = _prepared(first, crop)
    (shifted,) = _prepared(first, crop, bbox_shift=9)
    (wider,) = _prepared(first, crop, extra_margin=17)
    assert plain.box == replace(prepared.box, bottom=prepared.box.bottom - 10)
    assert shifted.box == replace(plain.box, top=plain.box.top + 18)
    assert wider.box == plain.box


def _prepared(engine, crop, **options):
    job = engine.for_job(JobOptions(**options))
    rgb = scene.portrait()
    return job.prepare([scene.crop_of(job, rgb, crop.face.points)])


def test_the_variants_draw_with_their_own_networks(engine, first, prepared, windows):
    (one,), (other,) = (
        each.generator.pictures(prepared.latents[None], windows[5][None]) for each in (engine, first)
    )
    assert (one != other).any()


@pytest.mark.parametrize(("x", "y"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_a_face_off_the_chroma_grid_is_drawn_in_its_place_and_no_pixel_beside_it(job, windows, x, y):
    rgb, points = scene.moved(x=x, y=y)
    (frame,) = job.prepare([scene.crop_of(job, rgb, points)])
    (mouth,) = job.generate([frame], [windows[0]])
    face, box = frame.box, mouth.box
    assert box == face.even_within(512, 512)
    inside = np.s_[face.top - box.top : face.bottom - box.top, face.left - box.left : face.right - box.left]
    np.testing.assert_array_equal(np.rint(mouth.alpha[inside] * 255), frame.mask)
    beside = np.ones(mouth.alpha.shape, bool)
    beside[inside] = False
    assert not mouth.alpha[beside].any()


def test_a_face_without_a_box_is_none_and_its_neighbours_keep_their_places(job, crop):
    rgb, gone = scene.moved(x=-1000)
    nowhere = scene.crop_of(job, rgb, gone)
    before, none, after, last = job.prepare([crop, nowhere, crop, nowhere])
    assert none is None and last is None
    assert before.latents.tobytes() == after.latents.tobytes()
    assert job.prepare([nowhere]) == [None]


def test_no_frames_give_no_mouths(job):
    assert (job.prepare([]), list(job.generate([], []))) == ([], [])


def test_a_gpus_warm_up_leaves_no_trace_in_what_is_drawn(weights_of_tiny_networks, crop, prepared):
    engine = scene.engine_in(weights_of_tiny_networks)
    engine.warm_up()  # on a CPU nobody calls it
    (same,) = engine.for_job(DEFAULT).prepare([crop])
    assert same.latents.tobytes() == prepared.latents.tobytes()


def test_prepared_frames_are_kept_and_come_back_bit_for_bit(job, prepared, windows):
    assert isinstance(job, Keeping)
    arrays = {name: np.array(array) for name, array in job.pack(prepared).items()}
    again = job.unpack(arrays)
    assert again.box == prepared.box
    assert all(type(edge) is int for edge in (again.box.left, again.box.bottom))
    (one,), (other,) = job.generate([prepared], [windows[7]]), job.generate([again], [windows[7]])
    assert (one.rgb.tobytes(), one.alpha.tobytes()) == (other.rgb.tobytes(), other.alpha.tobytes())
