"""The three networks from their files."""

import os
import resource
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.golden import signal
from contract.errors import ConfigurationError, EngineFailed, ResourceExhausted
from tests.worker.engines.musetalk import golden, tiny
from worker.engines.musetalk import architecture, random_weights
from worker.engines.musetalk import networks as module
from worker.engines.musetalk.audio import Windows
from worker.engines.musetalk.conditioning import Conditioner
from worker.engines.musetalk.convert import ready
from worker.engines.musetalk.generator import Generator
from worker.engines.musetalk.networks import Networks, choose_device, cores, limit_threads

CPU = torch.device("cpu")


def test_the_networks_run_end_to_end(networks):
    with torch.inference_mode():
        mel = torch.randn(1, 80, 3000)
        hidden = networks.whisper(mel, output_hidden_states=True).hidden_states
        latents = networks.vae.encode(torch.randn(2, 3, 256, 256)).latent_dist.mode()
        out = networks.unet(torch.cat([latents, latents], 1), torch.randn(2, 50, tiny.WIDTH))
        pictures = networks.vae.decode(out).sample
    assert [each.shape for each in hidden] == [(1, 1500, tiny.WIDTH)] * 5
    assert latents.shape == out.shape == (2, 4, 32, 32)
    assert pictures.shape == (2, 3, 256, 256)
    assert all(each.isfinite().all() and each.std() > 0.1 for each in (*hidden, latents, out, pictures))


def test_the_networks_hold_what_the_files_hold(networks, tiny_files):
    assert all(torch.equal(networks.vae.state_dict()[k], v) for k, v in load_file(tiny_files["vae"]).items())
    whisper = networks.whisper.state_dict()
    assert all(torch.equal(whisper[k], v) for k, v in load_file(tiny_files["whisper"]).items())
    assert torch.equal(networks.unet.conv_in.weight, load_file(tiny_files["unet"])["conv_in.weight"])


def test_nothing_learns_and_nothing_drops_out(networks):
    for network in (networks.unet, networks.vae, networks.whisper):
        assert not any(each.training for each in network.modules())
        assert not any(each.requires_grad for each in network.parameters())
        assert not any(each.is_meta for each in network.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_every_weight_has_the_precision_that_was_asked_for(tmp_path, tiny_files, dtype):
    files = {part: shutil.copy(path, tmp_path / path.name) for part, path in tiny_files.items()}
    found = Networks.load(files, CPU, dtype)
    kinds = {each.dtype for net in (found.unet, found.vae, found.whisper) for each in net.parameters()}
    assert kinds == {dtype}
    assert (found.dtype, found.device) == (dtype, CPU)


class Arrivals(TorchDispatchMode):
    """The precision in which each tensor left the CPU for the device."""

    def __init__(self):
        super().__init__()
        self.dtypes = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        if torch.is_tensor(made) and made.is_meta and torch.is_tensor(args[0]) and not args[0].is_meta:
            self.dtypes.append(args[0].dtype)
        return made


def test_single_precision_never_reaches_the_device(tiny_files):
    """Each tensor gets its precision first: half of the device's memory is enough to load."""
    checkpoint = ready(tiny_files["unet"], architecture.PARTS["unet"], torch.float32)
    assert {checkpoint.tensor(name).dtype for name in checkpoint.shapes} == {torch.float32}
    with Arrivals() as arrived:
        module._network(checkpoint, torch.device("meta"), torch.float16)
    assert arrived.dtypes == [torch.float16] * len(checkpoint.shapes)


def test_on_a_cpu_convolutions_lie_in_memory_plane_by_plane(networks):
    for network in (networks.unet, networks.vae):
        weights = [each for each in network.parameters() if each.dim() == 4]
        assert weights
        assert all(each.is_contiguous() for each in weights)


def test_networks_from_files_hear_and_draw_as_upstream(tmp_path):
    found, wanted = Networks.load(golden.write(tmp_path), CPU, torch.float32), np.load(signal.GOLDEN)
    latents = Conditioner(found, 1).latents(signal.pictures(1))
    np.testing.assert_allclose(latents[:, :, ::2, ::2], wanted["latents"], rtol=0, atol=1e-5)
    windows = Windows(signal.sound(16_000), 25, found)[:2]
    pictures = Generator(found, 2).pictures(signal.latents(2).numpy(), windows)[:, ::4, ::4]
    assert np.abs(pictures.astype(int) - wanted["pictures"]).max() <= 1
    assert (pictures == wanted["pictures"]).mean() > 0.999


@pytest.mark.parametrize("part", ["unet", "vae", "whisper"])
def test_a_missing_file_is_never_replaced_by_chance(tiny_files, part):
    files = {**tiny_files, part: tiny_files[part].with_name("not-here.safetensors")}
    with pytest.raises(
        ConfigurationError, match=r"not-here\.safetensors: no such weights; run `dubline models"
    ):
        Networks.load(files, CPU, torch.float32)


@pytest.mark.parametrize(("one", "other"), [("unet", "vae"), ("vae", "whisper"), ("whisper", "unet")])
def test_swapped_files_are_refused(tiny_files, one, other):
    with pytest.raises(ConfigurationError, match="dubline models fetch"):
        Networks.load({**tiny_files, one: tiny_files[other], other: tiny_files[one]}, CPU, torch.float32)


def test_networks_that_do_not_fit_together_are_refused(tmp_path, tiny_files):
    wider = tiny.write(tmp_path, width=64)
    with pytest.raises(ConfigurationError, match="listens to 32 channels, Whisper gives 64"):
        Networks.load({**tiny_files, "whisper": wider["whisper"]}, CPU, torch.float32)


def test_a_vae_with_other_latents_is_refused(tmp_path, tiny_files):
    architectures = tiny.architectures()
    config = {**architectures["vae"].config, "latent_channels": 8}
    odd = {"vae": replace(architectures["vae"], config=config)}
    vae = random_weights.write(tmp_path, torch.float32, 0, odd)["vae"]
    with pytest.raises(ConfigurationError, match="does not take and give the VAE's 8 latents"):
        Networks.load({**tiny_files, "vae": vae}, CPU, torch.float32)


def test_loading_does_not_change_the_files(tiny_files):
    before = {part: path.read_bytes() for part, path in tiny_files.items()}
    Networks.load(tiny_files, CPU, torch.float32)
    assert {part: path.read_bytes() for part, path in tiny_files.items()} == before


def test_two_threads_may_load(tiny_files):
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: Networks.load(tiny_files, CPU, torch.float32), range(2))
    assert torch.equal(first.unet.conv_out.weight, second.unet.conv_out.weight)
    assert first.lock is not second.lock


