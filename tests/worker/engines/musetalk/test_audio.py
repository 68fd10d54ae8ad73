"""What MuseTalk hears, against upstream's own numbers and against what sound itself demands."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.golden import signal
from contract.errors import EngineFailed, ResourceExhausted
from worker.engines.musetalk.audio import Windows, hidden_states, log_mel, positions

SECOND = 16_000
SEGMENT, STRIDE, CONTEXT = 1500, 1000, 250  # tokens of 20 ms
TWO_HOURS = 7200
CLOSE = {"rtol": 0, "atol": 1e-5}
SHIFTS_MS = {10: -120, 12: -120, 15: -80, 20: -40, 23.976: -40, 24: -40, 25: 0, 26: 0, 29.97: 0, 30: 0, 49: 0}
"""How much too early upstream looks at each rate; from 50 fps on it ends the process."""


@pytest.fixture(scope="module")
def golden():
    return np.load(signal.GOLDEN)


@pytest.fixture(scope="module")
def networks():
    return signal.networks()


@pytest.fixture
def encodings(networks):
    """One entry for every segment that Whisper is made to encode: whether the networks' lock was held."""
    calls = []
    hook = networks.whisper.register_forward_pre_hook(lambda *_: calls.append(networks.lock.locked()))
    yield calls
    hook.remove()


def steady(seconds):
    """That many seconds of sound that take no memory."""
    return np.broadcast_to(np.float32(0.1), seconds * SECOND)


def rows(states, first):
    """(50, width): the ten tokens from `first` on, zeros outside the sound."""
    inside = [t for t in range(first, first + 10) if 0 <= t < len(states)]
    window = torch.zeros((10, *states.shape[1:]))
    window[[t - first for t in inside]] = states[inside]
    return window.reshape(50, -1)


@pytest.mark.parametrize("name", signal.SOUNDS)
def test_up_to_thirty_seconds_the_windows_are_upstreams(networks, golden, name):
    samples = signal.sound(signal.SOUNDS[name])
    windows = Windows(samples, len(samples) // 640, networks)
    ours = torch.stack([windows[int(frame)] for frame in golden[f"frames {name}"]])
    np.testing.assert_allclose(ours[:, ::3].numpy(), golden[f"windows {name}"], **CLOSE)
    assert golden[f"frames {name}"][-1] == len(windows) - 1


@pytest.mark.parametrize("name", signal.SOUNDS)
def test_the_log_mel_is_upstreams(golden, name):
    mel = log_mel(signal.sound(signal.SOUNDS[name]))
    np.testing.assert_allclose(mel[0, ::7, ::43].numpy(), golden[f"mel {name}"], **CLOSE)


def test_a_window_is_ten_tokens_around_its_frame_and_its_rows_are_time_major(networks):
    samples = signal.sound(3 * SECOND)
    states = hidden_states(samples, networks)
    assert states.shape == (150, 5, signal.WIDTH)
    for frame, window in enumerate(Windows(samples, 75, networks)):
        assert torch.equal(window, rows(states, 2 * frame - 4))


def test_upstream_at_25_fps_sees_the_tokens_that_we_see(networks, golden):
    samples = signal.sound(signal.RATE_SECONDS * SECOND)
    states = hidden_states(samples, networks)
    seen = golden["rate tokens"][signal.RATES.index(25)]
    padded = torch.cat([torch.zeros_like(states[:1]), states])  # upstream's tokens are counted from 1 here
    for tokens, window in zip(seen, Windows(samples, len(seen), networks), strict=True):
        assert torch.equal(window, padded[tokens.astype(int)].flatten(0, 1))


@pytest.mark.parametrize("rate", signal.RATES)
def test_at_other_rates_upstream_strays_from_the_trained_alignment_as_documented(golden, rate):
    row = signal.RATES.index(rate)
    if rate >= 50:
        assert golden["rate counts"][row] == signal.EXITS
        return
    assert golden["rate counts"][row] == signal.RATE_SECONDS * int(rate)
    frame = signal.RATE_FRAMES - 1
    trained = frame * 50 // int(rate) - 4
    assert (golden["rate tokens"][row, frame, 0] - 1 - trained) * 20 == SHIFTS_MS[rate]


def test_there_are_as_many_windows_as_frames_and_silence_beyond_the_sound(networks):
    windows = Windows(signal.sound(SECOND), 40, networks)
    assert len(windows) == len(list(windows)) == 40
    assert windows[26].any()  # its first two tokens are the last of the sound
    assert not windows[26][10:].any()
    assert not any(window.any() for window in windows[27:])


@pytest.mark.parametrize("samples", [0, 1, 160, 319, 320, 640, 1279])
def test_sound_too_short_for_upstream_gives_windows(networks, samples):
    windows = list(Windows(signal.sound(samples), 3, networks))
    assert [window.shape for window in windows] == [(50, signal.WIDTH)] * 3
    assert all(window.isfinite().all() for window in windows)
    assert windows[0].any() == (samples >= 320)


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0])
def test_silence_and_full_scale_give_numbers(networks, level):
    window = Windows(np.full(SECOND, level, np.float32), 25, networks)[12]
    assert window.isfinite().all()
    assert window.any()


