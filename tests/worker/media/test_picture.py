"""Every kind of stored picture becomes upright, square, even, BT.709 limited 4:2:0. In this process, for speed."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from contract.errors import InputTooLarge
from worker.media.child.film import Film
from worker.media.child.tone import Light, to_sdr
from worker.media.frame import Frame
from worker.media.limits import Limits

# The four corners and the rest of the test pattern, RGB.
PATCHES = [
    (200, 40, 40),
    (40, 180, 60),
    (50, 60, 200),
    (220, 210, 60),
    (180, 180, 180),
    (230, 120, 40),
    (60, 190, 190),
    (30, 30, 30),
]


def first_frame(path, limits: Limits | None = None) -> Frame:
    source = Film(path, limits or Limits(), beat=lambda: None)
    _, picture = next(source.forward())
    width, height = source.shown
    y, u, v = np.split(picture, [width * height, width * height * 5 // 4])
    half = height // 2, width // 2
    return Frame(0, 0, y.reshape(height, width), u.reshape(half), v.reshape(half))


def patches(width: int = 160, height: int = 120) -> np.ndarray:
    """Eight flat colours, four a row."""
    rgb = np.zeros((height, width, 3), np.uint8)
    for index, colour in enumerate(PATCHES):
        top, left = index // 4 * height // 2, index % 4 * width // 4
        rgb[top : top + height // 2, left : left + width // 4] = colour
    return rgb


def colour_error(frame: Frame) -> int:
    """Largest error of a channel over the middles of the patches."""
    rgb, worst = frame.rgb().astype(int), 0
    for index, colour in enumerate(PATCHES):
        y, x = (index // 4 * 2 + 1) * frame.height // 4, (index % 4 * 2 + 1) * frame.width // 8
        worst = max(worst, np.abs(rgb[y, x] - colour).max())
    return worst


QUALITY = {"crf": "4"}
UNTAGGED: dict[str, int] = {}
HD = (1280, 720)
COLOURS = {
    "tagged 709": {"matrix": Colorspace.ITU709},
    "tagged 601": {"matrix": Colorspace.ITU601},
    "tagged 601, HD": {"matrix": Colorspace.ITU601, "size": HD},
    "full range": {"colour_range": ColorRange.JPEG},
    "full range 601 mjpeg": {
        "codec": "mjpeg",
        "pix_fmt": "yuvj420p",
        "matrix": Colorspace.ITU601,
        "colour_range": ColorRange.JPEG,
        "options": {"qmin": "1", "qmax": "1"},
    },
    "untagged SD is 601": {"matrix": Colorspace.ITU601, "tags": UNTAGGED},
    "untagged HD is 709": {"matrix": Colorspace.ITU709, "tags": UNTAGGED, "size": HD},
    "10 bit": {"pix_fmt": "yuv420p10le"},
    "4:4:4": {"pix_fmt": "yuv444p"},
    "4:2:2 prores": {"codec": "prores_ks", "pix_fmt": "yuv422p10le", "options": {}},
}


@pytest.mark.parametrize("name", COLOURS)
def test_colours_arrive_whatever_matrix_range_or_depth_they_were_stored_in(clips, name):
    how = {"options": QUALITY, **COLOURS[name]}
    size = how.get("size", (160, 120))
    frame = first_frame(clips.video("a.mov" if "prores" in name else "a.mkv", [patches(*size)], **how))
    assert colour_error(frame) <= 4


def test_a_file_in_our_format_passes_through_bit_exact(clips):
    path = clips.video("a.mp4", 1, size=(176, 144), options=QUALITY)
    with av.open(str(path)) as container:
        stored = next(container.decode(video=0)).to_ndarray()
    frame = first_frame(path)
    planes = np.concatenate([plane.reshape(-1) for plane in (frame.y, frame.u, frame.v)])
    assert np.array_equal(planes, stored.reshape(-1))


# The display matrix (a, b, c, d), and how numpy turns the stored picture upright with it (ISO/IEC 14496-12, 6.2.2).
TURNS = {
    "0": ((1, 0, 0, 1), lambda p: p),
    "90": ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
    "180": ((-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
    "270": ((0, -1, 1, 0), lambda p: np.rot90(p, 1)),
    "hflip": ((-1, 0, 0, 1), np.fliplr),
    "vflip": ((1, 0, 0, -1), np.flipud),
    "90 and hflip": ((0, 1, 1, 0), lambda p: np.fliplr(np.rot90(p, -1))),
    "270 and hflip": ((0, -1, -1, 0), lambda p: np.fliplr(np.rot90(p, 1))),
}


@pytest.mark.parametrize("name", TURNS)
def test_the_display_matrix_is_applied_with_its_flips(clips, name):
    matrix, upright = TURNS[name]
    path = clips.turn(clips.video("a.mp4", 1, size=(176, 144)), matrix)
    with av.open(str(path)) as container:
        stored = next(container.decode(video=0))
    y = np.frombuffer(stored.planes[0], np.uint8).reshape(144, -1)[:, :176]
    u = np.frombuffer(stored.planes[1], np.uint8).reshape(72, -1)[:, :88]
    frame = first_frame(path)
    assert np.array_equal(frame.y, upright(y))
    assert np.array_equal(frame.u, upright(u))


@pytest.mark.parametrize(
    ("shape", "size"),
    [(Fraction(64, 45), (228, 120)), (Fraction(8, 9), (160, 134)), (Fraction(1), (160, 120))],
)
def test_pixels_become_square(clips, shape, size):
    path = clips.video("a.mp4", 3, pixel_shape=shape)
    frame = first_frame(path)
    assert (frame.width, frame.height) == size
    assert clips.number_of(frame.y) == 0


ODD = {
    "vp9": ("a.webm", {"codec": "libvpx-vp9"}),
    "4:4:4": ("a.mkv", {"pix_fmt": "yuv444p"}),
    "mjpeg": (
        "a.mkv",
        {
            "codec": "mjpeg",
            "pix_fmt": "yuvj420p",
            "matrix": Colorspace.ITU601,
            "colour_range": ColorRange.JPEG,
        },
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_sizes_lose_their_last_column_and_row(clips, name):
    file, how = ODD[name]
    frame = first_frame(clips.video(file, 1, size=(161, 121), **how))
    assert (frame.width, frame.height) == (160, 120)
    assert clips.number_of(frame.y) == 0


def test_an_odd_size_that_is_turned_stays_even(clips):
    path = clips.turn(clips.video("a.mp4", 1, size=(161, 121), pix_fmt="yuv444p"), (0, 1, -1, 0))
    frame = first_frame(path)
    assert (frame.width, frame.height) == (120, 160)


def test_interlaced_fields_are_not_left_combed(clips):
    """Two fields, half a picture apart, woven: every second line jumps."""
    woven = []
    for n in range(6):
        early, late = (np.full((120, 160, 3), 60, np.uint8) for _ in range(2))
        early[:, 20 + 10 * n : 60 + 10 * n] = late[:, 25 + 10 * n : 65 + 10 * n] = 200
        picture = early.copy()
        picture[1::2] = late[1::2]
        woven.append(picture)
    path = clips.video("a.mp4", woven, options={"x264-params": "tff=1", "crf": "10"})
    source = Film(path, Limits(), beat=lambda: None)
    shown = [picture[: 160 * 120].reshape(120, 160) for _, picture in source.forward()]
    assert len(shown) == 6
    combing = [np.abs(np.diff(y.astype(int), axis=0)).mean() for y in shown[1:-1]]
    assert max(combing) < 1
    assert np.abs(np.diff(woven[2][..., 0].astype(int), axis=0)).mean() > 8


def test_transparent_parts_of_a_video_are_black(clips):
    rgba = np.full((120, 160, 4), 200, np.uint8)
    rgba[..., 3] = 255
    rgba[:, 80:, 3] = 0
    frame = first_frame(clips.video("a.webm", [rgba], codec="libvpx-vp9", pix_fmt="yuva420p"))
    assert frame.rgb()[60, 20].tolist() == pytest.approx([200] * 3, abs=4)
    assert frame.rgb()[60, 140].max() <= 4


HDR = {
    "PQ": (Light.PQ, ColorTrc.SMPTE2084),
    "HLG": (Light.HLG, ColorTrc.ARIB_STD_B67),
    "BT.2020 SDR": (Light.SDR, ColorTrc.BT2020_10),
}


@pytest.mark.parametrize("name", HDR)
def test_hdr_is_mapped_to_the_picture_that_an_sdr_display_should_show(clips, name):
    """Signals drawn in BT.2020, and what the formulas (not the table) make of them."""
    light, trc = HDR[name]
    signal = patches().astype(np.float64) / 255 * 0.75
    path = clips.video(
        "a.mkv",
        [(signal * 255).round().astype(np.uint8)],
        pix_fmt="yuv420p10le",
        matrix=Colorspace.BT2020,
        options=QUALITY,
        tags={
            "colorspace": Colorspace.BT2020,
            "color_trc": trc,
            "color_primaries": ColorPrimaries.BT2020,
            "color_range": ColorRange.MPEG,
        },
    )
    wanted = to_sdr((signal * 255).round() / 255, light) * 255
    shown = first_frame(path).rgb().astype(float)
    errors = [np.abs(shown[y, x] - wanted[y, x]).max() for y in (30, 90) for x in (20, 60, 100, 140)]
    assert max(errors) < 8  # between the 36 steps of the table


@pytest.mark.parametrize(("light", "signal"), [(Light.PQ, 0.581), (Light.HLG, 0.75), (Light.SDR, 1.0)])
def test_reference_white_of_hdr_is_nearly_white_and_grey_stays_grey(light, signal):
    """203 nits: 58 % of PQ, 75 % of HLG (ITU-R BT.2408, table 1)."""
    shown = to_sdr(np.full((1, 3), signal), light)
    assert shown.min() == pytest.approx(shown.max(), abs=0.005)
    assert 0.93 < shown.mean() <= 1.0


def test_a_stored_or_shown_size_over_the_limit_is_refused(clips):
    path = clips.video("a.mp4", 1, pixel_shape=Fraction(4))
    assert first_frame(path).width == 640
    with pytest.raises(InputTooLarge, match="640x120"):
        first_frame(path, Limits(pixels=160 * 120))
    with pytest.raises(InputTooLarge, match="160x120"):
        first_frame(path, Limits(pixels=160 * 119))
