"""Whether what jobs need can be imported, tried in a process of its own: a worker's parent imports nothing heavy."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from contract.errors import ConfigurationError
from contract.job import EngineName


def try_imports(engine: EngineName, weights: Path) -> None:
    """Return when all was imported; nothing of it stays in this process.

    Raises:
        ConfigurationError: something is not installed, is broken, or ends the process that imports it.
    """
    spawned = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(max_workers=1, mp_context=spawned) as process:
            process.submit(import_all, engine, weights).result()
    except BrokenProcessPool as error:
        raise ConfigurationError(
            f"importing what jobs of {engine} need ends the process; install dubline[worker] anew on this machine"
        ) from error


def import_all(engine: EngineName, weights: Path) -> None:
    """Import what a job of that engine needs, into this process; no network is loaded.

    Raises:
        ConfigurationError: something is not installed or is broken.
    """
    try:
        from worker import attempt as attempt
        from worker.setup import ENGINES
    except (ImportError, OSError) as error:  # OSError: a library that a library needs
        raise ConfigurationError(
            f"what jobs need cannot be imported ({error}); pip install 'dubline[worker]'"
        ) from error
    ENGINES[engine](engine, weights)
