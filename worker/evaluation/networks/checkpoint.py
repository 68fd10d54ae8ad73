"""A published file of tensors and the network that it must be: they fit key by key, or nothing is loaded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from contract.errors import ConfigurationError

Built = TypeVar("Built", bound=nn.Module)


def filled(build: Callable[[], Built], path: Path) -> Built:
    """The network with the file's tensors, float32 on the CPU, in evaluation mode and without gradients.

    It is built on torch's meta device: no layer ever holds random numbers that a key forgotten could leave there.

    Raises:
        ConfigurationError: the file is no pickle of tensors alone, or has not just the network's keys and shapes.
    """
    with torch.device("meta"):
        network = build()
    try:
        network.load_state_dict(tensors(path), strict=True, assign=True)
    except (RuntimeError, TypeError, AttributeError) as error:  # the last two: it holds no mapping
        raise ConfigurationError(
            f"{path} is another network's: {error}; `dubline models fetch` replaces it"
        ) from error
    return network.float().eval().requires_grad_(False)


def tensors(path: Path) -> Any:
    """What the file holds, on the CPU. No code of it is run.

    Raises:
        ConfigurationError: it is no pickle of tensors, or of more than tensors.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a damaged file anything may come
        raise ConfigurationError(
            f"{path} is no file of tensors ({type(error).__name__}); `dubline models fetch` replaces it"
        ) from error
