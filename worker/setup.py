"""What a process sets up once before its first render."""

import cv2
from threadpoolctl import threadpool_limits

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
    # Stages run side by side already. The libraries' own pools only fight them: BLAS spinning on a busy machine
    # has been seen to cost seven times the work itself.
    cv2.setNumThreads(1)
    threadpool_limits(1, user_api="blas")
    engine = ENGINES[settings.engine]()
    engine.setup()
    faces = FaceModels.load(settings.weights, threads=1)
    return Tools(engine, faces, Limits.of(settings), settings.threads)
