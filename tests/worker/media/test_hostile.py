"""Bad input: a clear error with a stable code, or what is there with a warning; never a crash, a hang or a leak."""

import os
import random
import resource
import signal
import threading
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from contract.errors import (
    ConfigurationError,
    DecodeLimit,
    EmptyInput,
    FormatForbidden,
    InputNotFound,
    InputRejected,
    InputTooLarge,
    NoAudio,
    NotMedia,
    NoVideo,
    ResourceExhausted,
    TimestampGap,
)
from worker.media import decoder
from worker.media.audio import read_audio
from worker.media.limits import Limits
from worker.media.source import VideoSource, probe

FASTSTART = {"movflags": "+faststart"}


def no_index(clips):
    """An mp4 that was never finished: its moov would have come last."""
    return clips.cut(clips.video("a.mp4", 50), 0.6).read_bytes()


def playlist(clips):
    """An HLS playlist that names a good clip beside it."""
    clips.video("secret.ts", 10)
    return "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n"


def script(clips):
    clips.video("secret.mp4", 10)
    return "ffconcat version 1.0\nfile secret.mp4\n"


MANIFEST = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
    '<Representation id="1" bandwidth="1"><BaseURL>secret.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>'
)
SESSION = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
REFUSED = {
    "zero bytes": (EmptyInput, lambda clips: b""),
    "text": (NotMedia, lambda clips: "This is not a video.\n" * 50),
    "random bytes": (NotMedia, lambda clips: random.Random(0).randbytes(5000)),
    "no moov": (NotMedia, no_index),
    "playlist": (FormatForbidden, playlist),
    "playlist after a byte order mark": (FormatForbidden, lambda clips: "\ufeff" + playlist(clips)),
    "concat script": (FormatForbidden, script),
    "SDP": (FormatForbidden, lambda clips: SESSION),
    "MPD": (FormatForbidden, lambda clips: MANIFEST),
    "HEIC": (FormatForbidden, lambda clips: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("read", [VideoSource, read_audio, probe])
def test_what_is_not_media_is_refused_under_any_name(clips, limits, name, read):
    error, content = REFUSED[name]
    path = clips.file("named.mp4", content(clips))
    with pytest.raises(error, match=r"^named\.mp4") as raised:
        read(path, limits)
    assert not raised.value.retryable


FORMATS = {"a.flv": "flv", "a.nut": "ffv1", "a.y4m": "rawvideo", "a.mkv": "ffv1", "b.avi": "huffyuv"}


@pytest.mark.parametrize("name", FORMATS)
def test_containers_and_codecs_off_the_list_are_refused(clips, limits, name):
    path = clips.video(name, 3, codec=FORMATS[name], pix_fmt="yuv422p" if name == "b.avi" else "yuv420p")
    with pytest.raises(FormatForbidden, match="convert it to mp4"):
        VideoSource(path, limits)


def test_the_codec_whitelist_also_holds_for_audio(clips, limits):
    with pytest.raises(FormatForbidden, match="adpcm_ms"):
        read_audio(clips.audio("a.wav", clips.tone(1, 16_000), 16_000, "adpcm_ms"), limits)


def test_a_file_with_sound_alone_is_no_video(clips, limits):
    with pytest.raises(NoVideo, match="no video stream"):
        VideoSource(clips.audio("a.m4a", clips.tone(1, 48_000), 48_000), limits)


def test_a_missing_file_is_named(clips, limits):
    with pytest.raises(InputNotFound, match=r"nowhere\.mp4 is not a file"):
        VideoSource(clips.folder / "nowhere.mp4", limits)


def test_more_bytes_than_the_limit_are_refused_before_anything_reads_them(clips, monkeypatch):
    monkeypatch.setattr(decoder.subprocess, "Popen", None)
    with pytest.raises(InputTooLarge, match="DUBLINE_MAX_INPUT_BYTES"):
        VideoSource(clips.file("a.mp4", bytes(1001)), Limits(bytes=1000))


def test_more_pixels_than_the_limit_are_refused(clips, limits):
    with pytest.raises(InputTooLarge, match="160x120"):
        VideoSource(clips.video("a.mp4", 3), replace(limits, pixels=160 * 120 - 1))


@pytest.mark.parametrize("mode", ["silence", "bounce"])
def test_more_seconds_than_the_limit_are_refused(clips, limits, mode):
    with pytest.raises(InputTooLarge, match="DUBLINE_MAX_SECONDS"):  # noqa: SIM117
        with VideoSource(clips.video("a.mp4", 60), replace(limits, seconds=1.0)) as source:
            list(source.frames(source.length(25, mode), mode))


def test_a_declared_length_over_the_limit_is_refused_only_if_the_packets_agree(clips, limits, numbers):
    """The header's duration is patched to a day; the second of video that there is can be rendered."""
    path = clips.declare(clips.video("a.mp4", 25), seconds=86_400)
    with VideoSource(path, limits) as source:
        assert numbers(source.frames(25, "cut")) == list(range(25))
    with pytest.raises(InputTooLarge):
        VideoSource(path, replace(limits, seconds=0.5))


@pytest.mark.parametrize("seconds", [3600, 86_400])
def test_a_gap_in_the_time_stamps_is_refused(clips, limits, seconds):
    path = clips.video("a.mkv", 20, times=[n / 25 + (seconds if n >= 10 else 0) for n in range(20)])
    with pytest.raises(TimestampGap, match=f"{seconds} s without a frame after second 0.4"):  # noqa: SIM117
        with VideoSource(path, limits) as source:
            list(source.frames(1000, "bounce"))


@pytest.mark.parametrize("claimed", [(160, 120), (16_000, 16_000)])
def test_a_jpeg_of_16000_squared_inside_an_mkv_is_refused(clips, limits, claimed):
    """Whether the container says so or claims a small picture."""
    path = mjpeg_bomb(clips.folder / "a.mkv", claimed)
    with pytest.raises((InputTooLarge, NoVideo)):
        VideoSource(path, limits)


def mjpeg_bomb(path, claimed):
    with av.open(str(path), "w") as container:
        stream = container.add_mux_stream("mjpeg", rate=25, width=claimed[0], height=claimed[1])
        encoder = av.CodecContext.create("mjpeg", "w")
        encoder.width, encoder.height, encoder.pix_fmt = 160, 120, "yuvj420p"
        encoder.time_base, encoder.color_range = Fraction(1, 25), 2
        for pts in range(5):
            frame = av.VideoFrame(160, 120, "yuvj420p")
            frame.pts, frame.time_base = pts, encoder.time_base
            for packet in encoder.encode(frame):
                content = bytearray(packet)
                at = content.index(b"\xff\xc0") + 5  # SOF0: marker, length, precision, then height and width
                content[at : at + 4] = (16_000).to_bytes(2, "big") * 2
                bomb = av.Packet(bytes(content))
                bomb.stream, bomb.pts, bomb.dts, bomb.time_base = stream, pts, pts, encoder.time_base
                container.mux(bomb)
    return path


TRUNCATED = {"a.mp4": FASTSTART, "a.mkv": {}}


@pytest.mark.parametrize("mode", ["bounce", "cut", "silence"])
@pytest.mark.parametrize("name", TRUNCATED)
def test_a_truncated_file_is_rendered_to_what_is_there_with_a_warning(clips, limits, numbers, name, mode):
    path = clips.cut(clips.video(name, 100, mux=TRUNCATED[name], options={"g": "10"}), 0.5)
    with VideoSource(path, limits) as source:
        length = source.length(100, mode)
        shown = numbers(source.frames(length, mode))
    there = source.source_frames
    assert 20 < there < 80
    assert shown[:there] == list(range(there))
    assert len(shown) == (there if mode == "cut" else 100)
    assert "source_truncated" in [warning.code for warning in source.warnings]


def test_a_damaged_tail_is_tolerated_and_counted(clips, limits):
    path = clips.damage(clips.video("a.mp4", 100, mux=FASTSTART, options={"g": "10"}), begin=0.6)
    with VideoSource(path, limits) as source:
        frames = list(source.frames(150, "bounce"))
    assert len(frames) == 150
    warning = next(warning for warning in source.warnings if warning.code == "source_corrupt")
    assert "packets could not be decoded" in warning.message


def test_damage_that_is_shown_is_counted_though_the_end_is_not_reached(clips, limits):
    path = clips.damage(clips.video("a.mp4", 100, mux=FASTSTART, options={"g": "10"}), begin=0.4)
    with VideoSource(path, limits) as source:
        assert len(list(source.frames(60, "bounce"))) == 60
    assert source.source_frames is None
    assert [warning.code for warning in source.warnings] == ["source_corrupt"]


def test_a_message_names_the_input_and_no_folder_of_this_machine(clips, limits):
    with pytest.raises(NotMedia) as caught:
        VideoSource(clips.file("a.mp4", "This is not a video.\n" * 50), limits)
    assert caught.value.message == (
        "a.mp4: not a media file, or one without its index (Invalid data found when processing input); "
        "export it again"
    )


def test_a_clip_with_nothing_left_to_decode_has_no_video_and_no_audio(clips, limits):
    path = clips.video("a.mp4", 30, audio_seconds=1, mux=FASTSTART)
    content = path.read_bytes()
    at = content.index(b"mdat") + 4
    path.write_bytes(content[:at] + bytes(len(content) - at))
    with pytest.raises(NoVideo, match="none of its frames decodes"):
        VideoSource(path, limits)
    with pytest.raises(NoAudio, match="none of its audio decodes"):
        read_audio(path, limits)


def test_files_changed_at_random_never_do_worse_than_an_error_of_ours(clips, limits):
    good = clips.video("a.mp4", 25, mux=FASTSTART, audio_seconds=1).read_bytes()
    for seed in range(8):
        noise, content = random.Random(seed), bytearray(good)
        for _ in range(2 ** (seed % 6)):
            content[noise.randrange(len(content))] = noise.randrange(256)
        path = clips.file("fuzz.mp4", bytes(content))
        for read in (lambda path: list(opened(path, limits)), lambda path: read_audio(path, limits)):
            try:
                read(path)
            except InputRejected:
                continue


def opened(path, limits):
    with VideoSource(path, limits) as source:
        yield from source.frames(40, "bounce")


def test_running_out_of_memory_is_a_decode_limit(clips, limits):
    """A picture of 18 MB in one bit a pixel, and of 430 MB in RGB."""
    path = clips.file("a.png", clips.png_of(12_000, 12_000))
    with pytest.raises(DecodeLimit, match="more memory"):
        VideoSource(path, replace(limits, pixels=12_000**2, memory_bytes=400 * 2**20))


def test_a_decoder_that_crashes_is_told_in_one_line(clips, limits):
    with pytest.raises(InputRejected) as caught:
        VideoSource(clips.video("a.mp4", 3), replace(limits, memory_bytes=10**6))
    assert "Traceback" not in caught.value.message and "\n" not in caught.value.message


def test_running_out_of_cpu_time_is_a_decode_limit(clips, limits):
    path = clips.video("a.mp4", 40, size=(640, 480))
    with (
        pytest.raises(DecodeLimit, match="SIGXCPU"),
        VideoSource(path, replace(limits, cpu_seconds=1)) as source,
    ):
        for _ in source.frames(10**6, "bounce"):
            pass


def grow_impatient(source):
    """From here on half a second is a stall; the start of a process may take longer on a busy machine."""
    source._decoder._limits = replace(source._decoder._limits, stall_seconds=0.5)


def test_a_decoder_that_stalls_is_ended(clips, limits):
    with VideoSource(clips.video("a.mp4", 40, size=(640, 480)), limits) as source:
        grow_impatient(source)
        frames = source.frames(10_000, "bounce")
        next(frames)
        pid = source._decoder._process.pid
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(DecodeLimit, match=r"no progress for 0\.5 s"):
            list(frames)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_reader_that_takes_its_time_does_not_stall_the_decoder(clips, limits):
    with VideoSource(clips.video("a.mp4", 20), limits) as source:
        grow_impatient(source)
        for frame in source.frames(3, "bounce"):
            time.sleep(0.3 * frame.index)


def test_a_decoder_that_the_system_kills_is_no_fault_of_the_input(clips, limits):
    with VideoSource(clips.video("a.mp4", 40, size=(640, 480)), limits) as source:
        frames = source.frames(10_000, "bounce")
        next(frames)
        os.kill(source._decoder._process.pid, signal.SIGKILL)
        with pytest.raises(ResourceExhausted, match="SIGKILL"):
            list(frames)


def test_a_child_that_cannot_start_is_a_fault_of_the_configuration(clips, limits, monkeypatch):
    monkeypatch.setattr(decoder, "_PACKAGE_ROOT", clips.folder)
    monkeypatch.setattr(decoder.sys, "executable", "/bin/false")
    with pytest.raises(ConfigurationError, match="does not start"):
        VideoSource(clips.video("a.mp4", 3), limits)


def test_the_child_sees_no_secrets_and_can_write_no_file(clips, limits, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    with VideoSource(clips.video("a.mp4", 3), limits) as source:
        pid = source._decoder._process.pid
        environment = Path(f"/proc/{pid}/environ").read_text()
        bounds = {
            kind: resource.prlimit(pid, kind)[0] for kind in (resource.RLIMIT_FSIZE, resource.RLIMIT_AS)
        }
    assert "hunter2" not in environment
    assert bounds == {resource.RLIMIT_FSIZE: 0, resource.RLIMIT_AS: limits.memory_bytes}


def test_no_process_and_no_descriptor_is_left_behind(clips, limits):
    good, bad = clips.video("a.mp4", 5), clips.file("b.mp4", "text")
    read_audio(clips.audio("a.wav", clips.tone(1, 8000), 8000, "pcm_s16le"), limits)
    before = descriptors(), threading.active_count(), children()
    for _ in range(3):
        list(opened(good, limits))
        with pytest.raises(NotMedia):
            probe(bad, limits)
    assert (descriptors(), threading.active_count(), children()) == before


def children() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
