"""What a process sets up before its first render, and what more for another engine."""

import gc
import logging
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import cv2
from threadpoolctl import threadpool_limits

from contract.errors import ConfigurationError
from contract.job import EngineName
from contract.settings import Settings
from contract.storage import Storage
from worker import weights
from worker.engines import SMALL
from worker.engines.base import Engine
from worker.engines.preview.engine import PreviewEngine
from worker.faces.track import FaceModels
from worker.media.chosen import chosen
from worker.media.encoder import Encoder
from worker.media.limits import Limits
from worker.prepared.shelf import Shelf
from worker.render import Tools

logger = logging.getLogger(__name__)


def _preview(_name: EngineName, _folder: Path) -> Engine:
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
    """The tools for jobs of one engine (None: the settings'), as a `Toolbox` has them."""
    return Toolbox(settings, storage)(engine or settings.engine)


class Toolbox:
    """The tools of any engine, set up when they are first asked for and kept warm.

    With `storage` the shelf of prepared frames is shared with all machines that use that bucket.
    """

    def __init__(self, settings: Settings, storage: Storage | None) -> None:
        self._settings = settings
        self._shelf = Shelf.of(settings, storage)
        self._engines: dict[EngineName, Engine] = {}
        # Stages run side by side already. The libraries' own pools only fight them: BLAS spinning on a busy machine
        # has been seen to cost seven times the work itself.
        cv2.setNumThreads(1)
        threadpool_limits(1, user_api="blas")

    def __call__(self, engine: EngineName) -> Tools:
        """The engine, the face networks, the limits, the encoder, and the shelf.

        Raises:
            ConfigurationError: weights or libraries are missing or are not the ones that were named.
            TemporaryFailure: the memory or the device fails just now.
        """
        if engine not in self._engines:
            self._engines[engine] = self._set_up(engine)
        limits, threads = Limits.of(self._settings), self._settings.threads
        faces, more = self._faces
        return Tools(self._engines[engine], faces, more, limits, threads, self._encoder, self._shelf)

    @cached_property
    def _encoder(self) -> Encoder:
        found = chosen(self._settings.encoder)
        logger.info("%s encodes the pictures: %s", found.encoder.name, found.why)
        return found.encoder

    @cached_property
    def _faces(self) -> tuple[FaceModels, FaceModels]:
        folder = self._settings.weights
        return FaceModels.load(folder, threads=1), FaceModels.load(folder, threads=1)

    def _set_up(self, name: EngineName) -> Engine:
        """What a person must put right is found before the present engine goes: other jobs need that one."""
        weights.require(name, self._settings.weights)
        made = ENGINES[name](name, self._settings.weights)
        if name not in SMALL:
            self._engines = {each: kept for each, kept in self._engines.items() if each in SMALL}
            gc.collect()
        made.setup()
        return made
