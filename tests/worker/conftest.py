from pathlib import Path

import pytest

CLIPS = Path(__file__).parents[3] / "shared" / "media"


@pytest.fixture(scope="session")
def clip():
    """The path of a real clip by its name. They are for research only and lie beside the checkout, if anywhere."""

    def find(name):
        path = CLIPS / name
        if not path.is_file():
            pytest.skip(f"{name} is not in {CLIPS}")
        return path

    return find
