"""Each pair into one batch, whatever dies between two puts and whoever else watches."""

import copy
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from contract import keys
from producer.watch import batching, claims


class Crash(BaseException):
    """kill -9: nothing handles it."""


def dying(storage, after, before=False):
    """A store whose process dies at its conditional put number `after`: right after it, or right before."""
    mine = copy.copy(storage)
    left, lock = [after], threading.Lock()

    def wrap(method):
        def put(*words, **more):
            with lock:
                left[0] -= 1
                if left[0] < 0 or (left[0] == 0 and before):
                    raise Crash
                result = method(*words, **more)
                if left[0] == 0:
                    raise Crash
                return result

        return put

    mine.put_if_absent, mine.replace_if_same = wrap(mine.put_if_absent), wrap(mine.replace_if_same)
    mine.crashed = lambda: left[0] <= 0
    return mine


def counted(drop):
    """How often each pair is in the rows of a batch."""
    return Counter(row.id for _, row in drop.rows())


NAMES = ["clip01", "clip02", "clip03"]
PUTS = len(NAMES) + 1
"""A claim for each, and the rows."""


@pytest.mark.parametrize("before", [False, True], ids=["after", "before"])
@pytest.mark.parametrize("number", range(1, PUTS + 1))
def test_a_watcher_that_dies_at_any_put_loses_no_pair_and_doubles_none(drop, storage, number, before):
    drop.pair(*NAMES)
    store = dying(storage, number, before)
    with pytest.raises(Crash):
        drop.watcher(store).scan()
    drop.pair("clip04")
    storage.delete("drop/clip03.wav")
    drop.watcher().scan()
    assert counted(drop) == dict.fromkeys([*NAMES[:2], "clip04"], 1) | (
        {"clip03": 1} if number == PUTS and not before else {}
    )
    drop.pair(*NAMES)
    watcher = drop.watcher()
    watcher.scan()
    watcher.scan()
    assert counted(drop) == dict.fromkeys([*NAMES, "clip04"], 1)


@pytest.mark.parametrize("number", range(1, 5))
def test_who_recovers_another_s_batch_may_die_too(drop, storage, number):
    drop.pair(*NAMES)
    with pytest.raises(Crash):
        drop.watcher(dying(storage, PUTS, before=True)).scan()
    drop.pair("clip04")
    store = dying(storage, number)
    try:
        drop.watcher(store).scan()
    except Crash:
        assert store.crashed()
    drop.watcher().scan()
    assert counted(drop) == dict.fromkeys([*NAMES, "clip04"], 1)


def test_a_young_claim_without_a_batch_is_left_to_whoever_put_it(drop, storage, monkeypatch):
    drop.pair(*NAMES)
    with pytest.raises(Crash):
        drop.watcher(dying(storage, PUTS, before=True)).scan()
    monkeypatch.setattr(claims, "ABANDONED", timedelta(seconds=60))
    watcher = drop.watcher()
    scan = watcher.scan()
    assert (drop.rows(), scan.pending) == ([], 3)
    clock = storage.clock
    watcher._storage.clock = lambda address: clock(address) + timedelta(seconds=62)
    assert [each.rows for each in watcher.scan().submitted] == [3]
    assert counted(drop) == dict.fromkeys(NAMES, 1)


class Sleeper:
    """A watcher that falls asleep right before it puts the rows, and wakes when it is told."""

    def __init__(self, drop, storage):
        self._asleep, self._wake = threading.Event(), threading.Event()
        mine = copy.copy(storage)
        put = mine.put_if_absent

        def slow(key, *words):
            if key.startswith(keys.BATCHES):
                self._asleep.set()
                assert self._wake.wait(30)
            return put(key, *words)

        mine.put_if_absent = slow
        self._pool = ThreadPoolExecutor(1)
        self._scan = self._pool.submit(drop.watcher(mine).scan)
        assert self._asleep.wait(30)

    def wake(self):
        self._wake.set()
        with self._pool:
            return self._scan.result(30)


def test_a_slow_watcher_that_wakes_after_its_batch_was_submitted_for_it_moves_what_that_lacks(drop, storage):
    drop.pair(*NAMES)
    sleeper = Sleeper(drop, storage)
    gone = storage.get("drop/clip03.wav")
    storage.delete("drop/clip03.wav")
    drop.watcher().scan()
    assert counted(drop) == {"clip01": 1, "clip02": 1}
    storage.put("drop/clip03.wav", gone)
    scan = sleeper.wake()
    assert [each.rows for each in scan.submitted] == [1]
    assert counted(drop) == dict.fromkeys(NAMES, 1)
    first, second = drop.batches()
    assert first != second


