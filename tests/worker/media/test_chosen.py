"""Which encoder is used: NVENC where it proves to work, whatever its driver does; x264 elsewhere."""

import hashlib
import re
import sys

import numpy as np
import pytest

from contract.errors import ConfigurationError
from worker.media import chosen as choosing
from worker.media import proof as proving
from worker.media.chosen import Proof, chosen, prove
from worker.media.encoder import Encoder, nvenc, x264
from worker.media.proof import Unfit, proved

STAND_IN = Encoder("stand-in", "mpeg4", {"bf": "2", "b": "20000000"})


@pytest.fixture
def machine(monkeypatch):
    """A machine with or without a GPU, on which NVENC gives that proof; the encoders that were proved there."""

    def build(has_gpu, proof):
        asked = []
        monkeypatch.setattr(choosing, "_has_gpu", lambda: has_gpu)
        monkeypatch.setattr(choosing, "prove", lambda encoder: asked.append(encoder) or proof)
        return asked

    return build


WORKS, FAILS = Proof(sha256="ab" * 32), Proof(fault="Cannot load libnvidia-encode.so.1")


@pytest.mark.parametrize("choice", ["auto", "nvenc"])
def test_nvenc_is_used_where_it_works(machine, choice):
    asked = machine(True, WORKS)
    found = chosen(choice)
    assert (found.encoder.name, found.encoder.proof, found.why) == ("nvenc", WORKS.sha256, "it works here")
    assert asked == [nvenc()]


def test_where_nvenc_fails_x264_is_used_and_the_reason_said(machine):
    machine(True, FAILS)
    found = chosen("auto")
    assert found.encoder == x264()
    assert found.why == "NVENC does not work here: Cannot load libnvidia-encode.so.1"


def test_nvenc_that_is_asked_for_and_fails_is_a_fault_of_the_settings(machine):
    for has_gpu in (True, False):
        machine(has_gpu, FAILS)
        with pytest.raises(ConfigurationError, match=r"libnvidia-encode\.so\.1; .*`video`.*DUBLINE_ENCODER"):
            chosen("nvenc")


def test_nothing_is_tried_where_there_is_no_gpu_or_x264_is_asked_for(machine):
    asked = machine(False, WORKS)
    assert chosen("auto").encoder == x264()
    assert chosen("auto").why == "no NVIDIA GPU is seen"
    machine(True, WORKS)
    assert chosen("x264").encoder == x264()
    assert asked == []


def test_a_gpu_is_seen_by_its_device(tmp_path, monkeypatch):
    monkeypatch.setattr(choosing, "Path", lambda _: tmp_path)
    assert not choosing._has_gpu()
    (tmp_path / "nvidiactl").touch()
    assert not choosing._has_gpu(), "the driver alone"
    (tmp_path / "nvidia7").touch()
    assert choosing._has_gpu()


# --- the proof, in its own process ---


def test_an_encoder_that_works_is_proved_by_what_it_makes():
    one, other = prove(STAND_IN), prove(STAND_IN)
    assert one == other and len(one.sha256) == 64 and one.fault is None
    assert prove(x264()).sha256 not in (None, one.sha256)


def test_nvenc_without_a_driver_says_so_in_libavs_words():
    found = prove(nvenc())
    if found.sha256:
        pytest.skip("NVENC works on this machine")
    assert "Cannot load libcuda.so.1" in found.fault or "nvenc" in found.fault.lower()


@pytest.mark.parametrize(
    ("encoder", "fault"),
    [
        (Encoder("e", "no-such-codec", {}), "no-such-codec"),
        (Encoder("e", "libx264", {"preset": "no-such-preset"}), "no-such-preset"),
        (Encoder("e", "mpeg4", {"b": "20000"}), r"frame \d+ has .* dB of 30"),
    ],
)
def test_an_encoder_that_does_not_work_says_why(encoder, fault):
    found = prove(encoder)
    assert found.sha256 is None
    assert re.search(fault, found.fault)


@pytest.mark.parametrize(
    ("does", "fault"),
    [
        ("kill -SEGV $$", "its trial was ended by SIGSEGV"),
        ("exec sleep 60", "its trial did not end within 0.5 s"),
        ("echo 'driver: no' >&2; exit 3", "its trial failed (exit code 3): driver: no"),
        ("echo '[]'", "its trial failed (exit code 0): "),
        ("echo '{}'", "its trial failed (exit code 0): "),
    ],
)
def test_a_driver_that_ends_or_hangs_its_process_costs_nothing_but_nvenc(tmp_path, monkeypatch, does, fault):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{does}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(choosing, "PROOF_SECONDS", 0.5)
    monkeypatch.setattr(choosing, "_has_gpu", lambda: True)
    assert prove(nvenc()) == Proof(fault=fault)
    assert chosen("auto").encoder == x264()


# --- what it finds out ---


class Spoilt(proving.VideoWriter):
    """A writer whose encoder has a defect: `spoils` says which."""

    spoils = ""

    def cut(self):
        return [] if self.spoils == "the cut" and self._frames < 40 else super().cut()

    def write(self, frame):
        if self.spoils == "a frame" and frame.index == 7:
            frame = type(frame)(7, 7, 255 - frame.y, frame.u, frame.v)
        if self.spoils == "the number" and frame.index == 39:
            return []
        return super().write(frame)

    def _open(self, codec):
        super()._open(codec)
        if self.spoils == "the tags":
            codec.colorspace = 5


@pytest.mark.parametrize(
    ("spoils", "fault"),
    [
        ("the cut", "does not begin with a key frame"),
        ("a frame", "frame 7 has"),
        ("the number", "40 frames became 39 packets"),
        ("the tags", "not tagged as BT.709"),
    ],
)
def test_a_video_that_is_not_what_was_asked_for_proves_nothing(monkeypatch, spoils, fault):
    monkeypatch.setattr(proving, "VideoWriter", type("Writer", (Spoilt,), {"spoils": spoils}))
    with pytest.raises(Unfit, match=fault):
        proved(STAND_IN)


def test_the_proof_is_the_hash_of_the_very_file(monkeypatch, tmp_path):
    class Here:
        def __init__(self, **_):
            pass

        def __enter__(self):
            return str(tmp_path)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(proving, "TemporaryDirectory", Here)
    assert proved(STAND_IN) == hashlib.sha256((tmp_path / "proof.mp4").read_bytes()).hexdigest()


def test_two_pictures_that_differ_by_one_have_48_decibels():
    one = np.full((4, 4), 100, np.uint8)
    assert proving._psnr(one, one + 1) == pytest.approx(48.13, abs=0.01)


def test_a_pixel_darker_is_as_far_as_a_pixel_brighter():
    """In uint8 the difference of 0 and 1 would be 255."""
    zero, one = np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8)
    assert proving._psnr(zero, one) == proving._psnr(one, zero)
