"""A video small enough to be inside a page, and pictures of chosen frames; both from one reading."""

import base64
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from contract.job import JobOptions
from worker.evaluation.crops import face_box
from worker.faces.face import Face
from worker.media.audio import Audio
from worker.media.encoder import x264
from worker.media.frame import Frame, Pixels
from worker.media.limits import Limits
from worker.media.source import VideoSource
from worker.media.writer import VideoWriter

TALLEST = 360
"""Of a player, in pixels."""
CRF = "27"
CLOSE_UP = 124
"""Side of a picture of a chosen frame, in pixels."""


@dataclass(frozen=True)
class Reel:
    """One video in the page."""

    name: str
    film: str
    """An mp4 as a data URL."""
    frames: dict[int, Frame]
    """Those that were asked for, at their own size."""


def reel(
    name: str,
    path: Path,
    frames: int,
    options: JobOptions,
    sound: Audio,
    wanted: Collection[int],
    limits: Limits,
) -> Reel:
    """The first so many frames of a video, played as the options say, with that sound."""
    kept: dict[int, Frame] = {}
    encoder = replace(x264(), options={**x264().options, "crf": CRF})
    with (
        TemporaryDirectory(prefix="dubline-") as folder,
        VideoSource(path, limits, start=options.start, end=options.end) as source,
    ):
        place = Path(folder) / "reel.mp4"
        width, height = _small(source.width, source.height)
        with VideoWriter(place, width, height, sound.fitted(frames), threads=2, encoder=encoder) as writer:
            for frame in source.frames(frames, options.sync_mode):
                if frame.index in wanted:
                    kept[frame.index] = frame
                writer.write(frame.resized(width, height))
            writer.cut()
            writer.close()
        return Reel(name, data_url("video/mp4", place.read_bytes()), kept)


def close_up(frame: Frame, face: Face | None) -> str:
    """The face in a frame, or all of the frame where there is none, as a JPEG in a data URL."""
    box = face_box(face, frame.width, frame.height) if face else None
    rgb = frame.rgb(box)
    scale = CLOSE_UP / max(rgb.shape[:2])
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return data_url("image/jpeg", _jpeg(np.asarray(small, np.uint8)))


def data_url(kind: str, data: bytes) -> str:
    """The bytes inside a page."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _jpeg(rgb: Pixels) -> bytes:
    _, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return bytes(data)


def _small(width: int, height: int) -> tuple[int, int]:
    """Even, and TALLEST high at most."""
    scale = min(1.0, TALLEST / height)
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)
