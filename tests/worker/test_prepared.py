"""Prepared frames that outlive their job: never wrong, never in the way of a job, never more than they may be."""

import fcntl
import logging
import multiprocessing
import os
import resource
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from contract import keys
from contract.job import JobOptions
from contract.storage import Storage
from worker.prepared import entry as entries
from worker.prepared.chunk import Chunk, ChunkDamaged, Span, cover, write_chunk
from worker.prepared.entry import entry_key
from worker.prepared.shelf import Shelf

GIB = 2**30
KEY = "a" * 64


@pytest.fixture(autouse=True)
def _short_chunks(monkeypatch):
    monkeypatch.setattr(entries, "CHUNK_FRAMES", 4)


def arrays(index):
    """One frame as an engine might pack it; every third has no face."""
    if index % 3 == 2:
        return None
    return {"latents": np.full((2, 3), index, np.float16), "mask": np.full((index + 1,), 7, np.uint8)}


def equal(one, other):
    if one is None or other is None:
        return one is other
    same = [(name, array.dtype, array.shape, array.tobytes()) for name, array in sorted(one.items())]
    return same == [
        (name, array.dtype, array.shape, array.tobytes()) for name, array in sorted(other.items())
    ]


def keep(shelf, frames, source_frames=None, key=KEY):
    """A job that needs so many frames and adds what is missing; how many were there before."""
    with shelf.entry(key, frames, lambda: None) as kept:
        before = kept.before
        for index in range(frames):
            kept.add(index, arrays(index))
        kept.finish(source_frames)
    return before


def known(shelf, wanted, key=KEY):
    """The frames that are known, each checked; and the source's end."""
    with shelf.entry(key, wanted, lambda: None) as kept:
        assert all(equal(kept.frame(index), arrays(index)) for index in range(kept.reach))
        return kept.reach, kept.end


def files(shelf_folder, key=KEY):
    return sorted(each.name for each in (shelf_folder / key).iterdir())


def warnings(caplog):
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


# One file


def test_a_chunk_holds_every_type_shape_and_bit(tmp_path):
    frames = [
        {
            "a": np.array(1.5, np.float32),
            "b": np.zeros((0, 4), np.int64),
            "c": np.arange(6.0).reshape(2, 3).T,
        },
        None,
        {"a": np.array([np.nan, -0.0], np.float16), "with.a.dot": np.array([True])},
    ]
    span = Span(10, 3)
    write_chunk(tmp_path / span.name, KEY, span, frames)
    chunk = Chunk(tmp_path / span.name, KEY, span)
    chunk.verify()
    assert all(equal(chunk.frame(10 + index), frame) for index, frame in enumerate(frames))


def test_the_same_frames_give_the_same_bytes(tmp_path):
    span, frames = Span(0, 5), [arrays(index) for index in range(5)]
    turned = [dict(reversed(each.items())) if each else None for each in frames]
    write_chunk(tmp_path / "a", KEY, span, frames)
    write_chunk(tmp_path / "b", KEY, span, turned)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_every_kind_of_damage_is_noticed(tmp_path):
    span = Span(0, 4)
    path = tmp_path / span.name
    write_chunk(path, KEY, span, [arrays(index) for index in range(4)])
    good = path.read_bytes()
    flipped = bytearray(good)
    flipped[-1] ^= 1
    for damaged in (b"", b"text, not tensors", good[:-1], good[:40], bytes(flipped), b"\xff" * 4096):
        path.write_bytes(damaged)
        with pytest.raises(ChunkDamaged):
            Chunk(path, KEY, span).verify()
    path.write_bytes(good)
    for key, other in (("b" * 64, span), (KEY, Span(4, 4)), (KEY, Span(0, 3))):
        with pytest.raises(ChunkDamaged, match="holds something else"):
            Chunk(path, key, other)


