"""What a process sets up once before its first render."""

import cv2

from contract.settings import Settings
from worker.engines.base import Engine
from worker.engines.preview.engine import PreviewEngine
from worker.faces.track import FaceModels
from worker.media.limits import Limits
from worker.render import Tools

ENGINES: dict[str, type[Engine]] = {"preview": PreviewEngine}


def set_up(settings: Settings) -> Tools:
    """The engine, the face networks and the limits of this process.

    Raises:
        ConfigurationError: weights are missing or are not the ones that were named.
    """
    cv2.setNumThreads(1)  # stages run side by side already; OpenCV's own pool only fights them
    engine = ENGINES[settings.engine]()
    engine.setup()
    faces = FaceModels.load(settings.weights, threads=1)
    return Tools(engine, faces, Limits.of(settings), settings.threads)
