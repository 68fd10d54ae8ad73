"""What one cell of the CSV means: a place, an id, an option; or, in words, why it means nothing."""

import os
import re
import stat
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, cast, get_args

from pydantic import TypeAdapter, ValidationError

from contract.errors import (
    BadRequest,
    ConfigurationError,
    EmptyInput,
    InputForbidden,
    InputNotFound,
    InputTooLarge,
    SourceUnsupported,
)
from contract.job import JobOptions, Priority, RowId
from contract.settings import Settings
from contract.weburl import Reach, UrlFault, WebUrl, is_web, shown
from producer.table import OPTIONS

Place = Path | str
"""Where an input lies: a file of this machine, the `s3://bucket/key` of a stored object, or an `https://` URL."""

MAX_ID_BYTES = 200
"""With its suffixes an id stays under the 255 bytes that file systems allow a name."""
MAX_MINUTES = 24 * 60
"""Longest time that one attempt may be given."""
MAX_KEY_BYTES = 1024
"""S3's own limit."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_BUCKET = re.compile(r"[A-Za-z0-9._-]{3,255}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ROW_ID: TypeAdapter[str] = TypeAdapter(RowId)


def place_of(text: str, folder: Path, settings: Settings) -> Place:
    """Where an input lies. Relative paths start at `folder`; local files are looked at, stored objects and URLs are not.

    Raises:
        InputRejected: its class says what is wrong.
    """
    if not text:
        raise BadRequest("is empty")
    if is_web(text):
        return url_of(text, settings)
    if _CONTROL.search(text):
        raise BadRequest(f"{text!r} contains a control character")
    scheme = _SCHEME.match(text)
    if scheme is None:
        return _local(folder / text, text, settings)
    if scheme[1] != "s3":
        kinds = "a path, s3://bucket/key or https://host/path"
        raise SourceUnsupported(f"{text}: {scheme[1]}:// is not supported; write {kinds}")
    return _stored(text)


def has_scheme(text: str) -> bool:
    """Whether a text begins like a URL, and is no path therefore."""
    return _SCHEME.match(text) is not None


def url_of(text: str, settings: Settings) -> str:
    """The URL, in a shape that is fetched from or posted to. Nobody is asked whether there is anything.

    Raises:
        BadRequest: it is none. Nothing of it is shown, for it may hold a secret.
    """
    try:
        return WebUrl.parse(text, Reach(http=settings.allow_http)).text
    except UrlFault as fault:
        raise BadRequest(str(fault)) from fault


def _stored(address: str) -> str:
    bucket, _, key = address.removeprefix("s3://").partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise BadRequest(f"{address}: {bucket!r} is not the name of a bucket; write s3://bucket/key")
    if not key or key.endswith("/"):
        raise BadRequest(f"{address} names no object; write s3://bucket/key")
    if len(key.encode()) > MAX_KEY_BYTES:
        raise BadRequest(f"{address}: the key is longer than S3's {MAX_KEY_BYTES} bytes")
    return address


def _local(path: Path, text: str, settings: Settings) -> Path:
    try:
        facts = path.stat()
    except OSError as error:
        raise _unreachable(text, error) from error
    if not stat.S_ISREG(facts.st_mode):
        kind = "a folder" if stat.S_ISDIR(facts.st_mode) else "not a regular file"
        raise BadRequest(f"{text} is {kind}; name a media file")
    refuse_size(text, facts.st_size, settings)
    if not os.access(path, os.R_OK):
        raise InputForbidden(f"{text} may not be read by this user; see its permissions")
    return path


def refuse_size(name: str, size_bytes: int, settings: Settings) -> None:
    """Return if an input may have that size.

    Raises:
        EmptyInput: it has none.
        InputTooLarge: it is over the limit.
    """
    if size_bytes == 0:
        raise EmptyInput(f"{name} is empty (0 bytes); was it copied completely?")
    if size_bytes > settings.max_input_bytes:
        raise InputTooLarge(
            f"{name} has {size_bytes:,} bytes; the limit is {settings.max_input_bytes:,} (max_input_bytes)"
        )


def _unreachable(text: str, error: OSError) -> BadRequest | InputNotFound | InputForbidden:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return InputNotFound(f"{text} does not exist; paths are relative to the CSV")
    if isinstance(error, PermissionError):
        return InputForbidden(f"{text} may not be read by this user; see the permissions of its folders")
    return BadRequest(f"{text} cannot be read: {error.strerror}")


def webhook_of(text: str, settings: Settings) -> str | None:
    """Who is told of the end; an empty cell means nobody.

    Raises:
        BadRequest: it is no URL that is posted to.
        ConfigurationError: nothing that is posted could be signed.
    """
    if not text:
        return None
    if settings.webhook_secret is None:
        raise ConfigurationError(
            "webhooks are signed, and there is no secret to sign with; set DUBLINE_WEBHOOK_SECRET here and for the feeder"
        )
    if not is_web(text):
        raise BadRequest("is not an https:// URL")
    return url_of(text, settings)


def made_id(video: str, audio: str) -> str:
    """The id of a row that has none: its two stems."""
    return f"{PurePosixPath(shown(video)).stem}-{PurePosixPath(shown(audio)).stem}"


def id_of(text: str) -> str:
    """The id itself, fit to be the name of an output.

    Raises:
        BadRequest: it is not.
    """
    try:
        _ROW_ID.validate_python(text)
    except ValidationError as error:
        raise BadRequest(
            f"id {text!r} must be 1 to 200 characters without slashes and control characters"
        ) from error
    if len(text.encode()) > MAX_ID_BYTES:
        raise BadRequest(f"id {text!r} is longer than {MAX_ID_BYTES} bytes in UTF-8")
    return text


def priority_of(text: str) -> Priority:
    """The priority; an empty cell means normal.

    Raises:
        BadRequest: it is none.
    """
    if text and text not in get_args(Priority):
        raise BadRequest(f"priority is {text!r}; it must be {_either(list(get_args(Priority)))}")
    return cast(Priority, text or "normal")


def time_limit_of(text: str) -> float | None:
    """The time limit in seconds, of a cell in minutes; an empty cell means the setting's.

    Raises:
        BadRequest: it is none.
    """
    if not text:
        return None
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes <= MAX_MINUTES:  # neither holds of what is not a number
        raise BadRequest(
            f"time_limit is {text!r}; it must be minutes, a number greater than 0 and at most {MAX_MINUTES}"
        )
    return minutes * 60


@lru_cache(maxsize=4096)
def options_of(texts: tuple[str, ...], engine: str) -> tuple[JobOptions | None, tuple[str, ...]]:
    """The options from the cells of `OPTIONS`, in that order, or all that is wrong with them.

    An empty cell means the default. The rows of a batch share few combinations: each is validated once.
    """
    given = {name: text for name, text in zip(OPTIONS, texts, strict=True) if text}
    try:
        return JobOptions.model_validate({"engine": engine, **given}), ()
    except ValidationError as error:
        faults = {each["loc"][0] if each["loc"] else "": each for each in error.errors()}
        return None, tuple(_in_words(str(name), given, each["msg"]) for name, each in faults.items())


def _in_words(option: str, given: dict[str, str], message: str) -> str:
    if not option:  # a rule between options carries its own words
        return message.removeprefix("Value error, ")
    here = " in this version" if option == "engine" else ""
    schema = JobOptions.model_json_schema()["properties"][option]
    return f"{option} is {given[option]!r}; it must be {_either(_choices(schema))}{here}"


def _choices(schema: dict[str, Any]) -> list[str]:
    """What a value may be, from its JSON schema, so that the words follow the contract."""
    if "anyOf" in schema:
        return [choice for each in schema["anyOf"] for choice in _choices(each)]
    if "const" in schema:
        return [schema["const"]]
    if "enum" in schema:
        return list(schema["enum"])
    if schema["type"] == "boolean":
        return ["true", "false"]
    if schema["type"] == "integer":
        return [f"a whole number from {schema['minimum']} to {schema['maximum']}"]
    if "minimum" in schema:
        return [f"a number, at least {schema['minimum']:g}"]
    return (
        [f"a number greater than {schema['exclusiveMinimum']:g}"] if schema["type"] == "number" else ["empty"]
    )


def _either(choices: list[str]) -> str:
    *most, last = choices
    return f"{', '.join(most)} or {last}" if most else last
