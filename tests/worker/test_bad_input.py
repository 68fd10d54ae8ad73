"""Faces and voices that nobody wishes for, through tracker, engine, blend and encoder: each gives a video, or a sentence.

The portrait is the demo's. There is no material of ours with a head in profile: what turns away here is the same
portrait, squeezed.
"""

import shutil
import tracemalloc
import wave
from fractions import Fraction

import av
import numpy as np
import pytest

from contract.errors import AudioTooShort, NoFace
from contract.job import JobOptions
from contract.settings import Settings
from tests.worker.engines.musetalk import scene, tiny_registry
from worker import weights
from worker.engines.preview.voice import visemes
from worker.evaluation.sync import check, curves
from worker.progress import JobProgress
from worker.render import render
from worker.setup import set_up
from worker.stopwatch import Stopwatch
from worker.weights import registry

FRAMES = 12
TWO_HOURS = 2 * 3600 * 25
"""In frames."""
SIDE = 256
FACE = 108
"""Of the portrait, forehead to chin, in pixels."""


@pytest.fixture(scope="module")
def folder(weights_folder, tmp_path_factory):
    """A cache folder of weights: the real ones of faces, tiny ones of MuseTalk."""
    folder = tmp_path_factory.mktemp("weights")
    for name in weights.ENGINES["preview"]:
        place = weights.weight(name).place(folder)
        place.parent.mkdir(exist_ok=True)
        shutil.copyfile(weights.path(name, weights_folder), place)
    tiny_registry.write_weights(folder)
    return folder


@pytest.fixture(scope="module", params=["preview", "musetalk-v15"])
def tools(request, folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "REGISTRY", tiny_registry.of(folder))
        yield set_up(Settings(weights=folder, prepared_bytes=0), engine=request.param)


@pytest.fixture
def rendered(tools, tmp_path):
    """What a render of these pictures and that sound gave, and its luma, (T, H, W) uint8."""

    def make(pictures, samples):
        clip(tmp_path / "in.mp4", pictures)
        sound(tmp_path / "in.wav", samples)
        options, output = JobOptions(engine=tools.engine.name), tmp_path / "out.mp4"
        pair = tmp_path / "in.mp4", tmp_path / "in.wav"
        return render(*pair, output, options, tools, JobProgress(), Stopwatch()), luma(output)

    return make


