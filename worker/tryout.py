"""Whether this machine can run jobs, tried in a process of its own: a worker's parent imports nothing heavy."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from pathlib import Path

from contract.errors import ConfigurationError, InputRejected
from contract.job import EngineName
from contract.settings import EncoderChoice


def try_out(
    engine: EngineName, weights: Path, encoder: EncoderChoice = "auto", *, require_gpu: bool = False
) -> None:
    """Return when all that jobs need was imported, and the codecs did their work; nothing of it stays in this process.

    Raises:
        ConfigurationError: something is not installed, is broken, or ends the process that uses it; or the encoder or
            the GPU that is asked for does not work.
    """
    spawned = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(max_workers=1, mp_context=spawned) as process:
            process.submit(_try_out, engine, weights, encoder, require_gpu).result()
    except BrokenProcessPool as error:
        raise ConfigurationError(
            f"importing what jobs of {engine} need ends the process; install dubline[worker] anew on this machine"
        ) from error
    except InputRejected as error:  # of a file of our own
        raise ConfigurationError(
            f"the codecs do not work: {error.message}; pip install --force-reinstall av"
        ) from error


def import_all(engine: EngineName, weights: Path) -> None:
    """Import what a job of that engine needs, into this process; no network is loaded.

    Raises:
        ConfigurationError: something is not installed or is broken.
    """
    try:
        import_module("worker.attempt")
        from worker.setup import ENGINES
    except (ImportError, OSError) as error:  # OSError: a library that a library needs
        raise ConfigurationError(
            f"what jobs need cannot be imported ({error}); pip install 'dubline[worker]'"
        ) from error
    ENGINES[engine](engine, weights)


def _try_out(engine: EngineName, weights: Path, encoder: EncoderChoice, gpu: bool) -> None:
    import_all(engine, weights)
    from worker.engines.gpu import require_gpu
    from worker.media.chosen import chosen
    from worker.media.trial import trial

    trial()
    if gpu:
        require_gpu()
    if encoder == "nvenc":  # of the other choices nothing can be wrong
        chosen(encoder)
