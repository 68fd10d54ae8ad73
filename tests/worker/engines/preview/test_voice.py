import av
import numpy as np
import pytest

from worker.engines.preview.voice import visemes
from worker.media.clock import FPS, SAMPLE_RATE

PER_FRAME = SAMPLE_RATE // FPS


def vowel(seconds, formants=((700, 1.0), (1150, 0.5), (2400, 0.2))):
    """A hum of 120 Hz whose harmonics stand out near the formants (Hz, strength), peak 0.5."""
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    wave = np.zeros(len(t))
    for harmonic in np.arange(120, 4000, 120):
        gain = sum(strength / (1 + ((harmonic - hertz) / 120) ** 2) for hertz, strength in formants)
        wave += gain * np.sin(2 * np.pi * harmonic * t)
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


def hiss(seconds):
    noise = np.random.default_rng(0).normal(size=round(seconds * SAMPLE_RATE))
    return (0.1 * np.diff(noise, n=2, append=[0, 0])).astype(
        np.float32
    )  # twice differenced: mostly above 4 kHz


def silence(seconds):
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)


def syllables(count=12, sound=0.2, pause=0.2):
    return np.concatenate([part for _ in range(count) for part in (vowel(sound), silence(pause))])


def recording(path):
    with av.open(str(path)) as container:
        to_mono = av.AudioResampler("flt", "mono", SAMPLE_RATE)
        pieces = [piece for frame in container.decode(audio=0) for piece in to_mono.resample(frame)]
    return np.concatenate([piece.to_ndarray()[0] for piece in pieces])


def openness(samples, frames=None):
    return np.array([each.openness for each in visemes(samples, frames or len(samples) // PER_FRAME)])


def loudness(samples):
    """log10 of each frame's mean square, (frames,)."""
    frames = samples[: len(samples) // PER_FRAME * PER_FRAME].reshape(-1, PER_FRAME)
    return np.log10((frames**2).mean(axis=1) + 1e-6)


def lag(a, b, most=4):
    """Frames by which `a` comes after `b`, at their best correlation."""
    inner = slice(most, -most)
    return max(range(-most, most + 1), key=lambda k: np.corrcoef(a[inner], np.roll(b, k)[inner])[0, 1])


def test_silence_shuts_the_mouth():
    assert openness(silence(2.0)).max() == 0.0


def test_noise_of_the_room_shuts_the_mouth_where_nobody_speaks():
    noise = np.random.default_rng(1).normal(scale=0.003, size=4 * SAMPLE_RATE).astype(np.float32)
    noise[2 * SAMPLE_RATE : 3 * SAMPLE_RATE] += vowel(1.0)
    curve = openness(noise)
    assert curve[: 2 * FPS - 5].max() < 0.1
    assert curve[2 * FPS + 5 : 3 * FPS - 5].min() > 0.4


def test_beyond_the_end_of_the_audio_is_silence():
    curve = openness(vowel(1.0), frames=2 * FPS)
    assert len(curve) == 2 * FPS
    assert curve[: FPS - 5].min() > 0.4
    assert curve[FPS + 5 :].max() < 0.001


def test_no_frames_are_no_visemes():
    assert visemes(vowel(1.0), 0) == []


def test_a_louder_vowel_opens_the_mouth_wider():
    parts = [gain * vowel(0.4) for gain in (0.1, 0.3, 1.0)]
    curve = openness(np.concatenate([part for sound in parts for part in (silence(0.4), sound)]))
    first, second, third = (curve[at : at + 10].max() for at in (10, 30, 50))
    assert first + 0.1 < second < third - 0.1


@pytest.mark.parametrize("decibels", [-20, 20])
def test_a_quieter_or_louder_recording_of_the_same_speech_looks_nearly_the_same(decibels):
    speech = 0.05 * syllables() + 1e-4 * np.random.default_rng(2).normal(size=len(syllables())).astype(
        np.float32
    )
    np.testing.assert_allclose(openness(speech * 10 ** (decibels / 20)), openness(speech), atol=0.02)


def test_the_mouth_follows_bursts_of_sound_without_delay():
    speech = syllables()
    curve = openness(speech)
    assert abs(lag(curve, loudness(speech))) <= 1
    assert np.corrcoef(curve, loudness(speech))[0, 1] > 0.8


def test_opening_is_faster_than_closing():
    """Between a soft and a loud vowel; silence shuts the lips at once."""
    vowels = vowel(3.0)
    vowels[SAMPLE_RATE : 2 * SAMPLE_RATE] *= 3
    curve = openness(vowels)
    low, high = curve[12], curve[37]
    rising, falling = (curve[at - 8 : at + 8] for at in (25, 50))
    between = [
        ((part > low + 0.15 * (high - low)) & (part < high - 0.15 * (high - low))).sum()
        for part in (rising, falling)
    ]
    assert high > low + 0.2
    assert between[0] < between[1]


def test_the_lips_shut_in_the_gap_before_a_plosive():
    curve = openness(np.concatenate([silence(0.4), vowel(0.4), silence(0.12), vowel(0.4), silence(0.4)]))
    gap = curve[20:23].min()
    assert gap < 0.25 * min(curve[12:18].max(), curve[26:30].max())


def test_an_open_vowel_opens_more_than_a_hiss_of_the_same_level():
    s = hiss(0.4)
    s *= np.sqrt((vowel(0.4) ** 2).mean() / (s**2).mean())
    curve = openness(np.concatenate([silence(0.4), vowel(0.4), silence(0.4), s, silence(0.4)]))
    assert curve[10:20].max() > 1.5 * curve[30:40].max()


def test_front_vowels_spread_the_lips_and_back_vowels_round_them():
    ee = vowel(0.6, ((300, 1.0), (2300, 0.8)))
    oo = vowel(0.6, ((350, 1.0), (800, 0.8)))
    shapes = visemes(np.concatenate([ee, silence(0.4), oo, silence(0.4)]), 50)
    assert shapes[7].width > 0.3 > shapes[7].rounding
    assert shapes[32].rounding > 0.3 > shapes[32].width


def test_a_block_boundary_leaves_no_trace():
    speech = np.concatenate([syllables(3, 0.2, 0.2) for _ in range(60)])  # 72 s: longer than one block
    curve = openness(speech)
    period = round(0.4 * FPS)
    inner = curve[5 * period : -5 * period].reshape(-1, period)
    np.testing.assert_allclose(inner, np.broadcast_to(inner[0], inner.shape), atol=1e-6)


@pytest.mark.parametrize("name", ["sun.wav", "yongen.wav"])
def test_real_speech_moves_the_mouth_with_its_loudness(clip, name):
    samples = recording(clip(name))
    curve = openness(samples)
    assert np.corrcoef(curve, loudness(samples)[: len(curve)])[0, 1] > 0.7
    assert abs(lag(curve, loudness(samples)[: len(curve)])) <= 1
    assert 0.3 < np.median(curve[curve > 0.05]) < 0.7


def test_lips_never_cross_more_than_half_their_range_in_a_frame():
    clicks = np.zeros(4 * SAMPLE_RATE, np.float32)
    hertz = 2 * np.pi * 300 * np.arange(1600) / SAMPLE_RATE
    for start in range(0, len(clicks), 4800):  # a tenth of a second of sound, a fifth of silence
        clicks[start : start + 1600] = 0.5 * np.sin(hertz)
    openness = np.array([viseme.openness for viseme in visemes(clicks, 100)])
    assert openness.max() > 0.5
    assert np.abs(np.diff(openness)).max() <= 0.5
