"""Claims: which batch submits which pair or CSV. Whoever submits has put one before, or has found one."""

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Literal, TypeVar

from contract import keys
from contract.job import Boundary
from contract.storage import Storage
from producer.batches import of_this_version

THREADS = 16
LISTED_FROM = 300
"""Of more ids than this the whole ledger is listed, a thousand claims in one call, before it is asked for each."""
ABANDONED = timedelta(seconds=60)
"""So old is a claim whose batch nobody is about to submit any more; a mistake costs a move and no more."""

T = TypeVar("T")


class Claim(Boundary):
    """`drop-ledger/<id>.json`. All claims for one batch are the same bytes, and so have the same ETag."""

    schema_version: Literal[1] = 1
    batch: str

    def body(self) -> bytes:
        """As it lies in the store."""
        return self.model_dump_json().encode()


class Claims:
    """The claims of all drop folders, in the bucket."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def standing(self, ids: Collection[str]) -> dict[str, str]:
        """The batch of each id that is claimed."""
        if len(ids) > LISTED_FROM:
            return self._listed(set(ids))
        found = _each(lambda each: self._storage.get(keys.claim(each)), ids)
        return {each: _batch(body) for each, body in zip(ids, found, strict=True) if body}

    def _listed(self, ids: set[str]) -> dict[str, str]:
        """As `standing`, from the ETags of a listing: one claim of each is read, and believed if it is still that version."""
        etags = {}
        for found in self._storage.list(keys.CLAIMS):
            if (each := found.key.removeprefix(keys.CLAIMS).removesuffix(".json")) in ids:
                etags[each] = found.etag
        examples = {etag: each for each, etag in etags.items()}
        read = _each(lambda each: self._storage.get_with_etag(keys.claim(each)), examples.values())
        batches = {etag: _batch(body) for body, etag in filter(None, read) if etag in examples}
        return {each: batches[etag] for each, etag in etags.items() if etag in batches}

    def claim(self, ids: Collection[str], batch: str) -> dict[str, str]:
        """The batch that each id is claimed for from now on: this one, unless somebody was faster."""
        body = Claim(batch=batch).body()
        found = _each(lambda each: self._storage.put_if_absent(keys.claim(each), body), ids)
        return {each: _batch(body) for each, body in zip(ids, found, strict=True)}

    def move(self, ids: Collection[str], old: str, new: str) -> list[str]:
        """Claim for the batch `new` what is claimed for `old`; those whose claims name `new` now."""
        moved = _each(lambda each: self._move(each, old, new), ids)
        return [each for each, is_moved in zip(ids, moved, strict=True) if is_moved]

    def _move(self, each: str, old: str, new: str) -> bool:
        found = self._storage.get_with_etag(keys.claim(each))
        if found is None or _batch(found[0]) != old:
            return found is not None and _batch(found[0]) == new
        return self._storage.replace_if_same(keys.claim(each), Claim(batch=new).body(), found[1])

    def is_abandoned(self, each: str, now: datetime) -> bool:
        """Whether a claim is so old that whoever put it has died since, or sleeps."""
        found = self._storage.stat(keys.claim(each))
        return found is not None and found.modified < now - ABANDONED


def _batch(body: bytes) -> str:
    with of_this_version("a claim of a drop folder"):
        return Claim.model_validate_json(body).batch


def _each(action: Callable[[str], T], ids: Iterable[str]) -> list[T]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(action, ids))
