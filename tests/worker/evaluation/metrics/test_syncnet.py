import gc
import os
import weakref
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from contract.errors import ConfigurationError
from contract.settings import Settings
from worker import weights
from worker.evaluation.metrics import syncnet
from worker.evaluation.metrics.base import Reading, Sound, View
from worker.evaluation.metrics.syncnet import SyncNet
from worker.evaluation.networks.syncnet import Streams
from worker.evaluation.syncnet import lip_sync
from worker.evaluation.syncnet.detections import Detections
from worker.evaluation.syncnet.mfcc import mfcc
from worker.media.frame import Frame

WIDTH, HEIGHT = 320, 180
FACE = np.array([[90.0, 20, 230, 160]])
NOBODY = np.zeros((0, 4))
NAMES = {"lse_d", "lse_c", "av_offset"}
GREY = np.full((HEIGHT // 2, WIDTH // 2), 128, np.uint8)

# Read before the tests' settings are cleared; both are needed for the published figures.
WEIGHTS, EXAMPLE = Settings().weights, os.environ.get("DUBLINE_EXAMPLE_AVI")


class Ears:
    """In place of the network: lips are as open as their crops are bright, a voice is open as it is loud."""

    def __init__(self):
        self.looks = 0
        self.silence = mfcc(sound(np.zeros(20)).samples_16)[:, 0].mean()
        self.full = mfcc(sound(np.ones(20)).samples_16)[:, 0].mean()

    def lips(self, crops):
        self.looks += len(crops) - 4
        bright = (crops.mean(axis=(1, 2, 3)) - 20) / 200
        return self._features(np.lib.stride_tricks.sliding_window_view(bright, 5).mean(axis=1))

    def voices(self, cepstra, count):
        loud = (cepstra[:, 0] - self.silence) / (self.full - self.silence)
        return self._features(np.array([loud[4 * i : 4 * i + 20].mean() for i in range(count)]))

    @staticmethod
    def _features(opening):
        angle = np.clip(opening, -1, 2)[:, None] * np.linspace(1, 12, 1024)
        return np.cos(angle).astype(np.float32)


class Untrained:
    """What a network without training says: nearly the same of everything (LSE-C 0.01 at offset -15 or 15)."""

    def lips(self, crops):
        return np.full((len(crops) - 4, 1024), 0.17, np.float32)

    def voices(self, _, count):
        return np.full((count, 1024), -0.003, np.float32)


class Heard(Sound):
    samples_16 = property(lambda self: np.rint(self.samples * 32768).astype(np.int16))


def sound(openings, early=0):
    """Noise as loud as the frames' mouths are open, 0..1, the whole of it earlier by so many frames."""
    tone = np.random.default_rng(0).uniform(-1, 1, 640)
    loud = np.repeat(0.002 * 100 ** np.roll(openings, -early), 640)
    return Heard((np.tile(tone, len(openings)) * loud).astype(np.float32), len(openings))


def openings(count):
    return np.convolve(np.random.default_rng(7).uniform(0, 1, count + 2), np.ones(3) / 3, "valid")


def shown(index, opening, scenery=0):
    """A frame whose brightness is the mouth's opening; its rim says which scene it is."""
    y = np.full((HEIGHT, WIDTH), 33 + 172 * opening, np.uint8)
    rim = np.random.default_rng(scenery).integers(20, 230, (HEIGHT // 20, 4), dtype=np.uint8)
    y[:, :80] = cv2.resize(rim, (80, HEIGHT), interpolation=cv2.INTER_NEAREST)
    y[0, 0] = index % 200 + 16
    return Frame(index, index, y, GREY, GREY)


@pytest.fixture
def metric():
    return SyncNet(Ears(), Detections(lambda picture: FACE))


def judged(meter, frames, sources=None):
    for frame, source in zip(frames, sources or frames, strict=True):
        meter.see(View(frame.index, source, None, frame, None))
    return meter


def film(mouths, scenery=0, start=0):
    return [shown(start + at, opening, scenery) for at, opening in enumerate(mouths)]


def numbers(value):
    """All numbers in what JSON takes."""
    if isinstance(value, dict):
        return [each for part in value.values() for each in numbers(part)]
    if isinstance(value, list):
        return [each for part in value for each in numbers(part)]
    return [value] if isinstance(value, int | float) else []


def test_a_voice_that_fits_gives_all_three_figures_of_the_longest_track(metric):
    mouths = openings(130)
    readings = judged(metric.meter(), film(mouths)).readings(sound(mouths))
    assert set(readings) == {each.name for each in metric.quantities} == NAMES
    assert [readings[name].value for name in ("lse_d", "lse_c")] == pytest.approx(
        [lip_sync.distance(readings["lse_d"].samples), lip_sync.confidence(readings["lse_d"].samples)]
    )
    assert readings["av_offset"].value == 0 and readings["lse_c"].value > 6 > readings["lse_d"].value
    for reading in readings.values():
        assert reading.n == 125 and reading.samples.shape == (125, 31) and not reading.is_invalid
        assert reading.statistic(reading.samples) == reading.value
        assert reading.about["track"] == {"first": 0, "frames": 130, "detections": 130, "side": 140.0}
        assert reading.about["tracks"] == 1 and reading.about["sync_found"] is True


@pytest.mark.parametrize("early", [3, -3, 7])
def test_an_audio_that_is_early_has_a_positive_offset(metric, early):
    mouths = openings(130)
    reading = judged(metric.meter(), film(mouths)).readings(sound(mouths, early))["av_offset"]
    assert reading.value == early
    about = reading.about
    assert about["shifts"][int(np.argmin(about["curve"]))] == early
    assert about["masked"]["av_offset_masked"] == early


def test_another_audio_costs_no_look_and_fits_worse(metric):
    mouths = openings(130)
    meter = judged(metric.meter(), film(mouths))
    own, looks = meter.readings(sound(mouths)), metric.network.looks
    foreign = meter.readings(sound(np.random.default_rng(1).permutation(mouths)))
    assert foreign["lse_c"].about["masked"]["lse_c_masked"] < own["lse_c"].value / 2
    assert meter.readings(sound(mouths))["lse_c"].value == own["lse_c"].value
    assert metric.network.looks == looks == 126


def test_a_track_is_heard_from_its_own_beginning(metric):
    mouths = openings(150)
    detections = Detections(lambda picture: NOBODY if picture[0, 0, 0] < 23 else FACE)
    reading = judged(SyncNet(metric.network, detections).meter(), film(mouths)).readings(sound(mouths))[
        "av_offset"
    ]
    assert reading.about["track"]["first"] == 20 and reading.n == 125
    assert reading.value == 0


def test_the_judged_video_is_cropped_at_the_sources_boxes(metric):
    mouths, sources = openings(120), film(np.zeros(120))
    pictures = []
    detections = Detections(lambda picture: pictures.append(picture.mean()) or FACE)
    meter = judged(SyncNet(metric.network, detections).meter(), film(mouths), sources)
    assert meter.readings(sound(mouths))["lse_c"].value > 4
    assert max(pictures) < 100  # none of the judged video's, which are brighter


def test_a_source_is_looked_at_once_for_all_videos_made_of_it(metric):
    asked = []
    shared = SyncNet(metric.network, Detections(lambda picture: asked.append(1) or FACE))
    for _ in range(2):
        judged(shared.meter(), film(openings(110)), film(np.zeros(110)))
    assert len(asked) == 110


def test_a_clip_of_three_seconds_has_no_value_and_says_why(metric):
    readings = judged(metric.meter(), film(openings(75))).readings(sound(openings(75)))
    for reading in readings.values():
        assert reading.value is None and reading.n == 0 and not reading.is_invalid
        assert "75 detections at 25 fps" in reading.reason and "more than 100, 4 seconds" in reading.reason
    assert metric.network.looks == 0


def test_without_a_face_or_a_frame_there_is_no_value(metric):
    nobody = SyncNet(metric.network, Detections(lambda picture: NOBODY)).meter()
    for meter in (judged(nobody, film(openings(10))), metric.meter()):
        assert {each.reason for each in meter.readings(sound(openings(10))).values()} == {"no face is seen"}


def test_a_small_face_has_no_value_and_its_size_is_told(metric):
    small = SyncNet(metric.network, Detections(lambda picture: np.array([[90.0, 20, 170, 100]])))
    reading = judged(small.meter(), film(openings(110))).readings(sound(openings(110)))["lse_c"]
    assert reading.value is None and "the tracked face is 80 px large" in reading.reason


def test_an_audio_that_ends_before_the_face_comes_has_no_value(metric):
    reading = judged(metric.meter(), film(openings(110))).readings(sound(openings(5)))["lse_d"]
    assert reading.value is None and "the audio ends before 6 frames" in reading.reason


def test_a_short_audio_is_judged_as_far_as_it_goes(metric):
    mouths = openings(120)
    reading = judged(metric.meter(), film(mouths)).readings(sound(mouths[:60]))["av_offset"]
    assert (reading.n, reading.value) == (55, 0)


def test_a_track_ends_at_a_cut_and_the_longest_is_taken(metric):
    mouths = openings(240)
    meter = judged(metric.meter(), film(mouths[:110]) + film(mouths[110:], scenery=5, start=110))
    about = meter.readings(sound(mouths))["lse_c"].about
    assert (about["tracks"], about["track"]["first"], about["track"]["frames"]) == (2, 110, 130)
    halves = judged(metric.meter(), film(mouths[:60]) + film(mouths[60:120], scenery=5, start=60))
    assert "has 60 detections" in halves.readings(sound(mouths[:120]))["lse_c"].reason


def test_frames_are_let_go_of(metric):
    detections = Detections(lambda picture: NOBODY if picture[0, 0, 0] % 40 > 20 else FACE)
    meter, held, most = SyncNet(metric.network, detections).meter(), [], 0
    for index, opening in enumerate(openings(400)):
        frame = shown(index, opening)
        held.append(weakref.ref(frame))
        meter.see(View(index, frame, None, frame, None))
        del frame
        most = max(most, sum(each() is not None for each in held))
    gc.collect()
    assert 20 < most <= 33
    assert meter.readings(sound(openings(400)))["lse_c"].about["track"]["frames"] > 350
    assert not any(each() for each in held)


def test_silence_gives_numbers_and_finds_no_sync(metric):
    mouths = openings(120)
    silent = Sound(np.zeros(120 * 640, np.float32), 120)
    for reading in judged(metric.meter(), film(mouths)).readings(silent).values():
        assert np.isfinite(reading.samples).all() and np.isfinite(numbers(reading.about)).all()
        assert reading.is_invalid or reading.about["masked"]["lse_c_masked"] < 0.5


def test_a_network_that_has_learnt_nothing_is_invalid_however_near_its_distance():
    metric = SyncNet(Untrained(), Detections(lambda picture: FACE))
    readings = judged(metric.meter(), film(openings(120))).readings(sound(openings(120)))
    for reading in readings.values():
        assert reading.value is None and reading.is_invalid and "an untrained network" in reading.reason
        assert reading.about["sync_found"] is False
        assert syncnet.looks_untrained(reading)
    assert 5 < lip_sync.distance(readings["lse_d"].samples) < 6  # which looks ideal


def test_only_a_flat_curve_with_its_least_at_the_end_looks_untrained():
    rising = np.tile(np.linspace(6, 6.1, 31), (100, 1))
    for samples, looks in (
        (rising, True),
        (rising[:, ::-1], True),
        (rising * 10, False),
        (np.roll(rising, 1, 1), False),
    ):
        assert syncnet.looks_untrained(Reading(1.0, 100, samples=samples)) is looks
    assert not syncnet.looks_untrained(Reading(None, 0, reason="no face is seen"))


@pytest.mark.parametrize(
    ("depth", "least", "at", "found"),
    [
        (7, 7, 0, True),
        (1, 12, 0, False),
        (1, 7, 0, True),
        (3, 12, 0, True),
        (7, 7, 15, False),
        (7, 7, -14, True),
    ],
)
def test_sync_is_not_found_where_it_is_faint_and_far_or_at_the_farthest_offset(depth, least, at, found):
    curve = np.where(np.array(lip_sync.OFFSETS) == at, least, least + depth)
    assert syncnet._no_sync(np.tile(curve.astype(float), (10, 1))) is not found


def test_samples_become_16_bit_as_a_wave_file_has_them(metric):
    mouths, heard = openings(110), []
    metric.network.voices = lambda cepstra, count: (
        heard.append(cepstra) or np.zeros((count, 1024), np.float32)
    )
    loud = np.tile(np.float32([1.5, -1.5, 0.5, 0.00002]), 110 * 160)
    judged(metric.meter(), film(mouths)).readings(Sound(loud, 110))
    wave = np.tile(np.array([32767, -32768, 16384, 1], np.int16), 110 * 160)
    assert np.array_equal(heard[0], mfcc(wave))


def test_without_its_weights_the_metric_says_what_to_fetch(tmp_path):
    with pytest.raises(ConfigurationError, match="dubline models fetch syncnet"):
        syncnet.load(tmp_path, threads=1)


def test_random_weights_are_refused(tmp_path):
    place = weights.weight("syncnet").place(tmp_path)
    place.parent.mkdir()
    place.write_bytes(b"random")
    with pytest.raises(ConfigurationError, match="is not the file of weights syncnet"):
        syncnet.load(tmp_path, threads=1)


def test_no_hint_is_a_share_of_one(metric):
    assert "HDTF" in metric.quantities[0].hint and "HDTF" in metric.quantities[1].hint
    assert not any(band in each.hint for each in metric.quantities for band in ("0.5", "0.65", "0.8"))


@pytest.mark.skipif(
    not EXAMPLE
    or any(weights.state(weights.weight(name), WEIGHTS) != "present" for name in weights.named("lse")),
    reason="weights needed (`dubline models fetch lse`), and upstream's example.avi at DUBLINE_EXAMPLE_AVI",
)
def test_upstreams_example_has_upstreams_figures():
    """README.md of joonson/syncnet_python@6efbb1c. The clip is a crop already; upstream reads it through JPEG."""
    with av.open(str(Path(EXAMPLE))) as clip:
        crops = np.stack([each.to_ndarray(format="bgr24") for each in clip.decode(video=0)])
    resampler = av.AudioResampler("s16", "mono", 16000)
    with av.open(str(Path(EXAMPLE))) as clip:
        parts = [part for each in clip.decode(audio=0) for part in resampler.resample(each)]
    samples = np.concatenate([each.to_ndarray()[0] for each in [*parts, *resampler.resample(None)]])
    streams = Streams.load(WEIGHTS, threads=2)
    count = min(len(crops), len(samples) // 640) - 5
    found = lip_sync.distances(streams.lips(crops)[:count], streams.voices(mfcc(samples), count))
    assert lip_sync.offset(found) == 3
    assert lip_sync.distance(found) == pytest.approx(5.353, abs=0.1)
    assert lip_sync.confidence(found) == pytest.approx(10.021, abs=0.1)
