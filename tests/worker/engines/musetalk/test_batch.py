"""Calls of one size."""

import threading

import pytest
import torch

from contract.errors import EngineFailed, ResourceExhausted
from worker.engines.musetalk.batch import FixedBatch
from worker.engines.musetalk.failures import is_out_of_memory, is_sticky

CPU = torch.device("cpu")


def fixed(function, batch_size=4, dtype=torch.float32):
    return FixedBatch(function, batch_size, CPU, dtype, threading.Lock())


@pytest.fixture
def seen():
    """The shapes of the calls."""
    return []


@pytest.fixture
def doubled(seen):
    def function(rows):
        seen.append(tuple(rows.shape))
        return rows * 2

    return function


@pytest.mark.parametrize(("rows", "calls"), [(1, 1), (3, 1), (4, 1), (5, 2), (11, 3)])
def test_every_call_is_a_full_batch_and_every_row_comes_back_once(doubled, seen, rows, calls):
    values = torch.arange(rows * 2.0).reshape(rows, 2)
    assert torch.equal(fixed(doubled)(values), values * 2)
    assert seen == [(4, 2)] * calls


def test_the_missing_rows_repeat_the_last_one():
    calls = []
    fixed(lambda rows: calls.append(rows.clone()) or rows)(torch.tensor([[1.0], [2.0]]))
    assert calls[0].flatten().tolist() == [1, 2, 2, 2]


def test_rows_of_an_earlier_call_are_never_seen_again():
    calls = []
    batch = fixed(lambda rows: calls.append(rows.clone()) or rows)
    batch(torch.full((4, 1), 9.0))
    batch(torch.ones(1, 1))
    assert calls[1].flatten().tolist() == [1, 1, 1, 1]


def test_results_stay_what_they_were_when_the_next_call_comes():
    batch = fixed(lambda rows: rows)  # gives back the very memory that the next call fills
    first, more = batch(torch.ones(4, 1)), batch(torch.full((8, 1), 2.0))
    batch(torch.zeros(4, 1))
    assert first.flatten().tolist() == [1] * 4
    assert more.flatten().tolist() == [2] * 8


def test_fractions_get_the_networks_precision_and_whole_numbers_stay():
    kinds = []
    batch = fixed(lambda a, b: kinds.append((a.dtype, b.dtype)) or b, dtype=torch.float16)
    result = batch(torch.ones(2, 3, dtype=torch.float64), torch.full((2, 5), 200, dtype=torch.uint8))
    assert kinds == [(torch.float16, torch.uint8)]
    assert (result.dtype, result.shape, result.max()) == (torch.uint8, (2, 5), 200)


def test_several_inputs_are_cut_alike():
    numbers = torch.arange(7.0)[:, None]
    assert torch.equal(fixed(lambda a, b: a + b)(numbers, 10 * numbers), 11 * numbers)


def test_rows_may_come_one_by_one_and_of_other_types():
    calls = []
    batch = fixed(lambda a, b: calls.append(a.dtype) or a + b)
    ones = [torch.full((2,), float(number), dtype=torch.float64) for number in range(6)]
    found = batch(ones, torch.ones(6, 2))
    assert found.tolist() == [[number + 1.0] * 2 for number in range(6)]
    assert calls == [torch.float32] * 2


@pytest.mark.parametrize("counts", [(2, 3), (0,), (0, 0), ()])
def test_rows_that_do_not_match_or_none_at_all_are_a_mistake_of_the_caller(counts):
    with pytest.raises(ValueError, match="as many rows"):
        fixed(torch.add)(*(torch.zeros(count, 1) for count in counts))


def test_no_gradients_are_kept(networks):
    latents = torch.zeros(1, 4, 32, 32, requires_grad=True)
    assert not fixed(lambda rows: networks.vae.decode(rows).sample)(latents).requires_grad


def test_a_frame_becomes_the_same_whoever_it_comes_with(networks):
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(5, 4, 32, 32, generator=generator)
    decode = fixed(lambda rows: networks.vae.decode(rows).sample)
    together = decode(latents)
    assert torch.equal(together[4:], decode(latents[4:]))
    assert torch.equal(together[2:3], decode(latents[2:3]))