def test_a_span_is_read_back_from_its_name_and_from_no_other():
    for span in (Span(0, 256), Span(12_345_678, 0), Span(256, 44)):
        assert Span.of(span.name) == span
    for name in (".000000-004.safetensors.12ab", "000000-004.safetensors.gz", "faces", "1-2.safetensors"):
        assert Span.of(name) is None


@pytest.mark.parametrize(
    ("spans", "wanted", "expected"),
    [
        ([], 10, []),
        ([(4, 4)], 10, []),
        ([(0, 4), (4, 4), (8, 4)], 6, [(0, 4), (4, 4)]),
        ([(0, 4), (8, 4)], 12, [(0, 4)]),
        ([(0, 4), (0, 2), (2, 9)], 11, [(0, 4), (2, 9)]),
        ([(0, 4), (4, 0)], 100, [(0, 4), (4, 0)]),
        ([(0, 0)], 100, []),
        ([(0, 4), (4, 4), (4, 0)], 4, [(0, 4), (4, 0)]),
    ],
)
def test_chunks_are_chosen_from_frame_0_on_as_far_as_they_reach(spans, wanted, expected):
    assert cover([Span(*each) for each in spans], wanted) == [Span(*each) for each in expected]


# One machine


def test_what_one_job_keeps_the_next_one_finds(tmp_path):
    shelf = Shelf(tmp_path, GIB)
    assert keep(shelf, 10, source_frames=10) == 0
    assert files(tmp_path) == [Span(*each).name for each in ((0, 4), (4, 4), (8, 2), (10, 0))]
    assert known(shelf, 5) == (8, None)  # as far as was asked
    assert known(shelf, 1000) == (10, 10)


def test_jobs_of_growing_length_each_add_what_is_missing(tmp_path):
    shelf = Shelf(tmp_path, GIB)
    assert [keep(shelf, frames) for frames in (3, 3, 6, 20)] == [0, 3, 3, 6]
    assert known(shelf, 20) == (20, None)


def test_large_frames_make_short_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(entries, "CHUNK_BYTES", 20)
    keep(Shelf(tmp_path, GIB), 6)
    assert len(files(tmp_path)) > 2
    assert known(Shelf(tmp_path, GIB), 6) == (6, None)


def test_the_end_is_noted_by_the_first_job_that_gets_there(tmp_path):
    shelf = Shelf(tmp_path, GIB)
    keep(shelf, 8)
    with shelf.entry(KEY, 9, lambda: None) as kept:
        assert not kept.covers(9)
        kept.finish(8)
    with shelf.entry(KEY, 9, lambda: None) as kept:
        assert kept.covers(9) and kept.covers(10**6)


def test_a_key_is_of_everything_that_changes_the_frames():
    base = entry_key("0" * 64, JobOptions(), {"weights": "1"})
    assert entry_key("0" * 64, JobOptions(sync_mode="loop"), {"weights": "1"}) == base
    others = {
        entry_key("1" * 64, JobOptions(), {"weights": "1"}),
        entry_key("0" * 64, JobOptions(start=1.0), {"weights": "1"}),
        entry_key("0" * 64, JobOptions(end=1.0), {"weights": "1"}),
        entry_key("0" * 64, JobOptions(face="left"), {"weights": "1"}),
        entry_key("0" * 64, JobOptions(), {"weights": "2"}),
        base,
    }
    assert len(others) == 6


@pytest.mark.parametrize("content", [b"", b"text", None], ids=["empty", "text", "flipped"])
def test_a_damaged_chunk_is_said_and_made_anew(tmp_path, caplog, content):
    shelf = Shelf(tmp_path, GIB)
    keep(shelf, 12)
    path = tmp_path / KEY / Span(4, 4).name
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]) if content is None else content)
    assert keep(shelf, 12) == 4
    assert [each for each in warnings(caplog) if "made anew" in each and path.name in each]
    assert path.read_bytes() == good
    assert known(shelf, 12) == (12, None)


