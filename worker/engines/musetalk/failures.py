"""What torch's errors mean: memory that is too small, a GPU that is lost for this process, or a defect."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from contract.errors import EngineFailed, ResourceExhausted


@contextmanager
def told(task: str, device: torch.device) -> Iterator[None]:
    """Where tensors are computed that belong to no `FixedBatch`; any other error comes through as it is.

    Raises:
        ResourceExhausted: the memory is too small for the task.
        EngineFailed: the GPU is lost.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise ResourceExhausted(
                f"the memory of {device} is too small for {task} beside what uses it now; "
                "stop that, or use a larger machine"
            ) from error
        if is_sticky(error):
            raise lost(error) from error
        raise


def lost(error: BaseException) -> EngineFailed:
    """What to raise from a sticky error."""
    return EngineFailed(f"the GPU is lost for this process, which must be recycled ({first_line(error)})")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the CPU's or the GPU's memory was too small, be it as the cause of this error."""
    return any(_says_out_of_memory(each) for each in _chain(error))


def is_sticky(error: BaseException) -> bool:
    """Whether the GPU is lost for this process: every further call fails, only a new process helps.

    True also of the `EngineFailed` that such an error becomes.
    """
    return not is_out_of_memory(error) and any(_says_lost(each) for each in _chain(error))


def first_line(error: BaseException) -> str:
    """What a foreign error says, without what its library adds below."""
    return next(iter(str(error).splitlines()), type(error).__name__)


_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "Cannot allocate memory", "STATUS_ALLOC_FAILED")
_LOST = ("CUDA error", "cuDNN error", "device-side assert")


def _says_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(words in str(error) for words in _OUT_OF_MEMORY)


def _says_lost(error: BaseException) -> bool:
    if isinstance(error, torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _LOST)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it was raised from or during, each once: a chain can be a ring."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