def clip(path, pictures):
    """Nearly lossless, so that what differs was drawn."""
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "4", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index, each in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(each, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def sound(path, samples):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((samples * 32767).astype("<i2").tobytes())


def luma(path):
    with av.open(str(path)) as container:
        return np.stack([each.to_ndarray(format="gray") for each in container.decode(video=0)])


def shots(*placements):
    """One picture for each: what `scene.moved` takes, the portrait's nose being in the middle where nothing else is said."""
    nose = scene.points()[4]
    middle = {"x": SIDE / 2 - nose[0], "y": SIDE / 2 - nose[1]}
    moved = [
        {**each, "x": middle["x"] + each.get("x", 0), "y": middle["y"] + each.get("y", 0)}
        for each in placements
    ]
    return [scene.moved(**each, size=(SIDE, SIDE))[0] for each in moved]


def speech(frames=FRAMES):
    return scene.voice(frames / 25)


def changed(before, after):
    """By how much the most different 8 x 8 pixels of a frame differ, on average."""
    side = len(before)
    blocks = np.abs(before.astype(float) - after).reshape(side // 8, 8, side // 8, 8)
    return float(blocks.mean(axis=(1, 3)).max())


DRAWN, UNTOUCHED = 12.0, 8.0
"""Grey levels: a new mouth changes some 8 x 8 pixels by more than the one, the encoder none by the other."""


def test_a_face_that_leaves_the_frame_is_drawn_for_as_long_as_it_is_seen(rendered, tmp_path):
    steps = [{"x": -18 * k, "scale": 0.9} for k in range(FRAMES)]
    done, made = rendered(shots(*steps), speech())
    before = luma(tmp_path / "in.mp4")
    assert len(made) == done.frames.total == FRAMES
    assert 4 <= done.frames.with_face <= 10
    assert done.frames.without_face == FRAMES - done.frames.with_face
    assert max(map(changed, before[:4], made[:4])) > DRAWN
    assert changed(before[-1], made[-1]) < UNTOUCHED, "nobody is there"


def test_a_face_that_narrows_as_if_it_turned_away_costs_no_frame_its_place(rendered):
    steps = [{"squeeze": 1.0 - 0.07 * k} for k in range(FRAMES)]
    done, made = rendered(shots(*steps), speech())
    assert len(made) == done.frames.total == FRAMES
    assert done.frames.with_face >= 6, "as long as it is twice as wide as a profile"


def test_a_face_of_30_pixels_has_a_mouth(rendered, tmp_path):
    done, made = rendered(shots(*[{"scale": 30 / FACE}] * FRAMES), speech())
    before = luma(tmp_path / "in.mp4")
    assert done.frames.with_face == len(made) == FRAMES
    face = np.s_[:, SIDE // 2 - 40 : SIDE // 2 + 40, SIDE // 2 - 40 : SIDE // 2 + 40]
    assert max(map(changed, before[face], made[face])) > DRAWN
    before[face] = made[face]
    assert max(map(changed, before, made)) < UNTOUCHED, "nothing is drawn anywhere else"


def test_a_face_under_24_pixels_is_none(rendered):
    with pytest.raises(NoFace, match="none of the 12 frames shows a usable face"):
        rendered(shots(*[{"scale": 18 / FACE}] * FRAMES), speech())


@pytest.mark.parametrize("towards", [(-1, 0), (1, 0), (0, 1)], ids=["left", "right", "below"])
def test_a_face_over_the_edge_is_drawn_where_there_is_a_picture(rendered, towards):
    near = {"x": towards[0] * 95, "y": towards[1] * 80}
    done, made = rendered(shots(*[near] * FRAMES), speech())
    assert made.shape == (FRAMES, SIDE, SIDE)
    assert done.frames.with_face == FRAMES


def test_a_sound_of_one_frame_gives_a_video_of_one_frame(rendered):
    done, made = rendered(shots(*[{}] * 3), scene.voice(0.04))
    assert len(made) == done.frames.total == done.frames.with_face == 1
    assert done.sync_check.status == "unavailable"
    assert len(done.curves.aperture) == len(done.curves.loudness) == 1


def test_a_shorter_sound_is_refused(rendered):
    with pytest.raises(AudioTooShort):
        rendered(shots({}), scene.voice(0.03))


def test_a_silent_sound_gives_a_video_and_no_verdict_on_its_sync(rendered):
    done, made = rendered(shots(*[{}] * FRAMES), np.zeros(16_000 * 56 // 25))
    assert len(made) == done.frames.with_face == 56
    assert (done.sync_check.status, done.sync_check.correlation) == ("unavailable", None)
    assert done.sync_check.reason in ("the lips do not move", "the audio's loudness does not change")
    assert set(done.curves.loudness) == {-100.0}


# --- two hours, by arithmetic ---


def test_two_hours_of_sound_are_under_a_gigabyte_while_they_are_heard():
    """By preview, which hears a minute at a time; MuseTalk's windows: engines/musetalk/test_bad_input.py."""
    few, many = (peak_of_hearing(speech(minutes * 1500)) for minutes in (8, 16))
    assert (many - few) / (8 * 1500) * TWO_HOURS < 2**30


def peak_of_hearing(samples):
    """Most bytes that Python and NumPy held at once meanwhile, without the samples."""
    tracemalloc.start()
    try:
        visemes(samples, len(samples) // 640)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_two_hours_of_video_are_compared_with_their_sound_in_seconds():
    noise = np.random.default_rng(0)
    loud = noise.uniform(-60, -20, TWO_HOURS).astype(np.float32)
    lips = (np.roll(loud, 2) + noise.normal(0, 10, TWO_HOURS)).astype(np.float32)
    lips[::7] = np.nan
    found = check(lips, loud)
    assert (found.status, found.lag_frames) == ("ok", 2)
    assert found.correlation > 0.5 > abs(found.shifted_correlation)
    assert len(curves(lips, loud).aperture) == TWO_HOURS
