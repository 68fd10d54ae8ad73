"""How every network that judges gets its weights, and how it is run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from contract.errors import ConfigurationError
from worker import weights

_Network = TypeVar("_Network", bound=nn.Module)


def device() -> torch.device:
    """The first GPU that torch sees, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def filled(network: _Network, name: str, folder: Path) -> _Network:
    """That network with the registry's weights of that name, ready to judge with, on `device`.

    Raises:
        ConfigurationError: the file is missing, is not the registry's, or does not hold just this network's tensors.
    """
    file = weights.path(name, folder)
    try:
        network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except (RuntimeError, TypeError) as error:
        raise ConfigurationError(
            f"{file} does not hold the tensors of {type(network).__name__}: {str(error).splitlines()[0]}; "
            f"`dubline models fetch {name}` replaces it"
        ) from error
    return network.eval().requires_grad_(False).to(device())


@contextmanager
def judging() -> Iterator[None]:
    """Around every run of a network: no gradients, full float32 also in a GPU's convolutions, the same each time."""
    exactly = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with torch.inference_mode(), exactly:
        yield
