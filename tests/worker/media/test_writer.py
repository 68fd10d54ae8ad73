"""The finished file, read back with libav."""

import hashlib
import resource
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from contract.errors import DiskFull, ResourceExhausted
from worker.media.audio import read_audio
from worker.media.frame import Frame
from worker.media.source import VideoSource
from worker.media.writer import VideoWriter


def frames_of(pictures: list[np.ndarray]) -> list[Frame]:
    """Frames of RGB pictures."""
    made = []
    for index, rgb in enumerate(pictures):
        height, width = rgb.shape[:2]
        stored = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        memory = stored.to_ndarray().reshape(-1)
        y, u, v = np.split(memory, [width * height, width * height * 5 // 4])
        half = height // 2, width // 2
        made.append(Frame(index, index, y.reshape(height, width), u.reshape(half), v.reshape(half)))
    return made


def written(path, frames, audio, threads=2):
    with VideoWriter(path, frames[0].width, frames[0].height, audio, threads=threads) as writer:
        for frame in frames:
            writer.write(frame)
        return writer.close()


@pytest.fixture
def pictures(clips):
    return frames_of([clips.numbered(n, 160, 120) for n in range(50)])


@pytest.fixture
def audio(clips, limits):
    return read_audio(clips.audio("a.wav", clips.tone(2, 48_000), 48_000, "pcm_s16le"), limits)


def test_every_frame_is_there_once_and_in_order(clips, tmp_path, pictures, audio):
    written(tmp_path / "out.mp4", pictures, audio)
    with av.open(str(tmp_path / "out.mp4")) as container:
        shown = [
            (frame.time, clips.number_of(frame.to_ndarray()[:120])) for frame in container.decode(video=0)
        ]
    assert shown == [(pytest.approx(n / 25), n) for n in range(50)]


def test_the_facts_are_those_of_the_file(tmp_path, pictures, audio):
    facts = written(tmp_path / "out.mp4", pictures, audio)
    content = (tmp_path / "out.mp4").read_bytes()
    assert (facts.frames, facts.bytes, facts.duration_seconds) == (50, len(content), 2.0)
    assert facts.sha256 == hashlib.sha256(content).hexdigest()
    assert (facts.width, facts.height, facts.fps) == (160, 120, "25")


def test_the_same_frames_give_the_same_bytes(tmp_path, pictures, audio):
    first, second = (written(tmp_path / name, pictures, audio) for name in ("a.mp4", "b.mp4"))
    assert first == second


def test_the_same_frames_give_the_same_bytes_whatever_lay_in_memory_before(tmp_path, audio):
    """x264 4:2:0 of 336x240 with motion in all directions: what its AVX-512 code got wrong most of the time."""
    frames, seen = list(wobbling(336, 240, 25)), set()
    for attempt in range(6):
        litter = [np.full(size, 37 * attempt, np.uint8) for size in (1_000, 10_000, 30_000, 120_000) * 90]
        del litter
        seen.add(written(tmp_path / "out.mp4", frames, audio).sha256)
    assert len(seen) == 1


def in_parts(path, frames, audio, ends, taken=()):
    """Written with cuts before those frames, the first parts taken from an earlier writer; the parts, too."""
    parts, part = [], []
    with VideoWriter(path, frames[0].width, frames[0].height, audio, threads=2) as writer:
        for earlier in taken:
            writer.take(earlier)
        for frame in frames[ends[len(taken) - 1] if taken else 0 :]:
            part += writer.write(frame)
            if frame.index + 1 in ends:
                part += writer.cut()
                parts.append(part)
                part = []
        return writer.close(), parts


def test_parts_that_another_writer_encoded_make_the_same_file(tmp_path, pictures, audio):
    ends = [20, 40]
    whole, parts = in_parts(tmp_path / "a.mp4", pictures, audio, ends)
    for count in (1, 2):
        resumed, _ = in_parts(tmp_path / "b.mp4", pictures, audio, ends, parts[:count])
        assert resumed == whole
    with av.open(str(tmp_path / "a.mp4")) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    keys = {round(each.pts * each.time_base * 25) for each in packets if each.is_keyframe}
    assert {0, 20, 40} <= keys
    assert sorted(round(each.pts * each.time_base * 25) for each in packets) == list(range(50))


def test_one_part_is_the_file_as_it_always_was(tmp_path, pictures, audio):
    assert in_parts(tmp_path / "a.mp4", pictures, audio, [50])[0] == written(
        tmp_path / "b.mp4", pictures, audio
    )


def test_nobody_sees_where_one_part_ends_and_another_begins(tmp_path, audio):
    frames = list(wobbling(336, 240, 50))
    in_parts(tmp_path / "parts.mp4", frames, audio, [25])
    written(tmp_path / "whole.mp4", frames, audio)
    parts, whole = (decibels(tmp_path / name, frames) for name in ("parts.mp4", "whole.mp4"))
    assert np.abs(parts - whole).max() < 4
    assert parts.min() > whole.min() - 1


def decibels(path, frames):
    """PSNR of luma, a value a frame."""
    with av.open(str(path)) as container:
        shown = [each.to_ndarray()[: frames[0].height] for each in container.decode(video=0)]
    errors = [np.square(a.astype(float) - b.y).mean() for a, b in zip(shown, frames, strict=True)]
    return 10 * np.log10(255**2 / np.array(errors))


def wobbling(width, height, count):
    """Frames of a chequered cloth in the wind."""
    cells = np.random.default_rng(0).integers(0, 255, (height // 8, width // 8), np.uint8)
    cloth, (down, across) = cells.repeat(8, 0).repeat(8, 1), np.mgrid[0:height, 0:width]
    grey = np.full((height // 2, width // 2), 128, np.uint8)
    for index in range(count):
        x = (across + 6 * np.sin(down / 20 + index / 3)).astype(int).clip(0, width - 1)
        y = (down + 6 * np.cos(across / 25 + index / 4)).astype(int).clip(0, height - 1)
        yield Frame(index, index, cloth[y, x], grey, grey)


def test_the_output_is_tagged_bt709_limited_and_starts_before_it_is_loaded(tmp_path, pictures, audio):
    written(tmp_path / "out.mp4", pictures, audio)
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
        assert container.streams.video[0].average_rate == 25
    assert (frame.colorspace, frame.color_range) == (Colorspace.ITU709, ColorRange.MPEG)
    assert (frame.color_primaries, frame.color_trc) == (ColorPrimaries.BT709, ColorTrc.BT709)
    content = (tmp_path / "out.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


CLICKS = {
    "wav": ("a.wav", "pcm_s16le", 44_100),
    "mp3": ("a.mp3", "libmp3lame", 44_100),
    "m4a, copied": ("a.m4a", "aac", 44_100),
    "opus": ("a.ogg", "libopus", 48_000),
}


@pytest.mark.parametrize("name", CLICKS)
def test_clicks_stay_on_their_flashes(clips, tmp_path, limits, name):
    """A click and a white frame each second: after mux and demux they are still together, within 2 ms."""
    file, codec, rate = CLICKS[name]
    samples = 0 * clips.tone(4, rate, 2)
    for second in (1, 2, 3):
        samples[second * rate : second * rate + rate // 50] = 0.8
    sound = read_audio(clips.audio(file, samples, rate, codec), limits)
    flat = [np.full((120, 160, 3), 235 if n in (25, 50, 75) else 20, np.uint8) for n in range(sound.frames)]
    written(tmp_path / "out.mp4", frames_of(flat), sound)
    clicks, flashes = onsets(tmp_path / "out.mp4")
    assert flashes == [1.0, 2.0, 3.0]
    assert clicks == pytest.approx([1.0, 2.0, 3.0], abs=0.002)


def onsets(path) -> tuple[list[float], list[float]]:
    """Times at which the sound, and the picture, jump up."""
    with av.open(str(path)) as container:
        flashes = [f.time for f in container.decode(video=0) if f.to_ndarray()[:120].mean() > 128]
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    level = np.abs(np.concatenate([frame.to_ndarray()[0] for frame in frames]))
    loud = np.flatnonzero(level > 0.4)
    begins = loud[np.flatnonzero(np.diff(loud, prepend=-(10**6)) > frames[0].sample_rate // 2)]
    return [frames[0].time + begin / frames[0].sample_rate for begin in begins], flashes


@pytest.mark.parametrize("mode", ["cut", "silence"])
def test_picture_and_sound_end_together(clips, tmp_path, limits, mode):
    video, sound = clips.video("a.mp4", 30), clips.audio("a.wav", clips.tone(2, 16_000), 16_000, "pcm_s16le")
    if mode == "silence":
        video = clips.video("b.mp4", 80)
    audio = read_audio(sound, limits)
    with VideoSource(video, limits) as source:
        length = source.length(audio.frames, mode)
        written(tmp_path / "out.mp4", list(source.frames(length, mode)), audio.fitted(length))
    with av.open(str(tmp_path / "out.mp4")) as container:
        pictures, heard = (stream.duration * stream.time_base for stream in container.streams)
    assert pictures == Fraction(length, 25) and length == {"cut": 30, "silence": 80}[mode]
    assert abs(heard - pictures) < Fraction(1, 25)


def test_a_full_disk_is_a_temporary_failure(pictures, audio):
    with pytest.raises(DiskFull, match="cannot be written"):
        written("/dev/full", pictures, audio)


def test_a_disk_that_fills_up_on_the_way_is_a_temporary_failure_too(tmp_path, audio):
    noise = np.random.default_rng(0).integers(0, 255, (50, 480, 640, 3), dtype=np.uint8)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # the end of the file fails as well
    try:
        with pytest.raises(ResourceExhausted, match="cannot be written"):
            written(tmp_path / "out.mp4", frames_of(noise), audio)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
