"""The races that show whether a store keeps the promises that commits, cancels and requeues rest on."""

import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from contract import keys
from contract.errors import StoreRefused

if TYPE_CHECKING:
    from contract.storage import Storage

RACERS = 8
ROUNDS = 2

Racer = Callable[[], bool]
"""One conditional request; tells whether it won."""


def race(store: "Storage", where: str) -> None:
    """Return if of racing puts, replacements and deletions of one object exactly one ever wins.

    Raises:
        StoreRefused: a race had no winner or several, or a condition was ignored; `where` names the store.
    """
    for _ in range(ROUNDS):
        key = f"{keys.SELFTEST}{secrets.token_hex(8)}"
        try:
            _race_puts(store, key, where)
            stale = _race_replacements(store, key, where)
            _refuse_stale_delete(store, key, stale, where)
            _race_a_delete(store, key, where)
        finally:
            store.delete(key)


def _race_puts(store: "Storage", key: str, where: str) -> None:
    bodies = [f"put {number}".encode() for number in range(RACERS)]
    with ThreadPoolExecutor(RACERS) as pool:
        seen = list(pool.map(lambda body: store.put_if_absent(key, body), bodies))
    winners = sum(body == after for body, after in zip(bodies, seen, strict=True))
    if winners != 1 or len(set(seen)) != 1:
        raise _refused(where, winners, "a put that only one may win (If-None-Match: *)")


def _race_replacements(store: "Storage", key: str, where: str) -> str:
    """Let writers replace one version; tells its ETag, which is stale now."""
    etag = _etag(store, key, where)
    bodies = [f"replacement {number}".encode() for number in range(RACERS)]
    winners = _winners([partial(store.replace_if_same, key, body, etag) for body in bodies])
    if winners != 1:
        raise _refused(where, winners, "a replacement of one version (PUT with If-Match)")
    return etag


def _refuse_stale_delete(store: "Storage", key: str, stale: str, where: str) -> None:
    if store.delete_if_same(key, stale):
        raise _refused(
            where, 1, "a deletion of a version that is gone (DELETE with If-Match), of none that may"
        )


def _race_a_delete(store: "Storage", key: str, where: str) -> None:
    etag = _etag(store, key, where)
    bodies = [f"successor {number}".encode() for number in range(RACERS - 1)]
    racers: list[Racer] = [partial(store.replace_if_same, key, body, etag) for body in bodies]
    racers.insert(RACERS // 2, partial(store.delete_if_same, key, etag))
    winners = _winners(racers)
    if winners != 1:
        raise _refused(where, winners, "a deletion racing replacements (DELETE with If-Match)")


def _winners(racers: Sequence[Racer]) -> int:
    with ThreadPoolExecutor(RACERS) as pool:
        return sum(pool.map(lambda racer: racer(), racers))


def _etag(store: "Storage", key: str, where: str) -> str:
    found = store.get_with_etag(key)
    if found is None:
        raise StoreRefused(f"{where}: an object that was just put is not there ({key})")
    return found[1]


def _refused(where: str, winners: int, contest: str) -> StoreRefused:
    return StoreRefused(
        f"{where}: {winners} of {RACERS} won {contest}; "
        "Dubline needs a store with atomic conditional requests, such as AWS S3 or SeaweedFS 4.48"
    )
