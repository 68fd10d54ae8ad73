"""Encoders beside x264. NVENC itself needs a card; its options, its refusals and everything around it do not."""

from array import array
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from contract.errors import DiskFull, EngineFailed
from contract.manifest import MediaFacts
from worker.media.audio import AacTrack, Audio
from worker.media.encoder import KEY_FRAMES, Encoder, nvenc, x264
from worker.media.frame import Frame
from worker.media.source import VideoSource
from worker.media.writer import VideoWriter

STAND_IN = Encoder("stand-in", "mpeg4", {"bf": "2", "g": str(KEY_FRAMES), "b": "4000000"})
"""A real encoder with B-frames that runs on a CPU and is not x264."""
FRAMES, CUT = 30, 12


@pytest.fixture
def frames():
    noise = np.random.default_rng(0)
    grey = np.full((128, 128), 128, np.uint8)
    small = [noise.integers(16, 235, (16, 16), np.uint8) for _ in range(FRAMES)]
    return [Frame(n, n, each.repeat(16, 0).repeat(16, 1), grey, grey) for n, each in enumerate(small)]


@pytest.fixture
def silence():
    seconds = Fraction(FRAMES, 25)
    track = AacTrack(48_000, 1, 0, False, array("I"), b"").fitted(seconds)
    return Audio(np.zeros(0, np.float32), seconds, track, MediaFacts(container="none"))


def written(path, frames, audio, encoder, taken=()):
    """In two segments, the first perhaps taken from an earlier writer; the facts and the first segment's pictures."""
    first = list(taken)
    with VideoWriter(path, 256, 256, audio, threads=1, encoder=encoder) as writer:
        writer.take(taken)
        for frame in frames[CUT if taken else 0 :]:
            out = writer.write(frame)
            if frame.index < CUT:
                first += out
            if frame.index == CUT - 1:
                first += writer.cut()
        return writer.close(), first


def opened(encoder):
    """libav's own context, opened."""
    codec = av.CodecContext.create(encoder.codec, "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 256, 256, "yuv420p", Fraction(1, 25)
    codec.options = dict(encoder.options)
    codec.open()
    return codec


def without_a_driver():
    """The error of NVENC here; on a machine with a working one there is none to look at."""
    try:
        opened(nvenc())
    except av.error.FFmpegError as error:
        return error
    pytest.skip("NVENC works on this machine")


@pytest.mark.parametrize("option", nvenc().options)
def test_libav_knows_every_option_of_nvenc(option):
    """A name that it does not know it would pass over; a known one refuses what is no value of it."""
    with pytest.raises(av.error.ArgumentError):
        opened(Encoder("nvenc", "h264_nvenc", {**nvenc().options, option: "nonsense"}))


def test_libav_takes_every_value_of_nvenc_and_then_looks_for_the_driver():
    assert isinstance(without_a_driver(), PermissionError), "a wrong value would be an ArgumentError"


def test_a_writer_whose_encoder_has_no_driver_blames_the_encoder_and_not_the_disk(tmp_path, silence):
    without_a_driver()
    with pytest.raises(EngineFailed, match=r"the encoder nvenc failed: .*not permitted.*DUBLINE_ENCODER"):
        VideoWriter(tmp_path / "out.mp4", 256, 256, silence, threads=1, encoder=nvenc())


def test_an_encoder_that_fails_on_the_way_is_the_engines_failure(tmp_path, frames, silence, monkeypatch):
    class Failing:
        def encode(self, picture):
            raise av.error.ExternalError(-542398533, "Generic error in an external library")

    with VideoWriter(tmp_path / "out.mp4", 256, 256, silence, threads=1, encoder=STAND_IN) as writer:
        writer.write(frames[0])
        writer._encoder = Failing()
        for last in (lambda: writer.write(frames[1]), writer.cut):
            with pytest.raises(EngineFailed, match="the encoder stand-in failed"):
                last()


@pytest.mark.parametrize("encoder", [STAND_IN, x264()], ids=lambda each: each.name)
def test_segments_of_any_encoder_join_and_may_be_of_an_earlier_writer(tmp_path, frames, silence, encoder):
    whole, first = written(tmp_path / "a.mp4", frames, silence, encoder)
    resumed, _ = written(tmp_path / "b.mp4", frames, silence, encoder, first)
    assert resumed == whole
    assert whole.encoder == encoder.name
    with av.open(str(tmp_path / "a.mp4")) as container:
        packets = [each for each in container.demux(video=0) if each.size]
    times = sorted(round(each.pts * each.time_base * 25) for each in packets)
    keys = {round(each.pts * each.time_base * 25) - times[0] for each in packets if each.is_keyframe}
    assert [each - times[0] for each in times] == list(range(FRAMES))
    assert {0, CUT} <= keys
    assert any(each.pts != each.dts for each in packets), "there are B-frames"


@pytest.mark.parametrize("encoder", [STAND_IN, x264()], ids=lambda each: each.name)
def test_a_clip_of_a_segment_shows_what_the_whole_file_shows(tmp_path, frames, silence, limits, encoder):
    with VideoWriter(tmp_path / "whole.mp4", 256, 256, silence, threads=1, encoder=encoder) as writer:
        segments = [[], []]
        for frame in frames:
            segments[frame.index >= CUT] += writer.write(frame)
            if frame.index == CUT - 1:
                segments[0] += writer.cut()
        segments[1] += writer.cut()
        for number, each in enumerate(segments):
            writer.clip(tmp_path / f"{number}.mp4", each)
        writer.close()
    parts = planes(tmp_path / "0.mp4", CUT, limits) + planes(tmp_path / "1.mp4", FRAMES - CUT, limits)
    assert parts == planes(tmp_path / "whole.mp4", FRAMES, limits)


def planes(path, count, limits):
    """Of every frame, as a decode child gives them."""
    with VideoSource(path, limits) as source:
        shown = [
            each.y.tobytes() + each.u.tobytes() + each.v.tobytes() for each in source.frames(count, "freeze")
        ]
        assert source.source_frames == count
    return shown


def test_a_clip_for_which_there_is_no_room_is_a_temporary_failure(tmp_path, frames, silence):
    with VideoWriter(tmp_path / "out.mp4", 256, 256, silence, threads=1) as writer:
        made = writer.write(frames[0]) + writer.cut()
        with pytest.raises(DiskFull, match="/dev/full"):
            writer.clip(Path("/dev/full"), made)


def test_two_encoders_give_two_files(tmp_path, frames, silence):
    made = {each.name: written(tmp_path / each.name, frames, silence, each)[0] for each in (STAND_IN, x264())}
    assert made["stand-in"].sha256 != made["x264"].sha256


@pytest.mark.parametrize(
    ("size", "name"),
    [
        ((1920, 1080), "nvenc"),
        ((256, 256), "nvenc"),
        ((4096, 2304), "nvenc"),
        ((1920, 254), "x264"),
        ((254, 1920), "x264"),
        ((4098, 2160), "x264"),
        ((2160, 4098), "x264"),
    ],
)
def test_pictures_that_nvenc_does_not_take_are_encoded_by_x264(size, name):
    assert nvenc().suited(*size).name == name


def test_the_same_bytes_have_one_identity_and_other_cards_another(monkeypatch):
    identities = set()
    for has_avx_512 in (True, False):
        monkeypatch.setattr(cv2, "checkHardwareSupport", lambda _, has=has_avx_512: has)
        identities.add(x264().identity)
    assert identities == {"x264"}
    assert Encoder("nvenc", "", {}, "a").identity != Encoder("nvenc", "", {}, "b").identity
