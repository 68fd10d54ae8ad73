"""Which of a machine's GPUs is this worker's, where several workers see all of them.

Each takes a lock in a folder that they share, one file a GPU, and hides the other GPUs from itself. A lock goes with its
process, however that ends.
"""

import fcntl
import logging
import os
from pathlib import Path

from contract.errors import ConfigurationError
from worker.engines.gpu import DEVICES, gpus_here

logger = logging.getLogger(__name__)


def take_gpu(locks: Path | None, devices: Path = DEVICES) -> int | None:
    """Take a GPU that no other worker holds, for as long as this process lives; before anything loads CUDA.

    None where no folder is set, or the machine shows no GPU.

    Raises:
        ConfigurationError: others hold all of them, or the folder cannot be written.
    """
    found = gpus_here(devices) if locks else []
    if locks is None or not found:
        return None
    for place, number in enumerate(found):
        if _lock(locks.expanduser() / f"gpu-{number}.lock"):
            # A container that was given GPU 3 alone has a nvidia3, and CUDA calls it 0.
            os.environ.update(CUDA_DEVICE_ORDER="PCI_BUS_ID", CUDA_VISIBLE_DEVICES=str(place))
            logger.info("GPU %d is this worker's", number)
            return number
    raise ConfigurationError(
        f"other workers hold all {len(found)} GPUs of this machine (locks in {locks}); start one worker for each GPU"
    )


def _lock(path: Path) -> bool:
    """Hold that file until this process ends, unless another does."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise ConfigurationError(
            f"GPUs cannot be taken in {path.parent}: {error.strerror}; set DUBLINE_GPU_LOCKS to a folder that workers may write"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True