def test_two_threads_may_run_the_same_network(networks):
    latents = torch.randn(4, 4, 32, 32, generator=torch.Generator().manual_seed(1))
    pictures = torch.randn(4, 3, 256, 256, generator=torch.Generator().manual_seed(2))
    decode = fixed(lambda rows: networks.vae.decode(rows).sample, 2)
    encode = fixed(lambda rows: networks.vae.encode(rows).latent_dist.mode(), 2)
    alone = (decode(latents), encode(pictures))
    results = {}
    threads = [
        threading.Thread(target=lambda: results.update(decoded=decode(latents))),
        threading.Thread(target=lambda: results.update(encoded=encode(pictures))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.equal(results["decoded"], alone[0])
    assert torch.equal(results["encoded"], alone[1])


# --- memory that is too small ---


def needing(rows_that_fit, seen):
    """A function that asks for more memory than any machine has, unless few rows come at once."""

    def function(rows):
        seen.append(len(rows))
        if len(rows) > rows_that_fit:
            torch.empty(1 << 60, dtype=torch.uint8)
        return rows * 2

    return function


def test_a_batch_that_does_not_fit_is_halved_once_for_good(seen):
    batch = fixed(needing(4, seen), 8)
    values = torch.arange(10.0)[:, None]
    assert torch.equal(batch(values), values * 2)
    assert torch.equal(batch(values), values * 2)
    assert seen == [8] + [4] * 6
    assert batch.batch_size == 4


def test_memory_that_runs_out_later_loses_no_row():
    calls = []

    def function(rows):
        calls.append(len(rows))
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return rows * 2

    values = torch.arange(20.0)[:, None]
    assert torch.equal(fixed(function, 8)(values), values * 2)
    assert calls == [8, 8, 4, 4, 4]


def test_memory_too_small_for_half_of_the_batch_is_tried_again_elsewhere(seen):
    with pytest.raises(ResourceExhausted, match="4 frames at once"):
        fixed(needing(2, seen), 8)(torch.zeros(8, 1))
    assert seen == [8, 4]


def test_a_batch_of_one_cannot_be_halved(seen):
    with pytest.raises(ResourceExhausted, match="1 frames"):
        fixed(needing(0, seen), 1)(torch.zeros(3, 1))
    assert seen == [1]


def test_what_was_too_large_is_let_go_before_the_next_try():
    import weakref

    alive = []

    def function(rows):
        large = torch.zeros(100)
        if len(rows) > 1:
            alive.append(weakref.ref(large))
            raise torch.OutOfMemoryError("CUDA out of memory")
        assert alive[0]() is None
        return rows

    fixed(function, 2)(torch.zeros(2, 1))


# --- a GPU that is lost ---


def failing(error):
    def function(rows):
        raise error

    return function


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be reported later"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    ],
    ids=["accelerator", "runtime", "cudnn"],
)
def test_a_lost_gpu_asks_for_a_new_process(error):
    with pytest.raises(EngineFailed, match="must be recycled") as caught:
        fixed(failing(error))(torch.zeros(1, 1))
    assert is_sticky(error)
    assert is_sticky(caught.value)  # what the worker sees
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("kind", [RuntimeError, ValueError, KeyError])
def test_any_other_error_comes_through_as_it_is(kind):
    error = kind("mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(kind) as caught:
        fixed(failing(error))(torch.zeros(1, 1))
    assert caught.value is error
    assert not is_sticky(error)
    assert not is_out_of_memory(error)


def test_a_recording_that_broke_off_for_want_of_memory_is_not_tried_with_half_of_the_batch(seen):
    def function(rows):
        seen.append(len(rows))
        raise EngineFailed("a recording broke off") from torch.OutOfMemoryError("CUDA out of memory")

    batch = fixed(function, 4)
    with pytest.raises(EngineFailed, match="broke off"):
        batch(torch.zeros(4, 1))
    assert seen == [4]
    assert batch.batch_size == 4
