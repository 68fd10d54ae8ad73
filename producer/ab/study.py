"""The key of a study: what was drawn, and what made each video. Raters never get it."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from contract.errors import ConfigurationError, InputNotFound
from contract.job import Boundary, RowId, Sha256

Side = Literal["left", "right"]
Letter = Literal["a", "b"]
Token = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
"""Random, so that it tells nothing of what it names."""


class System(Boundary):
    """One of the two that are compared: the name that results give it, and its batch."""

    name: Annotated[str, StringConstraints(min_length=1)]
    batch: str


class Take(Boundary):
    """One system's video of a pair: the file that raters get, and what it is in the store."""

    file: Token
    key: str
    bytes: Annotated[int, Field(ge=0)]
    sha256: Sha256

    @property
    def name(self) -> str:
        """Where it lies in the folder of the raters."""
        return f"videos/{self.file}.mp4"


class Pair(Boundary):
    """Two videos of one row, and which of them stands on the left."""

    id: Token
    row: RowId
    left: Letter
    a: Take
    b: Take

    @property
    def takes(self) -> tuple[Take, Take]:
        """What stands on the left, and what on the right."""
        return (self.a, self.b) if self.left == "a" else (self.b, self.a)

    def system_at(self, side: Side) -> Letter:
        """Which system stands on that side."""
        other: Letter = "b" if self.left == "a" else "a"
        return self.left if side == "left" else other


class Study(Boundary):
    """`FOLDER.key.json`: the pairs in the order in which raters meet them."""

    schema_version: Literal[1] = 1
    id: Token
    seed: Annotated[int, Field(ge=0)]
    a: System
    b: System
    pairs: Annotated[tuple[Pair, ...], Field(min_length=1)]

    def name_of(self, letter: Letter) -> str:
        """What results call a system."""
        return (self.a if letter == "a" else self.b).name

    def write(self, path: Path) -> None:
        """Keep it.

        Raises:
            ConfigurationError: the file cannot be written.
        """
        try:
            path.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(
                f"the key {path} cannot be written: {error.strerror}; choose another file with --key"
            ) from error


def read_study(path: Path) -> Study:
    """The study of a key.

    Raises:
        InputNotFound: there is no such file, or it cannot be read.
        ConfigurationError: it is no key of this version.
    """
    try:
        return Study.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputNotFound(
            f"the key {path} cannot be read: {error.strerror}; `dubline ab make` wrote it beside its folder"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigurationError(
            f"{path} is no key that this version of `dubline ab make` wrote: {where}: {first['msg']}"
        ) from error
