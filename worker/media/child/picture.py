"""Decoded frames into the one pixel format: 8-bit 4:2:0, BT.709, limited range, even size, upright, square pixels."""

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import numpy as np
from av.filter import Graph
from av.filter.context import FilterContext
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from worker.media.child.tone import Light, hald
from worker.media.planes import pixels

Picture = NDArray[np.uint8]
"""Flat: H*W of Y, then H/2*W/2 of U, then of V."""

EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
"""Without these flags libswscale darkens a round trip by a level."""
_RGB, _UNSPECIFIED = 0, 2  # H.273, matrix coefficients
_HD_HEIGHT = 720
_SANE_SHAPE = Fraction(10)


@dataclass(frozen=True)
class Geometry:
    """How stored frames become shown ones.

    `scaled` is the size in pixels at which pixels are square, `width` and `height` what is shown: cropped to
    even numbers, then turned by `turns`, filters of libavfilter.
    """

    scaled: tuple[int, int]
    turns: tuple[str, ...]

    @classmethod
    def of(cls, frame: VideoFrame, pixel_shape: Fraction | None) -> "Geometry":
        """From the stream's first frame; `pixel_shape` is its sample aspect ratio."""
        shape = Fraction(pixel_shape or 1)
        if not 1 / _SANE_SHAPE <= shape <= _SANE_SHAPE:
            shape = Fraction(1)
        width, height = frame.width * max(shape, Fraction(1)), frame.height / min(shape, Fraction(1))
        return cls((max(2, round(width)), max(2, round(height))), _turns(frame))

    @property
    def even(self) -> tuple[int, int]:
        """The scaled size without its odd column and row."""
        return self.scaled[0] // 2 * 2, self.scaled[1] // 2 * 2

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height of the result."""
        sideways = any(turn.startswith("transpose") for turn in self.turns)
        return self.even[::-1] if sideways else self.even


def _turns(frame: VideoFrame) -> tuple[str, ...]:
    """The filters that put the frame upright, as ffmpeg's autorotate does (ffmpeg_filter.c)."""
    m = _display_matrix(frame)
    if abs(m[1]) > abs(m[0]):
        if m[1] > 0:
            return ("transpose=cclock_flip",) if m[3] > 0 else ("transpose=clock",)
        return ("transpose=clock_flip",) if m[3] < 0 else ("transpose=cclock",)
    # A flipped frame is read from its last row up; `copy` puts its rows in order again.
    upside_down = ("vflip", "copy") if m[4] < 0 else ()
    return (*upside_down, "hflip") if m[0] < 0 else upside_down


def _display_matrix(frame: VideoFrame) -> tuple[int, ...]:
    """Nine 16.16 numbers, row by row; the identity where the frame carries none."""
    identity = (1, 0, 0, 0, 1, 0, 0, 0, 1)
    try:
        matrix = cast(Any, frame.side_data).get(Type.DISPLAYMATRIX)
    except ValueError:  # PyAV 18 knows fewer kinds of side data than its own FFmpeg
        return identity
    return struct.unpack("=9i", bytes(matrix)[:36]) if matrix else identity