def test_a_token_is_not_lost_to_rounding(networks):
    samples = signal.sound(9280)  # 0.58 s: upstream's 9280 / 16000 * 50 is 28.999999999999996
    assert len(hidden_states(samples, networks)) == 29


def test_beyond_thirty_seconds_no_window_mixes_two_encodings(networks):
    samples = signal.sound(75 * SECOND)
    starts = [0, STRIDE, 2 * STRIDE, 3 * STRIDE]
    segments = [hidden_states(samples[t * 320 : (t + SEGMENT) * 320], networks) for t in starts]
    windows = Windows(samples, 75 * 25, networks)
    for frame in range(0, 75 * 25, 5):
        token = 2 * frame
        sources = [
            n for n, t in enumerate(starts) if torch.equal(windows[frame], rows(segments[n], token - 4 - t))
        ]
        assert len(sources) == 1
        before, after = token - starts[sources[0]], starts[sources[0]] + SEGMENT - token
        assert before >= CONTEXT or starts[sources[0]] == 0
        assert after >= CONTEXT or starts[sources[0]] + SEGMENT >= 75 * 50


@pytest.mark.parametrize(("tokens", "segments"), [(1500, 1), (1501, 2), (2500, 2), (2501, 3)])
def test_a_segment_begins_only_where_the_one_before_ends_too_soon(networks, encodings, tokens, segments):
    windows = Windows(steady(60)[: tokens * 320], tokens // 2, networks)
    assert all(window.isfinite().all() for window in windows)
    assert len(encodings) == segments


def test_read_in_order_every_segment_is_encoded_once_and_behind_the_lock(networks, encodings):
    for _ in Windows(steady(75), 75 * 25, networks):
        pass
    assert encodings == [True] * 4


def test_of_two_hours_only_what_is_asked_for_is_encoded_and_little_is_kept(networks, encodings):
    windows = Windows(steady(TWO_HOURS), TWO_HOURS * 25, networks)
    assert encodings == []
    first = windows[0]
    windows[1], windows[300]
    assert len(encodings) == 1
    windows[90_000], windows[90_001], windows[-1]
    assert len(encodings) == 3
    assert torch.equal(windows[0], first)
    assert len(encodings) == 4  # it was not kept


def test_any_order_gives_the_same_windows(networks):
    samples = signal.sound(55 * SECOND)
    windows = Windows(samples, 55 * 25, networks)
    picked = [1374, 3, 700, 1100, 699, 0]
    shuffled = {frame: windows[frame] for frame in picked}
    for frame in sorted(picked):
        assert torch.equal(Windows(samples, 55 * 25, networks)[frame], shuffled[frame])


def test_windows_are_a_sequence(networks):
    windows = Windows(signal.sound(SECOND), 25, networks)
    assert torch.equal(windows[-1], windows[24])
    assert torch.equal(torch.stack(windows[5:8]), torch.stack([windows[5], windows[6], windows[7]]))
    with pytest.raises(IndexError):
        windows[25]


def test_in_half_precision_windows_are_half_and_near_those_in_single(networks):
    samples = signal.sound(SECOND)
    half = replace(networks, whisper=signal.whisper().half(), dtype=torch.float16)
    windows = Windows(samples, 30, half)
    assert windows[12].dtype == windows[29].dtype == torch.float16
    np.testing.assert_allclose(windows[12], Windows(samples, 30, networks)[12], rtol=0, atol=0.05)


@pytest.mark.parametrize(
    ("error", "told_as", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), ResourceExhausted, "too small for Whisper"),
        (torch.AcceleratorError("CUDA error: unspecified launch failure"), EngineFailed, "must be recycled"),
    ],
)
def test_what_fails_in_whisper_is_the_machines_fault_and_tried_again(networks, error, told_as, words):
    def fail(*_):
        raise error

    hook = networks.whisper.register_forward_pre_hook(fail)
    try:
        with pytest.raises(told_as, match=words):
            Windows(signal.sound(SECOND), 25, networks)[0]
    finally:
        hook.remove()
    assert not networks.lock.locked()


@pytest.fixture
def enormous(networks, monkeypatch):
    """From its call on a token is larger than any memory."""
    return lambda: monkeypatch.setattr(networks.whisper.config, "d_model", 1 << 55)


def test_want_of_memory_around_whisper_is_the_machines_fault_too(networks, enormous):
    windows = Windows(signal.sound(SECOND), 25, networks)
    enormous()
    for task in (lambda: windows[0], lambda: Windows(steady(1), 25, networks), lambda: positions(networks)):
        with pytest.raises(ResourceExhausted, match="too small for Whisper"):
            task()


def test_the_samples_are_let_go_with_the_windows(networks):
    samples = signal.sound(SECOND)
    windows = Windows(samples, 25, networks)
    windows[0]
    gone = weakref.ref(samples)
    gc.disable()
    try:
        del samples, windows
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(("dtype", "name"), [(torch.float32, "positions"), (torch.float16, "positions half")])
def test_the_positions_are_upstreams_and_in_half_precision_themselves_half(networks, golden, dtype, name):
    ours = positions(replace(networks, dtype=dtype))
    assert ours.dtype == dtype
    np.testing.assert_allclose(ours.numpy(), golden[name], rtol=0, atol=1e-6)
