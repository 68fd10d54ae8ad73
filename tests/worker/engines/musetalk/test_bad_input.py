"""Faces, voices and weights that nobody wishes for: each gives a picture or a sentence, never a traceback."""

import dataclasses

import numpy as np
import pytest
import torch

from contract.errors import ConfigurationError, ResourceExhausted, TemporaryFailure
from contract.job import JobOptions
from tests.worker.engines.musetalk import scene, tiny_registry
from worker.engines.musetalk.conditioning import Conditioner
from worker.engines.musetalk.generator import Generator
from worker.media.blend import blend
from worker.weights import registry

DEFAULT = JobOptions()
HOURS = 3600 * 16_000  # samples


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tiny weights where the real ones belong."""
    folder = tmp_path_factory.mktemp("weights")
    tiny_registry.write_weights(folder)
    return folder


@pytest.fixture(autouse=True)
def _tiny_registry(folder, monkeypatch):
    monkeypatch.setattr(registry, "REGISTRY", tiny_registry.of(folder))


@pytest.fixture(scope="module")
def engine(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "REGISTRY", tiny_registry.of(folder))
        return scene.engine_in(folder)


@pytest.fixture(params=["musetalk-v15", "musetalk-v1"], scope="module")
def job(request, folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "REGISTRY", tiny_registry.of(folder))
        return scene.engine_in(folder, request.param).for_job(DEFAULT)


def drawn(job, rgb, mesh):
    """The prepared frame and the picture after a mouth was pasted into it; (None, the picture as it was) without a box."""
    frame = scene.frame_of(rgb)
    (prepared,) = job.prepare([scene.crop_of(job, rgb, mesh)])
    if prepared is not None:
        (mouth,) = job.generate([prepared], [job.listen(scene.voice(0.2), 5)[2]])
        blend(frame, mouth)
    return prepared, frame


# --- voices ---


@pytest.mark.parametrize("seconds", [0.0, 0.04])
def test_the_shortest_audio_gives_a_mouth(job, seconds):
    windows = job.listen(scene.voice(seconds), 1)
    (prepared,) = job.prepare([scene.crop_of(job, scene.portrait(), scene.points())])
    (mouth,) = job.generate([prepared], list(windows))
    assert mouth.alpha.max() > 0.9


def test_silence_gives_finite_features_and_the_same_mouth_for_the_same_sound(job):
    windows = job.listen(np.zeros(32_000, np.float32), 50)
    assert all(bool(torch.isfinite(each).all()) for each in windows)
    (prepared,) = job.prepare([scene.crop_of(job, scene.portrait(), scene.points())])
    one, other = job.generate([prepared] * 2, [windows[20], windows[20].clone()])
    np.testing.assert_array_equal(one.rgb, other.rgb)


def test_two_hours_of_audio_are_heard_piece_by_piece_as_they_are_asked_for(job):
    samples = np.zeros(2 * HOURS, np.float32)  # the system gives no memory for zeros that nobody reads
    samples[-16_000:] = scene.voice(1.0)
    windows = job.listen(samples, 2 * 3600 * 25)
    assert len(windows) == 180_000
    first, last = windows[0], windows[-1]
    assert first.shape == last.shape
    assert bool(torch.isfinite(first).all() and torch.isfinite(last).all())
    assert not torch.equal(windows[-10], windows[100_000]), "the voice at the end is heard"


# --- faces ---


@pytest.mark.parametrize("step", [60, 130, 200, 270, 480])
@pytest.mark.parametrize("towards", [(-1, 0), (1, 0), (0, -1), (0, 1)], ids=["left", "right", "up", "down"])
def test_a_face_that_leaves_the_frame_is_drawn_as_far_as_it_is_seen_and_then_left_alone(
    engine, towards, step
):
    rgb, mesh = scene.moved(x=towards[0] * step, y=towards[1] * step)
    prepared, frame = drawn(engine.for_job(DEFAULT), rgb, mesh)
    changed = frame.y != scene.frame_of(rgb).y
    if prepared is None:
        assert step > 150, "a part of it is in the frame"
        assert not changed.any()
        return
    box = prepared.box
    assert step < 480, "nothing of it is in the frame"
    assert (box.left == 0) == (mesh[:, 0].min() < 1) and (box.right == 512) == (mesh[:, 0].max() >= 512)
    assert box.top >= 0 and box.bottom <= 512
    assert prepared.mask.shape == (box.height, box.width)
    assert changed.any() or not prepared.mask.any()
    changed[box.top : box.bottom, box.left : box.right] = False
    assert not changed.any()


@pytest.mark.parametrize("squeeze", [0.5, 0.25, 0.12])
def test_a_face_that_turns_to_profile_is_drawn_within_its_outline(engine, squeeze):
    rgb, mesh = scene.moved(squeeze=squeeze)
    prepared, frame = drawn(engine.for_job(DEFAULT), rgb, mesh)
    left, right = mesh[:, 0].min(), mesh[:, 0].max()
    changed = np.nonzero((frame.y != scene.frame_of(rgb).y).any(axis=0))[0]
    assert prepared is not None
    assert left - 2 <= changed.min() <= changed.max() <= right + 2


@pytest.mark.parametrize("degrees", [-60, 30])
def test_a_face_on_its_side_is_drawn_within_its_box(engine, degrees):
    rgb, mesh = scene.turned(degrees)
    prepared, frame = drawn(engine.for_job(DEFAULT), rgb, mesh)
    changed = frame.y != scene.frame_of(rgb).y
    if prepared is not None:
        box = prepared.box
        changed[box.top : box.bottom, box.left : box.right] = False
    assert not changed.any()


def test_a_face_of_30_pixels_is_drawn(job):
    rgb, mesh = scene.moved(scale=30 / 108)
    prepared, frame = drawn(job, rgb, mesh)
    assert prepared is not None
    assert 20 < prepared.box.width < 40
    assert (frame.y != scene.frame_of(rgb).y).any()


def test_a_face_of_a_few_pixels_is_left_alone(job):
    rgb, mesh = scene.moved(scale=0.05)
    prepared, frame = drawn(job, rgb, mesh)
    assert prepared is None
    assert (frame.y == scene.frame_of(rgb).y).all()


def test_a_face_larger_than_the_frame_is_drawn(job):
    rgb, mesh = scene.moved(scale=6.0)
    prepared, _ = drawn(job, rgb, mesh)
    assert prepared is not None
    assert (prepared.box.left, prepared.box.right) == (0, 512)


def test_a_shift_beyond_the_face_leaves_it_alone_or_draws_within_the_frame(folder):
    first = scene.engine_in(folder, "musetalk-v1")
    for shift in (-100, 50, 100):
        prepared, _ = drawn(first.for_job(JobOptions(bbox_shift=shift)), scene.portrait(), scene.points())
        assert prepared is None or (prepared.box.top >= 0 and prepared.box.height >= 8)


# --- weights ---


@pytest.fixture
def spoilt(tmp_path):
    """A folder of tiny weights to spoil, and the UNet's file there."""
    tiny_registry.write_weights(tmp_path)
    return tmp_path, tmp_path / "tiny-v15" / "unet.safetensors"