def test_what_does_not_belong_there_is_left_alone(tmp_path):
    (tmp_path / KEY / "000000-004.safetensors.d").mkdir(parents=True)
    (tmp_path / "README").write_text("a person's")
    assert keep(Shelf(tmp_path, GIB), 4) == 0
    assert known(Shelf(tmp_path, GIB), 4) == (4, None)


# Room


def size(folder):
    return sum(each.stat().st_size for each in folder.rglob("*.safetensors"))


def test_the_least_recently_used_goes_first(tmp_path):
    for number, key in enumerate(("1" * 64, "2" * 64, "3" * 64)):
        keep(Shelf(tmp_path, GIB), 4, key=key)
        os.utime(tmp_path / key, (number, number))
    room = size(tmp_path)
    assert known(Shelf(tmp_path, room), 4, key="1" * 64) == (4, None)  # used just now
    keep(Shelf(tmp_path, room), 4, key="4" * 64)
    assert sorted(each.name[0] for each in tmp_path.iterdir()) == ["1", "3", "4"]
    assert size(tmp_path) <= room


def test_what_is_in_use_is_never_removed(tmp_path, caplog):
    keep(Shelf(tmp_path, GIB), 4, key="1" * 64)
    room = size(tmp_path)
    with Shelf(tmp_path, room).entry("1" * 64, 4, lambda: None) as in_use:
        keep(Shelf(tmp_path, room), 4, key="2" * 64)
        assert all(equal(in_use.frame(index), arrays(index)) for index in range(4))
    assert [each for each in warnings(caplog) if "DUBLINE_PREPARED_BYTES is too small" in each]
    assert size(tmp_path) == room


def test_a_source_larger_than_the_shelf_is_kept_as_far_as_it_fits(tmp_path, caplog):
    keep(Shelf(tmp_path, GIB), 8, key="1" * 64)
    room = size(tmp_path / ("1" * 64))
    with Shelf(tmp_path / "small", room).entry(KEY, 100, lambda: None) as kept:
        for index in range(100):
            kept.add(index, arrays(index))
        assert 0 < kept.reach < 100
        assert all(index not in kept for index in range(kept.reach, 100))
        assert all(equal(kept.frame(index), arrays(index)) for index in range(kept.reach))
        kept.finish(100)
    assert len(warnings(caplog)) == 1
    reach, end = known(Shelf(tmp_path / "small", room), 100)
    assert 0 < reach < 100 and end is None


def test_a_full_disk_is_said_once_and_ends_no_job(tmp_path, caplog):
    shelf = Shelf(tmp_path, GIB)
    with shelf.entry(KEY, 100, lambda: None) as kept:
        kept.add(0, arrays(0))
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
        try:
            for index in range(1, 100):
                kept.add(index, arrays(index))
            kept.finish(100)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert 0 not in kept
    assert len(warnings(caplog)) == 1 and "not kept from frame 0 on" in warnings(caplog)[0]
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_said_and_ends_no_job(tmp_path, caplog):
    (tmp_path / "file").touch()
    with Shelf(tmp_path / "file" / "prepared", GIB).entry(KEY, 4, lambda: None) as kept:
        assert kept is None
    assert "no prepared frames are kept" in warnings(caplog)[0]


def test_an_error_of_the_job_passes_through_and_frees_the_entry(tmp_path):
    shelf = Shelf(tmp_path, GIB)
    with pytest.raises(OSError, match="of the job"), shelf.entry(KEY, 4, lambda: None) as kept:
        for index in range(6):
            kept.add(index, arrays(index))
        raise OSError("of the job")
    assert files(tmp_path) == [Span(0, 4).name]  # whole chunks stay, what waited is gone
    lock = os.open(tmp_path / KEY, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(lock)


# Many at once


def keep_and_check(folder):
    """In a process of its own."""
    shelf = Shelf(Path(folder), GIB)
    for _ in range(5):
        keep(shelf, 30, source_frames=30)
    return known(shelf, 100)


def test_processes_and_threads_that_prepare_the_same_source_at_once_agree(tmp_path):
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawned) as processes, ThreadPoolExecutor(4) as threads:
        jobs = [processes.submit(keep_and_check, str(tmp_path)) for _ in range(2)]
        jobs += [threads.submit(keep_and_check, tmp_path) for _ in range(4)]
        assert [each.result() for each in jobs] == [(30, 30)] * 6
    assert [each for each in files(tmp_path) if Span.of(each) is None] == []  # nothing half-made is left


