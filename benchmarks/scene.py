"""One short clip as both sides of a comparison see it: frames, sound, faces, and what upstream's detector would say."""

import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from contract.job import JobOptions
from worker.engines.musetalk import crop, mask
from worker.engines.musetalk.landmarks import points68
from worker.engines.musetalk.variants import VARIANTS
from worker.faces.face import Face
from worker.faces.track import FaceModels, FaceTracker
from worker.media.audio import read_audio
from worker.media.clock import SAMPLE_RATE
from worker.media.frame import Frame
from worker.media.limits import Limits
from worker.media.source import VideoSource


class NoUse(Exception):
    """The clip cannot be compared on."""


@dataclass(frozen=True)
class Shot:
    """The first frames of a clip, each with its face and what upstream's detector and parser are made to say of it."""

    frames: Sequence[Frame]
    faces: Sequence[Face]
    points: Sequence[NDArray[np.float32]]
    """(68, 2) per frame."""
    classes: Sequence[NDArray[np.uint8]]
    """(512, 512) per frame: the class map of the mesh."""


def look(video: Path, frames: int, options: JobOptions, weights: Path) -> Shot:
    """The first frames of the video, at 25 a second.

    Raises:
        NoUse: one of them shows no face, or there are fewer.
    """
    variant = VARIANTS[options.engine]
    tracker = FaceTracker(FaceModels.load(weights, threads=1), options.face)
    seen: list[Frame] = []
    faces: list[Face] = []
    maps: list[NDArray[np.uint8]] = []
    with VideoSource(video, Limits()) as source:
        for frame in source.frames(frames, "cut"):
            face = tracker.track(frame)
            box = face and crop.face_box(points68(face.points), variant, options, frame.width, frame.height)
            if not face or not box:
                raise NoUse(f"frame {frame.index} of {video} shows no face; upstream cannot leave it out")
            seen.append(frame)
            faces.append(face)
            maps.append(mask.mesh_labels(face.points, crop.expanded(box)))
    if len({frame.source_index for frame in seen}) < frames:
        raise NoUse(f"{video} has fewer than {frames} frames")
    return Shot(seen, faces, [points68(each.points) for each in faces], maps)


def write_pictures(shot: Shot, folder: Path) -> Path:
    """The frames as numbered PNG files, as upstream takes a clip."""
    folder.mkdir(exist_ok=True)
    for frame in shot.frames:
        cv2.imwrite(str(folder / f"{frame.index:08}.png"), frame.rgb()[:, :, ::-1])
    return folder


def write_video(shot: Shot, path: Path) -> Path:
    """The frames as H.264, so good that nothing is seen of it, for both sides to decode."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"preset": "veryfast", "crf": "10"})
        video.width, video.height, video.pix_fmt = shot.frames[0].width, shot.frames[0].height, "yuv420p"
        for frame in shot.frames:
            planes = np.concatenate([each.ravel() for each in (frame.y, frame.u, frame.v)])
            picture = av.VideoFrame.from_ndarray(planes.reshape(-1, frame.width), format="yuv420p")
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
    return path


def write_voice(audio: Path, frames: int, path: Path) -> Path:
    """The sound of so many frames, mono 16 kHz: neither side resamples it."""
    samples = read_audio(audio, Limits()).samples_16k[: frames * SAMPLE_RATE // 25]
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((samples.clip(-1, 1) * 32767).round().astype(np.int16).tobytes())
    return path
