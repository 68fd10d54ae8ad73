"""`clip01.json` beside a pair: the option columns of a CSV, as an object of JSON."""

import json
from typing import Any

from contract.errors import BadRequest
from contract.storage import Storage, StoredObject
from producer.table import OPTIONS, unknown
from producer.watch.folder import Folder

KNOWN = (*OPTIONS, "priority", "time_limit")
MAX_BYTES = 65_536


def read_options(storage: Storage, folder: Folder, found: StoredObject) -> dict[str, str] | None:
    """The cells of a CSV that would say the same; None: they are other options now than were listed.

    Raises:
        BadRequest: it is no object of JSON, has another name, or a value that could be in no cell.
    """
    name = found.key.removeprefix(folder.prefix)
    if found.bytes > MAX_BYTES:
        raise BadRequest(f"{name} has {found.bytes:,} bytes; options have at most {MAX_BYTES:,}")
    read = storage.get_with_etag(folder.address(found.key))
    if read is None or read[1] != found.etag:
        return None
    given = _object(name, read[0])
    problems = [unknown(each, KNOWN, "option") for each in given if each not in KNOWN]
    if problems:
        raise BadRequest(f"{name}: {'; '.join(problems)}")
    return {option: _cell(name, option, value) for option, value in given.items()}


def _object(name: str, body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{name} is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise BadRequest(f'{name} must be an object of JSON, such as {{"sync_mode": "loop"}}')
    return given


def _cell(name: str, option: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadRequest(f"{name}: {option} is {json.dumps(value)[:40]}; it must be a text or a number")
    return value.strip() if isinstance(value, str) else json.dumps(value)