def test_entries_that_come_and_go_at_once_harm_none(tmp_path):
    keep(Shelf(tmp_path, GIB), 4, key="0" * 64)
    room = 2 * size(tmp_path)

    def churn(number):
        for turn in range(20):
            key = str((number + turn) % 5) * 64
            with Shelf(tmp_path, room).entry(key, 4, lambda: None) as kept:
                for index in range(4):
                    kept.add(index, arrays(index))
                assert all(equal(kept.frame(index), arrays(index)) for index in range(kept.reach))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(churn, range(4)))


# Many machines


def test_another_machine_finds_it_in_the_bucket(tmp_path, storage):
    keep(Shelf(tmp_path / "one", GIB, storage), 10, source_frames=10)
    assert len(list(storage.list(keys.PREPARED))) == 4
    assert keep(Shelf(tmp_path / "two", GIB, storage), 10) == 10
    assert files(tmp_path / "two") == files(tmp_path / "one")
    assert known(Shelf(tmp_path / "two", GIB), 1000) == (10, 10)


def test_only_what_is_wanted_comes_over_the_wire(tmp_path, storage):
    keep(Shelf(tmp_path / "one", GIB, storage), 20)
    assert known(Shelf(tmp_path / "two", GIB, storage), 5) == (8, None)
    assert files(tmp_path / "two") == [Span(0, 4).name, Span(4, 4).name]


def test_a_damaged_chunk_here_is_brought_from_the_bucket(tmp_path, storage):
    keep(Shelf(tmp_path, GIB, storage), 8)
    (tmp_path / KEY / Span(0, 4).name).write_bytes(b"damaged")
    assert known(Shelf(tmp_path, GIB, storage), 8) == (8, None)


def test_a_damaged_chunk_in_the_bucket_is_said_and_replaced(tmp_path, storage, caplog):
    keep(Shelf(tmp_path / "one", GIB, storage), 8)
    damaged = keys.prepared(KEY, Span(4, 4).name)
    good = storage.get(damaged)
    storage.put(damaged, good[:-2])
    storage.put(keys.prepared(KEY, "notes.txt"), b"a person's")
    assert keep(Shelf(tmp_path / "two", GIB, storage), 8) == 4
    assert [each for each in warnings(caplog) if "made anew" in each]
    assert storage.get(damaged) == good


def test_a_bucket_that_is_away_is_said_and_ends_no_job(tmp_path, settings, caplog):
    away = Storage(settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:9"}))
    assert keep(Shelf(tmp_path, GIB, away), 10) == 0
    assert len([each for each in warnings(caplog) if "no other machine" in each]) == 1
    assert known(Shelf(tmp_path, GIB), 10) == (10, None)


def test_what_does_not_fit_here_is_not_brought(tmp_path, storage):
    keep(Shelf(tmp_path / "one", GIB, storage), 8)
    room = (tmp_path / "one" / KEY / Span(0, 4).name).stat().st_size
    assert known(Shelf(tmp_path / "two", room, storage), 8) == (4, None)


def test_transfers_are_progress(tmp_path, storage):
    touched = threading.Semaphore(0)
    for folder in ("one", "two"):
        with Shelf(tmp_path / folder, GIB, storage).entry(KEY, 4, touched.release) as kept:
            for index in range(4):
                kept.add(index, arrays(index))
        assert touched.acquire(blocking=False)
        while touched.acquire(blocking=False):
            pass
