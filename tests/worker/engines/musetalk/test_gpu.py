"""What only a GPU can do. Without one these are skipped; benchmarks/ has the figures."""

import threading

import pytest
import torch

from contract.errors import EngineFailed
from tests.worker.engines.musetalk import tiny
from worker.engines.musetalk.batch import FixedBatch, is_sticky
from worker.engines.musetalk.networks import Networks, choose_device

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")

CUDA = torch.device("cuda")


@pytest.fixture(scope="module")
def on_gpu(tmp_path_factory):
    """The tiny networks in half precision on the GPU."""
    return Networks.load(tiny.write(tmp_path_factory.mktemp("gpu")), CUDA, torch.float16)


@pytest.fixture
def inputs():
    """Latents and windows of five frames."""
    generator = torch.Generator().manual_seed(3)
    return torch.randn(5, 8, 32, 32, generator=generator), torch.randn(5, 50, tiny.WIDTH, generator=generator)


def drawing(networks, batch_size=2):
    function = lambda latents, windows: networks.vae.decode(networks.unet(latents, windows)).sample  # noqa: E731
    return FixedBatch(function, batch_size, networks.device, networks.dtype, networks.lock)


def test_the_gpu_is_chosen_in_half_precision():
    assert choose_device() == (CUDA, torch.float16)


def test_single_precision_never_reaches_the_gpu(tmp_path):
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    found = Networks.load(tiny.write(tmp_path), CUDA, torch.float16)
    held = sum(
        each.numel() * 2 for net in (found.unet, found.vae, found.whisper) for each in net.parameters()
    )
    # small tensors are rounded up to 512 bytes; the timestep's layers are there until they are folded
    assert torch.cuda.max_memory_allocated() - before < 2 * held


def test_a_recorded_call_gives_what_the_cpu_gives(on_gpu, networks, inputs):
    found = drawing(on_gpu)(*inputs)
    wanted = drawing(networks)(*inputs)
    assert found.device.type == "cpu"
    assert (found.float() - wanted).abs().max() < 0.05 * wanted.std()


def test_a_recording_is_played_with_other_inputs(on_gpu, inputs):
    latents, windows = inputs
    batch = drawing(on_gpu)
    first = batch(latents, windows)
    other = batch(-latents, windows)
    again = batch(latents, windows)
    assert not torch.equal(first, other)
    assert torch.equal(first, again)


def test_inputs_may_lie_on_the_gpu_already(on_gpu, inputs):
    latents, windows = inputs
    batch = drawing(on_gpu)
    assert torch.equal(batch(latents, windows.to(CUDA)), batch(latents, windows))


def test_two_threads_record_and_play_at_once(on_gpu, inputs):
    alone = drawing(on_gpu)(*inputs)
    results = []
    threads = [
        threading.Thread(target=lambda: results.extend(drawing(on_gpu)(*inputs) for _ in range(3)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert all(torch.equal(each, alone) for each in results)


def test_a_batch_that_does_not_fit_the_gpu_is_halved():
    def function(rows):
        if len(rows) > 2:
            torch.empty(1 << 45, dtype=torch.uint8, device=CUDA)
        return rows * 2

    batch = FixedBatch(function, 4, CUDA, torch.float16, threading.Lock())
    values = torch.arange(8.0)[:, None]
    assert torch.equal(batch(values).float(), values * 2)
    assert batch.batch_size == 2


def test_a_lost_gpu_is_told(tmp_path):
    """In a process of its own: the CUDA context does not survive it."""
    context = torch.multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=lose_the_gpu, args=(queue,))
    process.start()
    assert queue.get(timeout=120) == ("EngineFailed", True)
    process.join()


def lose_the_gpu(queue):
    table = torch.zeros(4, device=CUDA)
    batch = FixedBatch(lambda rows: table[rows], 1, CUDA, torch.float16, threading.Lock())
    try:
        batch(torch.tensor([10**6]))
        batch(torch.tensor([10**6]))
    except EngineFailed as error:
        queue.put((type(error).__name__, is_sticky(error)))