class Converter:
    """Turns the frames of one stream into pictures; one libswscale context and one graph for all of them."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self._scale = VideoReformatter()
        self._graph = _turning_graph(geometry)
        self._mapper: ToneMapper | None = None

    def picture(self, frame: VideoFrame) -> Picture:
        """The frame in our format; what already is passes through bit-exact."""
        if not self._is_ours(frame):
            frame = self._converted(frame)
        if frame.format.name == "yuva420p":
            frame = _on_black(frame)
        if self._graph:
            self._graph.push(frame)
            frame = self._graph.vpull()
        return flat(frame)

    def _is_ours(self, frame: VideoFrame) -> bool:
        return (
            frame.format.name == "yuv420p"
            and (frame.width, frame.height) == self.geometry.scaled
            and _matrix(frame) == Colorspace.ITU709
            and not _is_full_range(frame)
            and Light.of(frame) is None
        )

    def _converted(self, frame: VideoFrame) -> VideoFrame:
        light = Light.of(frame)
        if light:
            self._mapper = self._mapper or ToneMapper(light, frame.width, frame.height)
            frame = self._mapper.map(frame)
        width, height = self.geometry.scaled
        return self._scale.reformat(
            frame,
            width,
            height,
            "yuva420p" if _has_alpha(frame) else "yuv420p",
            src_colorspace=_matrix(frame),
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG if _is_full_range(frame) else ColorRange.MPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=EXACT,
        )


class ToneMapper:
    """HDR and wide-gamut frames into BT.709 RGB through a table of 36^3 colours.

    libavfilter's haldclut takes the table as a picture, so no file is needed (lut3d wants one).
    """

    def __init__(self, light: Light, width: int, height: int) -> None:
        self._size = width, height
        self._frames = 0
        self._to_rgb = VideoReformatter()
        self._graph, self._source = _table_graph(light, width, height)

    def map(self, frame: VideoFrame) -> VideoFrame:
        """gbrp16le, full range, gamma 2.4 for an SDR display."""
        rgb = self._to_rgb.reformat(
            frame,
            *self._size,
            _TABLE_FORMAT,
            src_colorspace=Colorspace.BT2020,
            src_color_range=ColorRange.JPEG if _is_full_range(frame) else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=EXACT,
        )
        self._frames += 1
        rgb.pts, rgb.time_base = self._frames, _ANY_TIME_BASE  # without one, the table would not be used
        self._source.push(rgb)
        return self._graph.vpull()


_TABLE_FORMAT = "gbrp16le"  # haldclut is three times faster on it than on packed RGB
_HALDCLUT_ORDER = (2, 0, 1)  # of planar tables it takes the first plane for red, though that holds green
_ANY_TIME_BASE = Fraction(1, 25)


def _table_graph(light: Light, width: int, height: int) -> tuple[Graph, FilterContext]:
    """The graph, fed with its table, and where its frames go in."""
    colours_of_planes = np.ascontiguousarray(hald(light)[..., _HALDCLUT_ORDER])
    table = VideoFrame.from_ndarray(colours_of_planes, format="rgb48le").reformat(format=_TABLE_FORMAT)
    graph = Graph()
    source = graph.add("buffer", _buffer(width, height, _TABLE_FORMAT))
    colours = graph.add("buffer", _buffer(table.width, table.height, _TABLE_FORMAT))
    mapper = graph.add("haldclut", "interp=tetrahedral")
    source.link_to(mapper, 0, 0)
    colours.link_to(mapper, 0, 1)
    mapper.link_to(graph.add("buffersink"))
    graph.configure()
    table.pts, table.time_base = 0, _ANY_TIME_BASE
    colours.push(table)
    colours.push(None)
    return graph, source


def _turning_graph(geometry: Geometry) -> Graph | None:
    """The graph that crops to even numbers and turns upright; None where nothing is to be done."""
    if not geometry.turns and geometry.even == geometry.scaled:
        return None
    graph = Graph()
    nodes = [graph.add("buffer", _buffer(*geometry.scaled, "yuv420p"))]
    nodes.append(graph.add("crop", f"{geometry.even[0]}:{geometry.even[1]}:0:0:exact=1"))
    nodes += [graph.add(*turn.split("=")) for turn in geometry.turns]
    nodes.append(graph.add("buffersink"))
    graph.link_nodes(*nodes).configure()
    return graph


def _buffer(width: int, height: int, pixel_format: str) -> str:
    return f"video_size={width}x{height}:pix_fmt={pixel_format}:time_base={_ANY_TIME_BASE}"


def _matrix(frame: VideoFrame) -> int:
    """The matrix of the frame's YUV; untagged is BT.709 from 720 lines on, else BT.601, as players do."""
    if frame.colorspace in (_UNSPECIFIED, _RGB):
        return Colorspace.ITU709 if frame.height >= _HD_HEIGHT else Colorspace.ITU601
    return frame.colorspace


def _is_full_range(frame: VideoFrame) -> bool:
    return frame.color_range == ColorRange.JPEG or frame.format.is_rgb or frame.format.name.startswith("yuvj")


def _has_alpha(frame: VideoFrame) -> bool:
    return any(component.is_alpha for component in frame.format.components)


def _on_black(frame: VideoFrame) -> VideoFrame:
    """A limited-range yuva420p frame composed on black, as yuv420p."""
    composed = VideoFrame(frame.width, frame.height, "yuv420p")
    *colours, alpha = (pixels(plane) for plane in frame.planes)
    weight = alpha.astype(np.float32) / 255
    padded = np.pad(weight, [(0, size % 2) for size in weight.shape], mode="edge")
    half = padded.reshape(padded.shape[0] // 2, 2, -1, 2).mean(axis=(1, 3))
    for target, colour, part, black in zip(
        composed.planes, colours, (weight, half, half), (16, 128, 128), strict=True
    ):
        pixels(target)[:] = np.rint(black + (colour.astype(np.float32) - black) * part)
    return composed


def flat(frame: VideoFrame) -> Picture:
    """A yuv420p frame of even size as one piece of memory of its own."""
    return np.concatenate([pixels(plane).reshape(-1) for plane in frame.planes])
