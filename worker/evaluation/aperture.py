"""How far the lips are open in every frame of a finished video, measured again from its pixels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from contract.job import FaceChoice
from worker.evaluation.sync import Curve
from worker.faces.track import FaceModels, FaceTracker
from worker.media.limits import Limits
from worker.media.source import VideoSource


def apertures(
    video: Path,
    frames: int,
    models: FaceModels,
    limits: Limits,
    choose: FaceChoice,
    touch: Callable[[], None] = lambda: None,
) -> Curve:
    """Lip aperture per frame, (frames,) float32, gap over face height; NaN where no face is seen.

    `touch` is called for every frame: this takes minutes for an hour of video.
    """
    tracker = FaceTracker(models, choose, smooth=False)
    with VideoSource(video, limits, touch=touch) as source:
        faces = (tracker.track(frame) for frame in source.frames(frames, "freeze"))
        return np.array([np.nan if face is None else face.aperture for face in faces], dtype=np.float32)
