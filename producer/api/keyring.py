"""The API's keys: a TOML file of names and SHA-256 hashes, and short-lived tokens for where no header can be sent.

    [keys]
    studio = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

A key has 256 random bits, so that a plain hash of it tells nothing.
"""

import hashlib
import hmac
import logging
import os
import secrets
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, TypeAdapter, ValidationError

from contract.errors import BadRequest, ConfigurationError, NotFound
from contract.job import Boundary, Owner, Sha256

logger = logging.getLogger(__name__)

PREFIX = "dub_"
"""Lets people and scanners of leaked secrets recognise a key."""
LOOK_SECONDS = 1.0
"""The file is looked at so often, at most: a new key works at once, and so does a removed one not."""
TOKEN_SECONDS = 3600
"""A token is good for one to two hours: its end is rounded, so that an address stays the same for a while."""

_OWNER: TypeAdapter[str] = TypeAdapter(Owner)


class _File(Boundary):
    keys: dict[Owner, Sha256] = Field(default_factory=dict)


class Keyring:
    """Who a key belongs to. It follows its file while the process runs.

    Raises:
        ConfigurationError: at the start, of a file that is none of keys.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path.expanduser() if path else None
        self._seen: tuple[int, int] | None = None
        self._looked = time.monotonic()
        self._keys: Mapping[str, str] = {}
        if self._path:
            self._keys, self._seen = read_keys(self._path), _version(self._path)

    @property
    def is_empty(self) -> bool:
        """Nobody has a key."""
        return not self._current()

    def owner(self, key: str) -> str | None:
        """The name of a key, or None; it takes as long whichever it is."""
        digest = hashlib.sha256(key.encode()).hexdigest()
        found = None
        for name, known in self._current().items():
            if hmac.compare_digest(digest, known):
                found = name
        return found

    def token(self, owner: str, what: str) -> str:
        """Lets whoever has it do as the owner in this one matter for a while. It ends with the key."""
        end = (int(time.time()) // TOKEN_SECONDS + 2) * TOKEN_SECONDS
        return f"{owner}.{end}.{self._sign(self._current()[owner], owner, what, end)}"

    def owner_of_token(self, token: str, what: str) -> str | None:
        """Whose token for this matter that is, or None."""
        owner, _, rest = token.partition(".")
        end, _, signature = rest.partition(".")
        secret = self._current().get(owner)
        if secret is None or not (end.isascii() and end.isdigit()) or len(end) > 12:
            return None
        signed = hmac.compare_digest(signature.encode(), self._sign(secret, owner, what, int(end)).encode())
        return owner if signed and int(end) > time.time() else None

    def _sign(self, secret: str, owner: str, what: str, end: int) -> str:
        return hmac.new(bytes.fromhex(secret), f"{owner}\n{what}\n{end}".encode(), hashlib.sha256).hexdigest()

    def _current(self) -> Mapping[str, str]:
        if self._path and time.monotonic() - self._looked > LOOK_SECONDS:
            self._looked = time.monotonic()
            self._follow(self._path)
        return self._keys

    def _follow(self, path: Path) -> None:
        """Read the file again if it is another one; one that cannot be read changes nothing."""
        version = _version(path)
        if version == self._seen:
            return
        self._seen = version
        try:
            self._keys = read_keys(path)
        except ConfigurationError as error:
            logger.error("%s; the keys of before stay good", error.message)  # noqa: TRY400 - no defect of ours


def _version(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_ino


def read_keys(path: Path) -> dict[str, str]:
    """Hashes by name; a file that is not there holds none.

    Raises:
        ConfigurationError: it cannot be read, or is none of keys.
    """
    try:
        with path.open("rb") as file:
            return _File.model_validate(tomllib.load(file)).keys
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}; see DUBLINE_API_KEYS") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise ConfigurationError(f"{path} is no file of keys; `dubline keys add` writes one") from error


def add_key(path: Path, name: str) -> str:
    """Make a key of that name. It is told here once, and nowhere kept.

    Raises:
        BadRequest: the name is none, or taken.
        ConfigurationError: the file is none of keys, or cannot be written.
    """
    keys = read_keys(path)
    if name in keys:
        raise BadRequest(f"there is a key {name!r} already; remove it first, or choose another name")
    try:
        _OWNER.validate_python(name)
    except ValidationError as error:
        raise BadRequest(
            f"{name!r} must be 1 to 32 small letters and digits, with single hyphens between them"
        ) from error
    key = PREFIX + secrets.token_urlsafe(32)
    _write(path, {**keys, name: hashlib.sha256(key.encode()).hexdigest()})
    return key


def remove_key(path: Path, name: str) -> None:
    """Make the key of that name worth nothing.

    Raises:
        NotFound: there is none.
    """
    keys = read_keys(path)
    if name not in keys:
        raise NotFound(f"there is no key {name!r}; `dubline keys list` lists them")
    _write(path, {each: digest for each, digest in keys.items() if each != name})


def _write(path: Path, keys: Mapping[str, str]) -> None:
    """Whole or not at all, and readable by its owner alone."""
    text = "[keys]\n" + "".join(f'{name} = "{digest}"\n' for name, digest in sorted(keys.items()))
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "x", opener=lambda name, flags: os.open(name, flags, mode=0o600)) as file:
            file.write(text)
        part.replace(path)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}; see DUBLINE_API_KEYS"
        ) from error
