"""What a process sets up before its first render, and again for another engine."""

import gc
from collections.abc import Callable
from pathlib import Path

import cv2
from threadpoolctl import threadpool_limits

from contract.errors import ConfigurationError
from contract.job import EngineName
from contract.settings import Settings
from contract.storage import Storage
from worker.engines.base import Engine
from worker.engines.preview.engine import PreviewEngine
from worker.faces.track import FaceModels
from worker.media.limits import Limits
from worker.prepared.shelf import Shelf
from worker.render import Tools


def _preview(_name: EngineName, _weights: Path) -> Engine:
    return PreviewEngine()


def _musetalk(name: EngineName, folder: Path) -> Engine:
    try:
        from worker.engines.musetalk.engine import MuseTalkEngine  # heavy, and not everywhere installed
    except ImportError as error:
        raise ConfigurationError(
            f"{name} cannot be imported ({error}); pip install 'dubline[musetalk]'"
        ) from error
    return MuseTalkEngine(name, folder)


ENGINES: dict[EngineName, Callable[[EngineName, Path], Engine]] = {
    "preview": _preview,
    "musetalk-v15": _musetalk,
    "musetalk-v1": _musetalk,
}
"""How each engine is made from its name and the folder of weights."""


def set_up(settings: Settings, storage: Storage | None = None, engine: EngineName | None = None) -> Tools:
    """An engine (None: the settings'), the face networks, the limits, and the shelf of prepared frames.

    With `storage` the shelf is shared with all machines that use that bucket.

    Raises:
        ConfigurationError: weights or libraries are missing or are not the ones that were named.
    """
    # Stages run side by side already. The libraries' own pools only fight them: BLAS spinning on a busy machine
    # has been seen to cost seven times the work itself.
    cv2.setNumThreads(1)
    threadpool_limits(1, user_api="blas")
    name = engine or settings.engine
    made = ENGINES[name](name, settings.weights)
    made.setup()
    faces = FaceModels.load(settings.weights, threads=1)
    return Tools(made, faces, Limits.of(settings), settings.threads, Shelf.of(settings, storage))


class Toolbox:
    """The tools of any engine, set up when they are first asked for; those of one engine at a time stay warm."""

    def __init__(self, settings: Settings, storage: Storage | None) -> None:
        self._settings, self._storage = settings, storage
        self._tools: Tools | None = None

    def __call__(self, engine: EngineName) -> Tools:
        """The tools for jobs of that engine. Raises as `set_up` does."""
        if self._tools is None or self._tools.engine.name != engine:
            self._tools = None  # first the old networks go: two engines' need not fit
            gc.collect()
            self._tools = set_up(self._settings, self._storage, engine)
        return self._tools
