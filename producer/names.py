"""What a person calls a batch, a row or a job, and which one that is. Batches and jobs may be cut short, as in git."""

import difflib
import re
from collections.abc import Iterable, Sequence

from contract import keys
from contract.errors import NotFound
from contract.job import Row
from contract.storage import Storage
from producer.batches import BATCH_NAME, batch_rows

NAMED = 5
"""At most so many names are listed in a sentence."""
JOB_DIGITS = 6
"""Fewer digits of a job's id could be a word."""

_JOB = re.compile(r"[0-9a-f]+")


def batch_names(storage: Storage) -> list[str]:
    """All batches, in the order of their names."""
    listed = {each.key for each in storage.list(keys.BATCHES)}
    names = {key.removeprefix(keys.BATCHES).partition("/")[0] for key in listed}
    return sorted(name for name in names if keys.rows(name) in listed)


def is_batch(storage: Storage, text: str) -> bool:
    """Whether a batch has exactly that name."""
    return bool(BATCH_NAME.fullmatch(text) and storage.stat(keys.rows(text)))


def find_batch(storage: Storage, text: str) -> str:
    """The batch of that name, or the only one whose name begins so.

    Raises:
        NotFound: there is none, or there are several.
    """
    if is_batch(storage, text):
        return text
    names = batch_names(storage)
    return _the_one(text, names, "batch", _missing("batch", text, names, "`dubline status` lists them"))


def find_rows(storage: Storage, batch: str, names: Iterable[str]) -> list[Row]:
    """Rows of a batch by their names, in the order of the batch.

    Raises:
        NotFound: there is no such batch, or it has no row of one of the names.
    """
    wanted, found, others = set(names), [], []
    for row in batch_rows(storage, batch):
        if row.id not in wanted:
            others.append(row.id)
            continue
        found.append(row)
        if len(found) == len(wanted):
            return found
    missing = min(wanted - {row.id for row in found})
    hint = f"`dubline status {batch}` lists them"
    raise NotFound(_missing("row", missing, others, hint, f" in batch {batch}"))


def find_job(storage: Storage, text: str) -> str:
    """The id of the job that a worker has begun or that has ended, by its first digits.

    Raises:
        NotFound: there is none, or there are several.
    """
    missing = f"there is no batch {text!r}, and no worker has begun a job of that id"
    if len(text) < JOB_DIGITS or not _JOB.fullmatch(text):
        raise NotFound(f"{missing}; `dubline status` lists the batches")
    return _the_one(text, list(storage.folders(keys.JOBS, text)), "job", f"{missing}; name its batch and row")


def _the_one(text: str, names: Sequence[str], what: str, missing: str) -> str:
    longer = [name for name in names if text and name.startswith(text)]
    if len(longer) == 1 or text in longer:
        return text if text in longer else longer[0]
    if longer:
        listed = ", ".join(longer[:NAMED]) + (", ..." if len(longer) > NAMED else "")
        raise NotFound(f"{what} {text!r} is short for {len(longer):,}: {listed}; write more of it")
    raise NotFound(missing)


def _missing(what: str, text: str, names: Sequence[str], hint: str, where: str = "") -> str:
    close = difflib.get_close_matches(text, names, 3)
    near = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    return f"there is no {what} {text!r}{where}; {near}{hint}"
