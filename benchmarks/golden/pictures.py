"""What others' own code gives for seeded networks, pictures and features: golden numbers for FID, KID and LPIPS.

    python -m benchmarks.golden.pictures --torch-fidelity DIR --lpips DIR    writes tests/worker/evaluation/golden.npz

The folders are the packages `torch_fidelity` of torch-fidelity 0.4.0 and `lpips` of lpips 0.1.4, unpacked from their
wheels. Both are run as they are; torchvision, which they import, has a stand-in of a few lines here, with AlexNet's
layers as in torchvision 0.29.1. The tests import the tensors and pictures from this file, so both sides have the same.
"""

import argparse
import sys
import tempfile
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn

GOLDEN = Path(__file__).parents[2] / "tests/worker/evaluation/golden.npz"
SIZES = ((90, 64), (299, 299), (400, 512))
"""Height and width of the golden pictures."""
FEATURE_SETS = {"few": (40, 60, 128), "many": (1500, 1100, 32), "wide": (30, 30, 512)}
"""Rows of both sides and columns."""

Shapes = Mapping[str, tuple[int, ...]]


def tensors(shapes: Shapes, seed: int = 0) -> dict[str, torch.Tensor]:
    """A file's tensors by name: random, and such that a signal gets through. Those of linear layers are zeros."""
    draw = np.random.RandomState(seed)
    return {name: _tensor(name, shape, draw) for name, shape in shapes.items()}


def _tensor(name: str, shape: tuple[int, ...], draw: np.random.RandomState) -> torch.Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if name.startswith(("fc", "classifier")):
        return torch.zeros(1).expand(shape)  # takes no room, in memory or in a file
    if name.startswith("lin"):
        return torch.from_numpy(draw.uniform(0, 1, shape).astype(np.float32))
    if len(shape) == 4:
        spread = np.sqrt(2 / np.prod(shape[1:]))
        return torch.from_numpy((draw.standard_normal(shape) * spread).astype(np.float32))
    low, high = (0.5, 1.5) if name.endswith(("running_var", "bn.weight")) else (-0.1, 0.1)
    return torch.from_numpy(draw.uniform(low, high, shape).astype(np.float32))


def picture(height: int, width: int, seed: int) -> np.ndarray:
    """(height, width, 3) uint8 RGB: slopes and noise."""
    noise = np.random.RandomState(seed).randint(-60, 60, (height, width, 3))
    y, x = np.mgrid[:height, :width]
    slopes = np.stack([255 * y / height, 255 * x / width, 128 + 0 * x], axis=-1)
    return np.clip(slopes + noise, 0, 255).astype(np.uint8)


def feature_sets(name: str) -> tuple[np.ndarray, np.ndarray]:
    """(n, d) and (m, d) float32, of two different Gaussians."""
    n, m, d = FEATURE_SETS[name]
    draw = np.random.RandomState(5)
    first = draw.standard_normal((n, d)) * np.linspace(0.2, 1.5, d)
    second = draw.standard_normal((m, d)) + 0.2
    return first.astype(np.float32), second.astype(np.float32)


def main() -> None:
    """Write the golden file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--torch-fidelity", type=Path, required=True)
    parser.add_argument("--lpips", type=Path, required=True)
    given = parser.parse_args()
    sys.modules["torchvision"] = types.SimpleNamespace(models=types.SimpleNamespace(alexnet=_alexnet))  # type: ignore[assignment]
    sys.path.insert(0, str(given.lpips.parent))
    package = types.ModuleType("torch_fidelity")
    package.__path__ = [str(given.torch_fidelity)]
    sys.modules["torch_fidelity"] = package
    sys.modules["torch_fidelity.utils"] = mock.MagicMock()
    np.savez_compressed(GOLDEN, **_inception(), **_distances(), **_lpips())


def _inception() -> dict[str, Any]:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    with mock.patch.object(nn.Module, "load_state_dict"), mock.patch("torch.load"):
        bare = FeatureExtractorInceptionV3("", ["2048"], feature_extractor_weights_path="none")
    shapes = {name: tuple(each.shape) for name, each in bare.state_dict().items()}
    with tempfile.NamedTemporaryFile() as file:
        torch.save(tensors(shapes), file.name)
        network = FeatureExtractorInceptionV3("", ["2048"], feature_extractor_weights_path=file.name)
    pictures = [torch.from_numpy(picture(*size, seed=1)).permute(2, 0, 1)[None] for size in SIZES]
    found = np.concatenate([network(each)[0].numpy() for each in pictures])
    return {"inception_keys": np.array(list(shapes)), "inception_features": found[:, ::16]}


def _distances() -> dict[str, Any]:
    from torch_fidelity import metric_fid, metric_kid

    found = {}
    for name in FEATURE_SETS:
        both = [torch.from_numpy(each) for each in feature_sets(name)]
        statistics = [metric_fid.fid_features_to_statistics(each) for each in both]
        (found[f"fid_{name}"],) = metric_fid.fid_statistics_to_metric(*statistics, verbose=False).values()
        settings = {"kid_subsets": 100, "kid_subset_size": min(1000, *map(len, both)), "rng_seed": 2020}
        kid = metric_kid.kid_features_to_metric(*both, **settings, verbose=False)
        found[f"kid_{name}"] = list(kid.values())
    return found


def _lpips() -> dict[str, Any]:
    import lpips

    network = lpips.LPIPS(pretrained=False, pnet_rand=True, verbose=False)
    backbone = {name: tuple(each.shape) for name, each in _alexnet().state_dict().items()}
    values = tensors(backbone, seed=1)
    for module in (each for each in vars(network.net)["_modules"].values()):
        for number, layer in module.named_children():
            layer.load_state_dict({key: values[f"features.{number}.{key}"] for key in layer.state_dict()})
    heads = {f"lin{number}.model.1.weight": (1, each, 1, 1) for number, each in enumerate(network.chns)}
    network.load_state_dict(tensors(heads, seed=2), strict=False)
    return {"lpips": [float(network(*map(lpips.im2tensor, pair)).detach()) for pair in pairs()]}


def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures to compare by LPIPS."""
    return [(picture(*size, seed=1), picture(*size, seed=2)) for size in SIZES[:2]]


def _alexnet(pretrained: bool = False) -> nn.Module:
    network = nn.Module()
    network.features = nn.Sequential(
        nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(64, 192, kernel_size=5, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(192, 384, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(kernel_size=3, stride=2),
    )
    return network


if __name__ == "__main__":
    main()