def test_a_slow_watcher_wakes_after_another_moved_what_its_batch_lacks(drop, storage):
    drop.pair(*NAMES)
    sleeper = Sleeper(drop, storage)
    gone = storage.get("drop/clip03.wav")
    storage.delete("drop/clip03.wav")
    drop.watcher().scan()
    storage.put("drop/clip03.wav", gone)
    drop.watcher().scan()
    assert counted(drop) == dict.fromkeys(NAMES, 1)
    assert sleeper.wake().submitted == []
    assert counted(drop) == dict.fromkeys(NAMES, 1)


@pytest.mark.parametrize("number", range(1, 4))
def test_who_moves_a_claim_may_die_after_any_put(drop, storage, number):
    drop.pair(*NAMES)
    sleeper = Sleeper(drop, storage)
    gone = storage.get("drop/clip03.wav")
    storage.delete("drop/clip03.wav")
    drop.watcher().scan()
    storage.put("drop/clip03.wav", gone)
    store = dying(storage, number)
    try:
        drop.watcher(store).scan()
    except Crash:
        assert store.crashed()
    sleeper.wake()
    drop.watcher().scan()
    assert counted(drop) == dict.fromkeys(NAMES, 1)


@pytest.mark.parametrize("round_", range(3))
def test_of_watchers_that_race_over_the_same_folder_each_pair_is_submitted_once(drop, storage, round_):
    names = [f"clip{number:02}" for number in range(12)]
    drop.pair(*names)
    drop.put("jobs.csv", body="id,video,audio\nof-a-csv,clip00.mp4,clip01.wav\n")
    start = threading.Barrier(5)

    def race(number):
        watcher = drop.watcher()
        start.wait()
        if number == 4:  # while they look, more comes
            drop.pair("late")
            return
        for _ in range(3):
            watcher.scan()

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(race, range(5)))
    drop.watcher().scan()
    # what the CSV names is no pair: what is left of clip00 and clip01 are halves
    assert counted(drop) == dict.fromkeys([*names[2:], "late", "of-a-csv"], 1)


def test_a_csv_whose_watcher_dies_at_any_put_is_submitted_once(drop, storage):
    drop.pair("clip01")
    drop.put("jobs.csv", body="video,audio\nclip01.mp4,clip01.wav\n")
    for number, before in ((1, True), (1, False), (2, True), (1, False)):
        with pytest.raises(Crash):
            drop.watcher(dying(storage, number, before)).scan()
    drop.watcher().scan()
    drop.watcher().scan()
    assert counted(drop) == {"clip01-clip01": 1}


def test_more_pairs_than_a_batch_holds_become_several(drop, monkeypatch):
    monkeypatch.setattr(batching, "BATCH_ROWS", 2)
    drop.pair(*NAMES)
    assert [each.rows for each in drop.watcher().scan().submitted] == [2, 1]


def test_many_claims_are_known_from_a_listing_and_few_are_read(drop, storage, monkeypatch):
    drop.pair(*(f"clip{number:02}" for number in range(12)))
    drop.watcher().scan()
    monkeypatch.setattr(claims, "LISTED_FROM", 3)
    read, get = [], storage.get_with_etag
    monkeypatch.setattr(storage, "get_with_etag", lambda key: [read.append(key), get(key)][1])
    assert drop.watcher().scan().pairs == 12
    assert len([key for key in read if key.startswith(keys.CLAIMS)]) == 1
    assert len(drop.batches()) == 1


def test_a_claim_that_is_moved_after_it_was_listed_speaks_for_no_other(drop, storage, monkeypatch):
    drop.pair(*NAMES)
    with pytest.raises(Crash):
        drop.watcher(dying(storage, PUTS, before=True)).scan()
    ledger = claims.Claims(storage)
    ids = [key.removeprefix(keys.CLAIMS).removesuffix(".json") for key in drop.claims()]
    (batch,) = set(ledger.standing(ids).values())
    monkeypatch.setattr(claims, "LISTED_FROM", 0)
    listed = storage.list

    def list_and_move(prefix):
        yield from listed(prefix)
        if prefix == keys.CLAIMS:
            ledger.move(
                [ids[-1]], batch, "another"
            )  # the last of those with one ETag is the one that is read

    monkeypatch.setattr(storage, "list", list_and_move)
    assert ledger.standing(ids) == {}, "nothing is believed, and each is asked for by its put"
    assert ledger.claim(ids, "mine") == dict.fromkeys(ids[:-1], batch) | {ids[-1]: "another"}
