"""A CSV file as rows of named cells with their physical lines, whatever spreadsheet wrote it."""

import csv
import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from contract.errors import BadRequest, Fault, InputNotFound
from contract.job import JobOptions

OPTIONS = tuple(JobOptions.model_fields)
COLUMNS = ("id", "video", "audio", *OPTIONS, "priority", "time_limit", "webhook_url")
REQUIRED = ("video", "audio")
DELIMITERS = (",", ";", "\t")
"""A spreadsheet in much of Europe writes semicolons, a clipboard tabs."""


@dataclass(frozen=True, slots=True)
class Record:
    """One row that is not blank: its cells by column, without outer blanks, or what is wrong with it."""

    line: int
    """Where it starts: a physical line, from 1; a quoted cell may run over several."""
    cells: dict[str, str]
    problem: str = ""


def read_table(path: Path, name: str | None = None) -> Iterator[Record]:
    """The rows below the header, one by one; errors call the file by its name, or else by its path.

    Raises:
        InputNotFound: there is no such file.
        BadRequest: the file as a whole cannot be read: its encoding or its header.
    """
    name = name or str(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from _records(file, name)
    except FileNotFoundError as error:
        raise InputNotFound(f"{name} does not exist") from error
    except UnicodeDecodeError as error:
        raise _not_utf8(path, name) from error
    except OSError as error:
        raise BadRequest(f"{name} cannot be read as a CSV: {error.strerror}") from error


def _records(file: TextIO, name: str) -> Iterator[Record]:
    delimiter = _delimiter(file)
    rows = _rows(file, delimiter)
    header = next(rows, None)
    if header is None:
        raise BadRequest(f"{name} is empty; its first line must be a header such as id,video,audio")
    columns = _columns(*header)
    for line, cells in rows:
        if isinstance(cells, csv.Error):
            yield Record(line, {}, _quoting(cells))
        elif any(cells[len(columns) :]):
            yield Record(line, {}, _too_many(len(cells), len(columns), delimiter))
        else:
            yield Record(line, dict(zip(columns, map(str.strip, cells), strict=False)))


def _delimiter(file: TextIO) -> str:
    """The delimiter that finds most known columns in the first line that is not blank."""
    first = next((line for line in file if line.strip()), "")
    file.seek(0)
    return max(DELIMITERS, key=lambda each: sum(_name(cell) in COLUMNS for cell in first.split(each)))


def _name(cell: str) -> str:
    return cell.strip().strip('"').strip().lower()


def _rows(file: TextIO, delimiter: str) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Line and cells of each row that is not blank; the error where the quotes of a row are broken."""
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, error
            continue
        if any(cell and not cell.isspace() for cell in cells):
            yield line, cells


def _columns(line: int, header: list[str] | csv.Error) -> list[str]:
    """The columns in the order of the header.

    Raises:
        BadRequest: with all that is wrong with it.
    """
    if isinstance(header, csv.Error):
        raise BadRequest("the header is wrong", [Fault(line, _quoting(header))])
    columns = [_name(cell) for cell in header]
    if not set(columns) & set(COLUMNS):
        raise BadRequest(
            "there is no header", [Fault(line, "must name the columns, for instance: id,video,audio")]
        )
    problems = [f"column {name!r} is missing" for name in REQUIRED if name not in columns]
    problems += [unknown(name) for name in columns if name not in COLUMNS]
    problems += [f"column {name!r} appears twice" for name in COLUMNS if columns.count(name) > 1]
    if problems:
        raise BadRequest("the header is wrong", [Fault(line, problem) for problem in problems])
    return columns


def unknown(name: str, known: Sequence[str] = COLUMNS, what: str = "column") -> str:
    """What is wrong with a name that is none of those."""
    if not name:
        return f"{'an' if what[0] in 'aeiou' else 'a'} {what} has no name; name it or remove it"
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"the {what}s are {', '.join(known)}"
    return f"{what} {name!r} is unknown; {hint}"


def _too_many(cells: int, columns: int, delimiter: str) -> str:
    return f'has {cells} cells where the header has {columns}; write a cell that contains "{delimiter}" in double quotes'


def _quoting(error: csv.Error) -> str:
    return f'the double quotes do not match ({error}); write " inside a quoted cell as ""'


def _not_utf8(path: Path, name: str) -> BadRequest:
    remedy = 'save it as "CSV UTF-8", or convert it with iconv -t UTF-8'
    with path.open("rb") as file:
        if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            return BadRequest(f"{name} is UTF-16, not UTF-8; {remedy}")
        file.seek(0)
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                byte = f"byte 0x{line[error.start]:02x}"
                return BadRequest(f"{name} is not UTF-8", [Fault(number, f"{byte} is not UTF-8; {remedy}")])
    return BadRequest(f"{name} is not UTF-8; {remedy}")
