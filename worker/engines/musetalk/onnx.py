"""The one door to ONNX Runtime, which runs the networks of upstream's own choice: `dwpose` and `bisenet`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import ConfigurationError, EngineFailed

Tensor = NDArray[np.float32]


@contextmanager
def optional(option: str) -> Iterator[None]:
    """Where the libraries of that option are imported.

    Raises:
        ConfigurationError: one is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise ConfigurationError(
            f"{option} needs {error.name or 'a library'}, which is not installed ({error}); `pip install 'dubline[upstream]'`"
        ) from error


def open_session(path: Path, threads: int, inputs: Sequence[int], outputs: Sequence[Sequence[int]]) -> Any:
    """The network of a file, on CUDA where ONNX Runtime has it, else on that many CPU threads.

    `inputs` is the shape of its one input, `outputs` those of its first outputs.

    Raises:
        ConfigurationError: ONNX Runtime is not installed, cannot load the file, or finds another network in it.
    """
    with optional("a network in ONNX"):
        import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # its warnings are about optimisations it did not make
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [each for each in wanted if each in onnxruntime.get_available_providers()]
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # its errors have no base but this one
        raise ConfigurationError(
            f"ONNX Runtime cannot load {path}: {error}; `dubline models fetch` replaces it"
        ) from error
    _check(session, path, inputs, outputs)
    return session


def _check(session: Any, path: Path, inputs: Sequence[int], outputs: Sequence[Sequence[int]]) -> None:
    found = [each.shape for each in (*session.get_inputs()[:1], *session.get_outputs()[: len(outputs)])]
    wanted = [list(each) for each in (inputs, *outputs)]
    if len(found) != len(wanted) or not all(map(_fits, found, wanted)):
        raise ConfigurationError(
            f"{path} is another network: its input and outputs are {found}, not {wanted}; "
            f"`dubline models fetch` replaces it"
        )


def _fits(found: Sequence[Any] | None, wanted: Sequence[int]) -> bool:
    """Sizes that the file leaves open, by a name or None, fit any; so does a shape that it says nothing of."""
    if not found:
        return True
    return len(found) == len(wanted) and all(
        size == asked for size, asked in zip(found, wanted, strict=True) if isinstance(size, int)
    )


@contextmanager
def running(name: str) -> Iterator[None]:
    """Where a network runs.

    Raises:
        EngineFailed: ONNX Runtime failed.
    """
    try:
        yield
    except Exception as error:
        raise EngineFailed(f"{name} failed: {error}") from error
