"""Errors told apart, and told."""

import pytest
import torch

from contract.errors import EngineFailed, InputRejected, ResourceExhausted
from worker.engines.musetalk.failures import first_line, is_out_of_memory, is_sticky, told

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        OSError(12, "Cannot allocate memory"),
    ],
    ids=["python", "torch", "pinned", "cublas", "mmap"],
)
def test_memory_that_is_too_small_is_not_a_lost_gpu(error):
    assert is_out_of_memory(error)
    assert not is_sticky(error)


def test_what_fails_because_memory_ran_out_before_is_still_that():
    try:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory")
        finally:
            raise torch.AcceleratorError(
                "CUDA error: operation failed due to a previous error during capture"
            )
    except RuntimeError as error:
        assert is_out_of_memory(error)
        assert not is_sticky(error)


def test_a_ring_of_causes_has_an_end():
    error = RuntimeError("a defect")
    with pytest.raises(RuntimeError):
        raise error from error
    assert not is_sticky(error)


@pytest.mark.parametrize(
    ("error", "told_as", "words"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory"),
            ResourceExhausted,
            "too small for sums beside what uses it",
        ),
        (MemoryError(), ResourceExhausted, "cpu"),
        (torch.AcceleratorError("CUDA error: unspecified launch failure\nmore"), EngineFailed, r"failure\)$"),
        (RuntimeError("shapes cannot be multiplied"), RuntimeError, "shapes"),
        (InputRejected("no"), InputRejected, "no"),
    ],
)
def test_what_goes_wrong_outside_of_a_batch_is_told_by_its_kind(error, told_as, words):
    with pytest.raises(told_as, match=words), told("sums", CPU):
        raise error


def test_the_first_line_of_an_error_without_words_is_its_name():
    assert first_line(MemoryError()) == "MemoryError"
