"""The CSV of `dubline compare`: a line for each clip, a column for each system's output."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contract.errors import BadRequest, InputNotFound
from contract.job import JobOptions
from worker.evaluation.compare import Entry
from worker.options import options_of

NAMED = ("source", "audio")
OPTIONS = ("sync_mode", "face", "start", "end")
"""Columns that say how the source plays; all others are systems."""


def read_pairs(path: Path, options: JobOptions) -> list[Entry]:
    """All clips of the file; paths are relative to it.

    Raises:
        BadRequest: the table is not one, with the line; files that are not there, all of them.
    """
    try:
        entries = _entries(path, options)
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadRequest(f"{path.name} is no CSV in UTF-8: {error}") from error
    if not entries:
        raise BadRequest(f"{path.name} has no line below its header")
    twice = _repeated([each.id for each in entries])
    if twice:
        raise BadRequest(f"{path.name} has several clips of one id: {', '.join(twice)}")
    check_files(entries)
    return entries


def check_files(entries: Sequence[Entry]) -> None:
    """Nothing, where all files are there.

    Raises:
        InputNotFound: all that are not.
    """
    wanted = [file for each in entries for file in (each.source, each.audio, *each.outputs.values())]
    missing = [str(file) for file in dict.fromkeys(wanted) if not file.is_file()]
    if missing:
        raise InputNotFound(f"not there: {', '.join(missing)}")


def _entries(path: Path, options: JobOptions) -> list[Entry]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        header = reader.fieldnames or ()
        systems = [name for name in header if name not in (*NAMED, *OPTIONS, "id")]
        _check_header(path, header, systems)
        return [_entry(path, line, row, systems, options) for line, row in enumerate(reader, 2)]


def _repeated(names: Sequence[str]) -> list[str]:
    """Those that are there more than once."""
    return [name for name, times in Counter(names).items() if times > 1]


def _check_header(path: Path, header: Sequence[str], systems: Sequence[str]) -> None:
    lacking = [name for name in NAMED if name not in header]
    if lacking or len(systems) < 2:
        raise BadRequest(
            f"{path.name} needs the columns source, audio and one for each of at least two systems, "
            f"like source,audio,MuseTalk,Wav2Lip; it has {', '.join(header) or 'none'}"
        )
    if twice := _repeated(header):
        raise BadRequest(f"{path.name} has several columns of one name: {', '.join(twice)}")


def _entry(
    path: Path, line: int, row: Mapping[str, Any], systems: Sequence[str], options: JobOptions
) -> Entry:
    if None in row or any(not row.get(name) for name in (*NAMED, *systems)):
        raise BadRequest(f"{path.name}, line {line}: a file for every column is needed")
    own = {name: row[name] for name in OPTIONS if row.get(name)}
    try:
        settled = options_of(**{**options.model_dump(), **own}) if own else options
    except BadRequest as error:
        raise BadRequest(f"{path.name}, line {line}: {error.message}") from error
    folder = path.parent
    outputs = {name: folder / row[name] for name in systems}
    return Entry(
        row.get("id") or str(line - 1), folder / row["source"], folder / row["audio"], outputs, settled
    )
