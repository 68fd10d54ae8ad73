"""Pictures as sources of one frame."""

import struct
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from contract.errors import InputTooLarge, NotMedia
from worker.media.child.still import Still
from worker.media.frame import Frame
from worker.media.limits import Limits
from worker.media.source import VideoSource, probe


def shown(path, limits: Limits | None = None) -> Frame:
    still = Still(path, limits or Limits())
    _, picture = next(still.forward())
    width, height = still.shown
    y, u, v = np.split(picture, [width * height, width * height * 5 // 4])
    half = height // 2, width // 2
    return Frame(0, 0, y.reshape(height, width), u.reshape(half), v.reshape(half))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.gif"])
def test_a_picture_is_a_source_of_one_frame_shown_again_and_again(clips, limits, numbers, name):
    path = clips.folder / name
    Image.fromarray(clips.numbered(77, 160, 120)).save(path, **({"quality": 95} if name == "a.jpg" else {}))
    with VideoSource(path, limits) as source:
        assert source.is_still and (source.width, source.height) == (160, 120)
        assert source.length(4, "cut") == source.length(4, "silence") == 4
        frames = list(source.frames(4, "bounce"))
        assert (source.source_frames, source.warnings) == (1, ())
    assert numbers(frames) == [77] * 4
    assert [frame.source_index for frame in frames] == [0] * 4
    assert probe(path, limits).width == 160


@pytest.mark.parametrize("mode", ["bounce", "loop", "cut", "freeze", "silence"])
def test_a_picture_lasts_as_long_as_the_audio_in_every_mode(clips, limits, numbers, mode):
    path = clips.folder / "a.png"
    Image.fromarray(clips.numbered(77, 160, 120)).save(path)
    with VideoSource(path, limits) as source:
        assert numbers(source.frames(source.length(4, mode), mode)) == [77] * 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_picture_upright(clips, orientation):
    """The stored picture is the upright one, put through the inverse of what EXIF asks for (TIFF 6.0, tag 274)."""
    upright = Image.fromarray(clips.numbered(77, 160, 120))
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(inverse[orientation]))
    exif = Image.Exif()
    exif[274] = orientation
    path = clips.folder / "a.jpg"
    stored.save(path, exif=exif, quality=95)
    frame = shown(path)
    assert (frame.width, frame.height, clips.number_of(frame.y)) == (160, 120, 77)


def test_colours_are_those_of_the_picture(clips):
    path = clips.folder / "a.png"
    Image.new("RGB", (64, 64), (200, 60, 40)).save(path)
    assert shown(path).rgb()[30, 30].tolist() == pytest.approx([200, 60, 40], abs=2)


MODES = {
    "RGBA half clear": (Image.new("RGBA", (64, 64), (200, 100, 50, 128)), (100, 50, 25)),
    "palette": (Image.new("RGB", (64, 64), (200, 100, 50)).quantize(4), (200, 100, 50)),
    "grey": (Image.new("L", (64, 64), 99), (99, 99, 99)),
    "16 bit grey": (Image.fromarray(np.full((64, 64), 99 * 256, np.uint16)), (99, 99, 99)),
    "one bit": (Image.new("1", (64, 64), 1), (255, 255, 255)),
}


@pytest.mark.parametrize("name", MODES)
def test_every_mode_of_png_is_shown_on_black(clips, name):
    image, colour = MODES[name]
    path = clips.folder / "a.png"
    image.save(path)
    assert shown(path).rgb()[30, 30].tolist() == pytest.approx(list(colour), abs=2)


@pytest.mark.parametrize(("size", "even"), [((161, 121), (160, 120)), ((1, 1), (2, 2)), ((3, 1), (2, 2))])
def test_an_odd_size_becomes_even(clips, size, even):
    path = clips.folder / "a.png"
    Image.new("RGB", size, "white").save(path)
    assert (shown(path).width, shown(path).height) == even


@pytest.mark.parametrize("name", ["a.webp", "a.gif"])
def test_an_animation_shows_its_first_picture_with_a_warning(clips, limits, name):
    first, second = (Image.fromarray(clips.numbered(n, 160, 120)) for n in (5, 6))
    path = clips.folder / name
    first.save(path, save_all=True, append_images=[second], duration=40)
    with VideoSource(path, limits) as source:
        frames = list(source.frames(2, "bounce"))
    assert [clips.number_of(frame.y) for frame in frames] == [5, 5]
    assert [warning.code for warning in source.warnings] == ["source_animated"]


def gif_header(width: int, height: int) -> bytes:
    """A GIF of two colours that claims a size, with next to no pixels."""
    size = struct.pack("<HH", width, height)
    return b"GIF89a" + size + b"\x80\0\0" + bytes(6) + b"\x2c" + bytes(4) + size + b"\0\2\1\x05\0;"


@pytest.mark.parametrize("side", [16_000, 30_000])
def test_a_png_bomb_is_refused_by_its_header(clips, limits, side):
    path = clips.file("a.png", clips.png_of(side, side, rows=10))
    with pytest.raises(InputTooLarge, match=f"{side}x{side}.*pixels; scale it down"):
        VideoSource(path, limits)


def test_a_gif_bomb_under_another_name_is_refused_by_its_header(clips, limits):
    with pytest.raises(InputTooLarge, match="65535x65535"):
        VideoSource(clips.file("a.mp4", gif_header(65_535, 65_535)), limits)


def test_a_damaged_picture_is_refused(clips, limits):
    buffer = BytesIO()
    Image.fromarray(clips.numbered(1, 160, 120)).save(buffer, "PNG")
    with pytest.raises(NotMedia, match="damaged"):
        VideoSource(clips.file("a.png", buffer.getvalue()[: len(buffer.getvalue()) // 2]), limits)
