"""Tiny real networks, loaded once."""

import pytest
import torch

from tests.worker.engines.musetalk import tiny
from worker.engines.musetalk.networks import Networks


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory):
    """Weight files of the three tiny networks in float32; read only."""
    return tiny.write(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def networks(tiny_files):
    """The tiny networks on the CPU in float32."""
    return Networks.load(tiny_files, torch.device("cpu"), torch.float32)
