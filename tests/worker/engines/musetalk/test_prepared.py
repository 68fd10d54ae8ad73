"""What is kept of a frame, and what it is kept under: whatever changes it must change its key."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from contract.job import JobOptions
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


def test_another_precision_or_device_is_another_key(networks):
    half = dataclasses.replace(networks, dtype=torch.float16)
    elsewhere = dataclasses.replace(networks, device=torch.device("cuda"))
    keys = [depends_on(V15, DEFAULT, each) for each in (networks, half, elsewhere)]
    assert keys[0] != keys[1] != keys[2] != keys[0]


@pytest.mark.parametrize(
    ("name", "options", "changes"),
    [
        ("vae", DEFAULT, True),
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
    assert (
        key["version of torch"] == torch.__version__.partition("+")[0]
        or key["version of torch"] == torch.__version__
    )
