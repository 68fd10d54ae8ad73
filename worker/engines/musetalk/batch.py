"""Calls of one size: a network is always given full batches, and a GPU repeats one recorded call.

A batch of another size makes a GPU choose its kernels anew (upstream slows down whenever the frames are no multiple
of the batch), and what a frame becomes would depend, by a rounding, on how many others it came with.
"""

import gc
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from contract.errors import EngineFailed, ResourceExhausted
from worker.engines.musetalk.failures import first_line, is_out_of_memory, is_sticky, lost, told

logger = logging.getLogger(__name__)

Function = Callable[..., torch.Tensor]
"""Tensors of (B, ...) on the device to one tensor of (B, ...) there: always the same work for the same shapes."""

Rows = torch.Tensor | Sequence[torch.Tensor]
"""(n, ...), or n tensors of (...), on the CPU or the device."""

_WARM_UPS = 3
"""Calls before a recording: in the first ones libraries load their kernels and get their workspaces.

cuDNN chooses by its heuristics, which give the same choice for the same shapes, card and version. `cudnn.benchmark` would
choose by the clock: faster perhaps, but another choice, and so other last bits, in another process; and the same job is
to give the same bytes.
"""


class FixedBatch:
    """A function of tensors whose every call is one of `batch_size` rows, whatever it is given.

    One thread at a time may call it. Several `FixedBatch`es may run side by side, also of the same network.
    """

    def __init__(
        self,
        function: Function,
        batch_size: int,
        device: torch.device,
        dtype: torch.dtype,
        lock: threading.Lock,
    ) -> None:
        """`dtype` is what floating-point rows are converted to; `lock` is the networks', for recording."""
        self.batch_size = batch_size
        """Rows of one call: half of what was asked for, once memory was too small for that."""
        self._function = function
        self._device = device
        self._dtype = dtype
        self._lock = lock
        self._call: _Call | None = None
        self._is_halved = False

    def __call__(self, *inputs: Rows) -> torch.Tensor:
        """The function's rows for these rows, (n, ...) on the CPU; no part of them is used again.

        Args:
            inputs: n rows each, n from 1 up; the same shapes but for n every time.

        Raises:
            ResourceExhausted: memory is too small even for half of the batch.
            EngineFailed: the GPU is lost for this process (see `is_sticky`), or a recording broke off.
        """
        count = _count(inputs)
        results: list[torch.Tensor] = []
        done = 0
        while done < count:
            result = self._tried([each[done : done + self.batch_size] for each in inputs])
            if result is not None:
                results.append(result)
                done += len(result)
        if len(results) == 1:
            return results[0]
        with told(f"the results of {count} frames", torch.device("cpu")):
            return torch.cat(results)

    def _tried(self, rows: list[Rows]) -> torch.Tensor | None:
        """None where memory was too small and the batch is now smaller."""
        try:
            return self._run(rows)
        except (RuntimeError, MemoryError) as error:
            self._raise_unless_halving_helps(error)
        self._halve()  # not before the error is gone: its traceback holds the tensors that were too large
        return None

    @torch.no_grad()
    def _run(self, rows: list[Rows]) -> torch.Tensor:
        if self._call is None:
            self._call = self._prepared(rows)
        return self._call(rows)[: len(rows[0])].clone()

    def _prepared(self, rows: list[Rows]) -> "_Call":
        buffers = [
            torch.zeros(
                (self.batch_size, *row.shape),
                dtype=self._dtype if row.is_floating_point() else row.dtype,
                device=self._device,
            )
            for row in (each[0] for each in rows)
        ]
        if self._device.type == "cuda":
            return _Recorded(self._function, buffers, self._lock)
        return _Direct(self._function, buffers)

    def _raise_unless_halving_helps(self, error: Exception) -> None:
        if is_sticky(error):
            raise lost(error) from error
        if not is_out_of_memory(error):
            raise error
        if self._is_halved or self.batch_size == 1:
            raise ResourceExhausted(
                f"the memory of {self._device} is too small for {self.batch_size} frames at once; "
                "stop what else uses it, or use a larger machine"
            ) from error

    def _halve(self) -> None:
        self._call = None
        self._is_halved = True
        self.batch_size //= 2
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        logger.warning("memory is too small: from now on %d frames at once", self.batch_size)


def _count(inputs: Sequence[Rows]) -> int:
    counts = {len(each) for each in inputs}
    if len(counts) != 1 or counts == {0}:
        raise ValueError(f"inputs of as many rows each, at least one; not {[len(each) for each in inputs]}")
    return counts.pop()


class _Call(Protocol):
    def __call__(self, rows: Sequence[Rows]) -> torch.Tensor:
        """A full batch on the CPU, good until the next call; its rows beyond the given ones mean nothing."""


class _Direct:
    """On the CPU a call is a call."""

    def __init__(self, function: Function, buffers: Sequence[torch.Tensor]) -> None:
        self._function = function
        self._buffers = buffers

    def __call__(self, rows: Sequence[Rows]) -> torch.Tensor:
        for buffer, each in zip(self._buffers, rows, strict=True):
            _fill(buffer, each)
        return self._function(*self._buffers)


class _Recorded:
    """On a GPU the call is recorded once, as a CUDA graph, and replayed: one launch in place of thousands.

    Everything runs on a stream of its own: copies from pinned memory, the replay, the copy back. The graph reads
    and writes the same memory each time, so the next call waits for the caller to have taken the result.
    """

    def __init__(self, function: Function, buffers: Sequence[torch.Tensor], lock: threading.Lock) -> None:
        self._buffers = buffers
        self._pinned = [_pinned_like(each) for each in buffers]
        self._stream = torch.cuda.Stream(buffers[0].device)  # type: ignore[no-untyped-call]
        with lock:
            self._graph, self._output = self._record(function)
        self._result = _pinned_like(self._output)

    def _record(self, function: Function) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
        before = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(before)
        with torch.cuda.stream(self._stream):
            for _ in range(_WARM_UPS):
                function(*self._buffers)
        self._stream.synchronize()
        gc.collect()  # a tensor or graph that dies during a recording can break it
        graph = torch.cuda.CUDAGraph()
        try:
            # The mode lets other threads go on with what they do on the GPU, allocations too.
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                output = function(*self._buffers)
        except Exception as error:
            raise EngineFailed(
                "a recording for the GPU broke off, after which torch is not to be trusted: "
                f"this process must be recycled ({first_line(error)})"
            ) from error
        finally:
            torch.cuda.set_stream(before)  # where ending a recording fails, torch leaves the recording's
        return graph, output

    def __call__(self, rows: Sequence[Rows]) -> torch.Tensor:
        self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        with torch.cuda.stream(self._stream):
            for buffer, pinned, each in zip(self._buffers, self._pinned, rows, strict=True):
                self._load(buffer, pinned, each)
            self._graph.replay()
            self._result.copy_(self._output, non_blocking=True)
        self._stream.synchronize()
        return self._result

    def _load(self, buffer: torch.Tensor, pinned: torch.Tensor, rows: Rows) -> None:
        if rows[0].device.type == "cuda":
            for each in rows:
                each.record_stream(self._stream)
            _fill(buffer, rows)
        else:
            _fill(pinned, rows)
            buffer.copy_(pinned, non_blocking=True)


def _pinned_like(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)


def _fill(buffer: torch.Tensor, rows: Rows) -> None:
    """The rows, and the last one again and again: padding that no network can choke on."""
    for place, row in zip(buffer, rows, strict=False):
        place.copy_(row)
    buffer[len(rows) :] = rows[-1]