# --- the machine ---


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_is_the_cpu_in_single_precision():
    assert choose_device() == (CPU, torch.float32)


def test_memory_that_others_use_is_waited_for(tmp_path):
    files = tiny.write(tmp_path)
    Networks.load(files, CPU, torch.float32)  # now what the libraries load late is there
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used, hard))
    try:
        with pytest.raises(
            ResourceExhausted, match=r"MuseTalk's networks need 3\.8 GB of cpu memory, which others"
        ):
            Networks.load(files, CPU, torch.float32)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


class Failing(dict):
    """Files, the look at which fails as a machine does."""

    def __init__(self, error):
        self.error = error

    def __missing__(self, part):
        raise self.error


def test_a_machine_that_is_too_small_is_said_with_figures(monkeypatch):
    monkeypatch.setattr(module, "_memory", lambda device: 10**9)
    with pytest.raises(ConfigurationError, match=r"need 1\.9 GB of cpu memory, and there are 1\.0 GB"):
        Networks.load(Failing(MemoryError()), CPU, torch.float16)


def test_the_memory_of_this_machine_is_known():
    assert module._memory(CPU) > 10**8


NO_DRIVER = torch.AcceleratorError("CUDA error: unknown error\nCompile with")
TOO_OLD = torch.AcceleratorError("CUDA error: no kernel image is available for execution\nCompile with")


@pytest.mark.parametrize(("error", "is_initialized"), [(NO_DRIVER, False), (TOO_OLD, False), (TOO_OLD, True)])
def test_a_gpu_that_cannot_be_used_is_said(monkeypatch, error, is_initialized):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: is_initialized)
    with pytest.raises(
        ConfigurationError, match=r"the GPU cannot be used \(CUDA error: [a-z ]+\); see `nvidia-smi`"
    ):
        Networks.load(Failing(error), CPU, torch.float16)


def test_a_gpu_that_is_lost_while_loading_asks_for_a_new_process(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    error = torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nCompile with")
    with pytest.raises(EngineFailed, match=r"must be recycled \(CUDA error: an illegal memory access"):
        Networks.load(Failing(error), CPU, torch.float16)


def test_a_mistake_of_ours_comes_through_as_it_is():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        Networks.load(Failing(RuntimeError("shapes cannot be multiplied")), CPU, torch.float32)


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", 64),
        ("100000 100000", 1),
        ("150000 100000", 2),
        ("1000 100000", 1),
        ("", 64),
        ("odd", 64),
    ],
)
def test_a_containers_quota_counts_as_cores_rounded_up(tmp_path, monkeypatch, quota, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(64), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    (tmp_path / "cpu.max").write_text(quota)
    assert cores(tmp_path) == expected


def test_the_quota_of_a_group_above_counts_too(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(64), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    inner = tmp_path / "pod" / "container"
    inner.mkdir(parents=True)
    (inner / "cpu.max").write_text("800000 100000")
    (inner.parent / "cpu.max").write_text("300000 100000")
    assert cores(inner) == 3


def test_the_cores_that_a_process_is_bound_to_count(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3}, raising=False)
    assert cores(tmp_path) == 1


def test_this_machine_has_a_core():
    assert 1 <= cores() <= os.cpu_count()


def test_torch_computes_with_no_more_threads_than_there_are_cores(tmp_path):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        (tmp_path / "cpu.max").write_text("100000 100000")
        assert limit_threads(tmp_path) == torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_fewer_threads_than_cores_stay_fewer():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert limit_threads() == 1
    finally:
        torch.set_num_threads(before)
