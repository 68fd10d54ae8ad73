"""Opening what a user sent: whitelists first, and the one door at which libav's errors become ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from contract.errors import DecodeLimit, FormatForbidden, InputTooLarge, NotMedia
from worker.media.limits import Limits

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,wav,mp3,aac,flac,ogg"
_VIDEO = (
    "h264 hevc libdav1d av1 vp8 vp9 libvpx libvpx-vp9 mpeg4 mpeg2video mpeg1video h263 mjpeg prores dnxhd theora "
    "rawvideo"
)
_AUDIO = (
    "aac aac_latm mp3 mp3float mp2 mp2float ac3 eac3 flac alac opus libopus vorbis libvorbis amrnb amrwb pcm_u8 "
    "pcm_s16le pcm_s16be pcm_s24le pcm_s24be pcm_s32le pcm_s32be pcm_f32le pcm_f32be pcm_f64le pcm_mulaw pcm_alaw"
)
VIDEO_CODECS = frozenset(_VIDEO.split())
AUDIO_CODECS = frozenset(_AUDIO.split())
"""Names of libav's decoders."""
_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"v=0", b"<MPD", b"<?xml")
_PICTURE_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"avif")  # ISO/IEC 23008-12
_SNIFFED_BYTES = 64


@contextmanager
def translated() -> Iterator[None]:
    """The door: libav's errors leave it as ours."""
    try:
        yield
    except MemoryError as error:
        raise DecodeLimit("decoding needs more memory than it may have; convert the file") from error
    except (av.error.ArgumentError, av.error.DecoderNotFoundError) as error:
        raise FormatForbidden(_FORBIDDEN) from error
    except (av.FFmpegError, ValueError) as error:
        said = error.strerror if isinstance(error, av.FFmpegError) else error  # its str() ends with our path
        raise NotMedia(f"not a media file, or one without its index ({said}); export it again") from error


_FORBIDDEN = f"a playlist, a script or a container that is not on the list ({FORMATS}); convert it to mp4"


def open_media(path: Path) -> InputContainer:
    """The container, opened behind the whitelists of formats, protocols and codecs.

    Raises:
        FormatForbidden, NotMedia, DecodeLimit
    """
    _refuse_by_name(path)
    options = {
        "format_whitelist": FORMATS,
        "protocol_whitelist": "file",
        "codec_whitelist": ",".join(sorted(VIDEO_CODECS | AUDIO_CODECS)),
        "probesize": "5000000",
        "analyzeduration": "5000000",
    }
    with translated():
        container: InputContainer = av.open(str(path), container_options=options, **_tag_options())
        return container


def _refuse_by_name(path: Path) -> None:
    """What the first bytes call by its name.

    The whitelists stop playlists too, this names the fault. They do not stop HEIC, of which libav shows one tile.
    """
    with path.open("rb") as file:
        head = file.read(_SNIFFED_BYTES)
    if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(_PLAYLISTS):
        raise FormatForbidden(_FORBIDDEN)
    if head[4:8] == b"ftyp" and head[8:12] in _PICTURE_BRANDS:
        raise FormatForbidden("a HEIC or AVIF picture; save it as JPEG or PNG")


def _tag_options() -> dict[str, Any]:
    """PyAV 18 fails on tags that are not UTF-8 unless told otherwise; 19 does not and has no such argument."""
    return {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


def video_stream(container: InputContainer) -> VideoStream | None:
    """The first video stream that is not a cover picture."""
    return next((s for s in container.streams.video if not s.disposition & Disposition.attached_pic), None)


def audio_stream(container: InputContainer) -> AudioStream | None:
    """The first audio stream."""
    return next(iter(container.streams.audio), None)


def check_codec(stream: Stream, allowed: frozenset[str]) -> None:
    """Raises FormatForbidden unless the stream's decoder is on the list."""
    name = stream.codec_context.name if stream.codec_context else "unknown"
    if name not in allowed:
        raise FormatForbidden(
            f"the {stream.type} codec {name} is not on the list; convert it to mp4 (H.264, AAC)"
        )


def check_pixels(width: int, height: int, limits: Limits) -> None:
    """Raises InputTooLarge for a picture over the limit."""
    if width * height > limits.pixels:
        raise InputTooLarge(
            f"the picture is {width}x{height}, over the limit of {limits.pixels} pixels; scale it down, "
            "or raise DUBLINE_MAX_PIXELS"
        )


def too_long(limits: Limits) -> InputTooLarge:
    """The error for more seconds than the limit."""
    return InputTooLarge(
        f"it lasts longer than the limit of {limits.seconds:g} s; cut it, or raise DUBLINE_MAX_SECONDS"
    )


def seconds(stream: Stream, stamp: int) -> Fraction:
    """A time stamp of the stream in seconds."""
    return stamp * (stream.time_base or Fraction(1, 90_000))


def declared_seconds(container: InputContainer, stream: Stream) -> Fraction | None:
    """What the headers say the stream lasts; nothing here may be believed."""
    if stream.duration:
        return seconds(stream, stream.duration)
    return Fraction(container.duration, av.time_base) if container.duration else None


def container_name(container: InputContainer) -> str:
    """`mp4` for the whole QuickTime family, else libav's first name."""
    names = container.format.name.split(",")
    return "mp4" if "mp4" in names else names[0]


def audio_facts(container: InputContainer, stream: AudioStream) -> dict[str, Any]:
    """The fields of contract.manifest.MediaFacts that concern the sound; the length as declared."""
    declared = declared_seconds(container, stream)
    return {
        "container": container_name(container),
        "audio_codec": stream.codec_context.codec.canonical_name,
        "sample_rate": stream.codec_context.sample_rate,
        "channels": stream.codec_context.channels,
        "duration_seconds": float(declared) if declared else None,
    }
