"""Random networks as real files."""

import torch
from safetensors.torch import load_file

from tests.worker.engines.musetalk import tiny
from worker.engines.musetalk import random_weights
from worker.engines.musetalk.architecture import PARTS
from worker.engines.musetalk.convert import Checkpoint
from worker.engines.musetalk.networks import Networks

TINY = tiny.architectures()


def test_the_files_are_weight_files_like_any_other(tmp_path):
    files = random_weights.write(tmp_path / "new", torch.float16, architectures=TINY)
    for part, path in files.items():
        found = Checkpoint.open(path, PARTS[part])
        assert found.shapes == TINY[part].shapes()
        assert found.stored == {torch.float16}
        assert found.metadata["random"] == "true"


def test_the_official_reader_reads_what_was_written(tmp_path):
    files = random_weights.write(tmp_path, torch.float32, architectures=TINY)
    for part, path in files.items():
        found = {name: tuple(tensor.shape) for name, tensor in load_file(path).items()}
        assert found == TINY[part].shapes()


def test_a_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    first, again, other = (
        random_weights.write(tmp_path / name, torch.float16, seed, TINY)["vae"].read_bytes()
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again
    assert first != other


def test_whatever_goes_in_what_comes_out_is_finite(tmp_path):
    files = random_weights.write(tmp_path, torch.float16, 5, TINY)
    networks = Networks.load(files, torch.device("cpu"), torch.float16)
    with torch.no_grad():
        latents = networks.vae.encode(torch.full((1, 3, 256, 256), -1.0).half()).latent_dist.mode()
        redrawn = networks.unet(latents.repeat(1, 2, 1, 1) * 3, torch.full((1, 50, tiny.WIDTH), 5.0).half())
        picture = networks.vae.decode(redrawn).sample
    assert all(each.isfinite().all() for each in (latents, redrawn, picture))