def refused(folder, monkeypatch=None):
    """What setting up says of the weights of that folder; they count as the registry's own with a monkeypatch."""
    if monkeypatch:
        monkeypatch.setattr(registry, "REGISTRY", tiny_registry.of(folder))
    with pytest.raises(ConfigurationError) as raised:
        scene.engine_in(folder)
    return raised.value.message


def test_missing_weights_name_the_file_and_the_command(spoilt):
    folder, unet = spoilt
    unet.unlink()
    message = refused(folder)
    assert str(unet) in message and "dubline models fetch" in message


def test_truncated_weights_name_the_file_and_the_command(spoilt):
    folder, unet = spoilt
    unet.write_bytes(unet.read_bytes()[:-1000])
    message = refused(folder)
    assert str(unet) in message and "dubline models fetch" in message


def test_weights_that_are_another_release_are_refused_by_their_hash(spoilt):
    folder, unet = spoilt
    unet.write_bytes((folder / "tiny-v1" / "unet.safetensors").read_bytes())
    assert "SHA-256" in refused(folder)


def test_swapped_weights_are_refused_by_what_they_hold_even_if_their_hash_is_listed(spoilt, monkeypatch):
    folder, unet = spoilt
    unet.write_bytes((folder / "tiny" / "vae.safetensors").read_bytes())
    message = refused(folder, monkeypatch)
    assert str(unet) in message and "dubline models fetch" in message


