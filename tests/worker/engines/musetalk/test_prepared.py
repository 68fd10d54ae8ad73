"""What is kept of a frame, and what it is kept under: whatever changes it must change its key."""

import dataclasses
from importlib.metadata import version

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from contract.job import JobOptions
from worker.engines.musetalk import prepared as module
from worker.engines.musetalk.prepared import Prepared, depends_on
from worker.engines.musetalk.variants import VARIANTS
from worker.media.frame import Box
from worker.weights import registry, weight

V15, V1 = VARIANTS["musetalk-v15"], VARIANTS["musetalk-v1"]
DEFAULT = JobOptions()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_packed_and_unpacked_is_the_same_bit_for_bit(dtype):
    generator = np.random.default_rng(0)
    latents = generator.normal(size=(8, 32, 32)).astype(dtype)
    frame = Prepared(Box(3, 5, 40, 60), latents, generator.integers(0, 256, (55, 37), dtype=np.uint8))
    again = Prepared.unpack(load(save(frame.pack())))
    assert again.box == frame.box
    assert (again.latents.dtype, again.latents.tobytes()) == (dtype, latents.tobytes())
    assert (again.mask.shape, again.mask.tobytes()) == (frame.mask.shape, frame.mask.tobytes())


def test_a_frame_of_a_gpu_takes_16_kb_and_its_mask():
    frame = Prepared(Box(0, 0, 100, 120), np.zeros((8, 32, 32), np.float16), np.zeros((120, 100), np.uint8))
    assert sum(array.nbytes for array in frame.pack().values()) == 16 + 16_384 + 12_000


@pytest.mark.parametrize(
    ("variant", "options"),
    [
        (V1, DEFAULT),
        (V15, JobOptions(extra_margin=11)),
        (V15, JobOptions(parsing_mode="raw")),
        (V15, JobOptions(landmarks="dwpose")),
        (V15, JobOptions(mask="bisenet")),
    ],
)
def test_what_changes_boxes_latents_or_masks_changes_the_key(networks, variant, options):
    assert depends_on(variant, options, networks) != depends_on(V15, DEFAULT, networks)


def test_v1s_shift_changes_its_key(networks):
    assert depends_on(V1, JobOptions(bbox_shift=3), networks) != depends_on(V1, DEFAULT, networks)


@pytest.mark.parametrize(
    ("variant", "options"),
    [
        (V15, JobOptions(bbox_shift=5)),
        (V15, JobOptions(sync_mode="loop")),
        (V1, JobOptions(extra_margin=20)),
        (V1, JobOptions(parsing_mode="raw")),
    ],
)
def test_what_changes_nothing_does_not_prepare_anew(networks, variant, options):
    assert depends_on(variant, options, networks) == depends_on(variant, DEFAULT, networks)


def test_another_precision_is_another_key(networks):
    half = dataclasses.replace(networks, dtype=torch.float16)
    assert depends_on(V15, DEFAULT, half) != depends_on(V15, DEFAULT, networks)


@pytest.fixture
def on_gpu(networks, monkeypatch):
    """Networks that say that they are on a card of that name."""

    def there(card):
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: card)
        return dataclasses.replace(networks, device=torch.device("cuda"))

    return there


def test_every_kind_of_card_has_a_key_of_its_own_for_its_bits_are_its_own(networks, on_gpu):
    keys = [depends_on(V15, DEFAULT, networks)]
    for card in ("NVIDIA A10G", "NVIDIA H100 80GB HBM3"):
        key = depends_on(V15, DEFAULT, on_gpu(card))
        assert key["device"] == card
        assert key not in keys
        keys.append(key)


def test_another_cuda_or_cudnn_is_another_key(on_gpu, monkeypatch):
    networks = on_gpu("NVIDIA A10G")
    before = depends_on(V15, DEFAULT, networks)
    with monkeypatch.context() as other:
        other.setattr(torch.version, "cuda", "99.0")
        assert depends_on(V15, DEFAULT, networks) != before
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 99_000)
    assert depends_on(V15, DEFAULT, networks) != before


def test_another_processor_is_another_key_and_so_is_another_number_of_threads(networks, monkeypatch):
    before = depends_on(V15, DEFAULT, networks)
    with monkeypatch.context() as other:
        other.setattr(torch, "get_num_threads", lambda: 64)
        assert depends_on(V15, DEFAULT, networks) != before
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "of another time")
    assert depends_on(V15, DEFAULT, networks) != before


def test_an_option_whose_libraries_are_missing_is_refused_later_and_not_here(networks, monkeypatch):
    monkeypatch.setitem(module.UPSTREAMS, "dwpose", ("no-such-package",))
    key = depends_on(V15, JobOptions(landmarks="dwpose"), networks)
    assert key["version of no-such-package"] == "none"


@pytest.mark.parametrize(
    ("name", "options", "changes"),
    [
        ("vae", DEFAULT, True),
        ("face-mesh", DEFAULT, True),
        ("face-detection", DEFAULT, True),
        ("unet-v15", DEFAULT, False),
        ("dwpose", DEFAULT, False),
        ("dwpose", JobOptions(landmarks="dwpose"), True),
        ("face-parsing", JobOptions(mask="bisenet"), True),
    ],
)
def test_other_weights_are_another_key_where_they_take_part(networks, monkeypatch, name, options, changes):
    before = depends_on(V15, options, networks)
    others = tuple(
        dataclasses.replace(each, sha256="0" * 64) if each is weight(name) else each
        for each in registry.REGISTRY
    )
    monkeypatch.setattr(registry, "REGISTRY", others)
    assert (depends_on(V15, options, networks) != before) is changes


def test_a_key_is_text_and_names_the_versions_of_what_computes(networks):
    key = depends_on(V15, DEFAULT, networks)
    assert all(isinstance(each, str) for pair in key.items() for each in pair)
    for package in ("torch", "av", "ai-edge-litert", "diffusers", "numpy"):
        assert key[f"version of {package}"] == version(package)