def test_weights_cut_in_the_middle_are_refused_even_if_their_hash_is_listed(spoilt, monkeypatch):
    folder, unet = spoilt
    unet.write_bytes(unet.read_bytes()[:-1000])
    message = refused(folder, monkeypatch)
    assert str(unet) in message and "dubline models fetch" in message


@pytest.mark.parametrize("option", [{"landmarks": "dwpose"}, {"mask": "bisenet"}])
def test_the_weights_of_an_option_are_asked_for_by_name_once_a_job_wants_them(engine, option):
    job = engine.for_job(JobOptions(**option))  # other jobs never ask
    with pytest.raises(ConfigurationError, match="dubline models fetch"):
        job.prepare([scene.crop_of(job, scene.portrait(), scene.points())])


# --- memory ---


class Greedy:
    """The UNet on a device whose memory is too small for more than `most` frames."""

    def __init__(self, unet, most):
        self._unet, self._most, self.asked = unet, most, []

    def __call__(self, latents, windows):
        self.asked.append(len(latents))
        if len(latents) > self._most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self._unet(latents, windows)


@pytest.fixture
def short_of_memory(engine):
    """A job, and its UNet that takes so many frames at once."""

    def build(most):
        greedy = Greedy(engine.networks.unet, most)
        job = engine.for_job(DEFAULT)
        small = dataclasses.replace(engine.networks, unet=greedy)
        shared = type("Engine", (), {})()
        shared.__dict__ = {**engine.__dict__, "generator": Generator(small, engine.batch_size)}
        job._engine = shared
        return job, greedy

    return build


def test_short_memory_halves_the_batch_once_and_draws_the_same_mouths(engine, short_of_memory):
    plain = engine.for_job(DEFAULT)
    job, greedy = short_of_memory(most=2)
    (prepared,) = plain.prepare([scene.crop_of(plain, scene.portrait(), scene.points())])
    windows = list(plain.listen(scene.voice(0.4), 8))[:4]
    wanted = list(plain.generate([prepared] * 4, windows))
    for _ in range(2):
        got = job.generate([prepared] * 4, windows)
        for mouth, same in zip(got, wanted, strict=True):
            assert np.abs(mouth.rgb.astype(int) - same.rgb.astype(int)).max() <= 1
    assert greedy.asked == [4, 2, 2, 2, 2], "tried whole once, and never again"


def test_memory_too_short_for_half_a_batch_is_a_failure_to_try_again(engine, short_of_memory):
    plain = engine.for_job(DEFAULT)
    job, greedy = short_of_memory(most=0)
    (prepared,) = plain.prepare([scene.crop_of(plain, scene.portrait(), scene.points())])
    with pytest.raises(ResourceExhausted) as raised:
        job.generate([prepared] * 4, list(plain.listen(scene.voice(0.4), 8))[:4])
    assert isinstance(raised.value, TemporaryFailure) and raised.value.retryable
    assert greedy.asked == [4, 2]


def test_preparing_short_of_memory_ends_likewise(engine):
    def encode(_pictures):
        raise torch.OutOfMemoryError("CUDA out of memory")

    vae = type("Vae", (), {"encode": staticmethod(encode), "config": engine.networks.vae.config})()
    with pytest.raises(ResourceExhausted):
        Conditioner(dataclasses.replace(engine.networks, vae=vae), 4).latents(
            np.zeros((1, 256, 256, 3), np.uint8)
        )
