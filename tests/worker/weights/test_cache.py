import dataclasses
import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from contract.errors import ConfigurationError
from worker import weights
from worker.weights import Hub, Weight, registry

COMMIT = "f" * 40


def entry(name, content=b"weights", **changed):
    return dataclasses.replace(
        Weight(
            name=name,
            revision="tiny-ffffffff",
            source=Hub("lab/tiny", COMMIT, f"{name}.bin"),
            sha256=hashlib.sha256(content).hexdigest(),
            size=len(content),
            licence="CC0-1.0",
        ),
        **changed,
    )


@pytest.fixture
def tiny(use):
    use(found := entry("tiny"))
    return found


def put(wanted, folder, content=b"weights", age=10):
    place = wanted.place(folder)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    then = time.time() - age
    os.utime(place, (then, then))
    return place


@pytest.fixture
def reads(monkeypatch):
    """How often a file was hashed."""
    found = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *a: found.append(a[0].name) or digest(*a))
    return found


def test_a_missing_file_names_its_size_and_the_command_that_brings_it(tiny, cache):
    with pytest.raises(
        ConfigurationError, match=r"tiny \(0\.0 kB\) are not at .*; run `dubline models fetch tiny`"
    ):
        weights.path("tiny", cache)


def test_a_file_is_read_once_and_then_remembered(tiny, cache, reads):
    put(tiny, cache)
    assert weights.path("tiny", cache) == weights.path("tiny", cache)
    assert len(reads) == 1
    noted = json.loads((cache / "weights.lock.json").read_text())["files"]["tiny"]
    assert noted["sha256"] == tiny.sha256 and noted["source"] == "lab/tiny@ffffffff: tiny.bin"


def test_verify_reads_all_whatever_the_lock_says(tiny, cache, reads):
    place = put(tiny, cache)
    weights.path("tiny", cache)
    before = place.stat()
    place.write_bytes(b"WEIGHTS")
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a failing disk would: nobody touched it
    weights.path("tiny", cache)
    with pytest.raises(ConfigurationError, match="SHA-256 differs"):
        weights.verify(["tiny"], cache)


def test_a_file_that_was_changed_is_read_again_and_refused(tiny, cache):
    put(tiny, cache)
    weights.path("tiny", cache)
    put(tiny, cache, b"WEIGHTS", age=5)
    with pytest.raises(ConfigurationError, match=r"SHA-256 differs.*`dubline models fetch tiny` replaces it"):
        weights.path("tiny", cache)


def test_a_file_that_was_swapped_for_an_older_one_of_the_same_time_is_read_again(tiny, cache, tmp_path):
    place = put(tiny, cache)
    weights.path("tiny", cache)
    before = place.stat()
    other = tmp_path / "other"
    other.write_bytes(b"WEIGHTS")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(place)
    with pytest.raises(ConfigurationError, match="SHA-256 differs"):
        weights.path("tiny", cache)


def test_a_new_hash_in_the_registry_forgets_what_was_remembered(tiny, cache, use):
    put(tiny, cache)
    weights.path("tiny", cache)
    use(entry("tiny", sha256="0" * 64))
    with pytest.raises(ConfigurationError, match="SHA-256 differs"):
        weights.path("tiny", cache)


def test_a_file_of_this_very_moment_is_not_remembered(tiny, cache, reads):
    put(tiny, cache, age=0)  # it could be written again within a tick of the clock
    weights.path("tiny", cache)
    weights.path("tiny", cache)
    assert len(reads) == 2


@pytest.mark.parametrize(
    "content", ["", "{", '{"schema_version": 2, "files": {}}', '{"files": {"tiny": {}}}']
)
def test_a_lock_that_cannot_be_understood_is_written_anew(tiny, cache, reads, content):
    put(tiny, cache)
    (cache / "weights.lock.json").write_text(content)
    weights.path("tiny", cache)
    weights.path("tiny", cache)
    assert len(reads) == 1


def test_a_folder_that_is_only_for_reading_works_without_a_lock(tiny, cache, reads):
    put(tiny, cache)
    (cache / "weights.lock.json").mkdir()  # even root cannot write that
    weights.path("tiny", cache)
    weights.path("tiny", cache)
    assert len(reads) == 2
    assert [found.name for found in cache.iterdir() if found.name.startswith(".")] == []


def test_files_of_another_size_are_refused_without_reading_them(tiny, cache, reads):
    put(tiny, cache, b"far too long")
    with pytest.raises(ConfigurationError, match="SHA-256 differs"):
        weights.path("tiny", cache)
    assert reads == []


def test_what_cannot_be_read_says_so(tiny, cache):
    tiny.place(cache).mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        weights.path("tiny", cache)


def test_the_entries_of_other_files_stay_in_the_lock(use, cache):
    one, two = entry("one", b"1"), entry("two", b"2")
    use(one, two)
    put(one, cache, b"1")
    put(two, cache, b"2")
    weights.verify(["one"], cache)
    weights.verify(["two"], cache)
    assert sorted(json.loads((cache / "weights.lock.json").read_text())["files"]) == ["one", "two"]


def test_home_is_expanded(tiny, tmp_path, monkeypatch, reads):
    monkeypatch.setenv("HOME", str(tmp_path))
    put(tiny, Path("~/weights"))
    assert weights.path("tiny", Path("~/weights")) == tmp_path / "weights" / "tiny-ffffffff" / "tiny.bin"
    weights.path("tiny", Path("~/weights"))
    assert len(reads) == 1


@pytest.fixture
def engine(use, monkeypatch):
    """An engine of two large files, none of which is there."""
    unet, vae = entry("unet", b"unet", size=20 * 2**20), entry("vae", b"vae", size=17 * 2**20)
    use(unet, vae)
    monkeypatch.setitem(registry.ENGINES, "big", ("unet", "vae"))
    return unet, vae


def test_a_start_without_large_weights_names_all_of_them_their_size_and_the_command(
    engine, cache, monkeypatch
):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        ConfigurationError,
        match=r"big needs weights that are not in .*: unet, vae \(38\.8 MB\); run `dubline models fetch big`",
    ):
        weights.provide("big", cache)


def test_a_start_with_another_file_in_a_weights_place_says_so(engine, cache):
    put(engine[1], cache, b"else")
    with pytest.raises(ConfigurationError, match="what lies there as vae is another file"):
        weights.provide("big", cache)


def test_a_start_fetches_small_files_by_itself(hub, unet, cache, monkeypatch):
    monkeypatch.setitem(registry.ENGINES, "little", ("unet",))
    weights.provide("little", cache)
    assert weights.path("unet", cache).exists()


def test_the_start_of_musetalk_never_downloads_gigabytes(cache, monkeypatch, weights_folder, hub):
    with pytest.raises(
        ConfigurationError, match=r"unet-v15, vae, whisper-tiny.*`dubline models fetch musetalk-v15`"
    ):
        weights.provide("musetalk-v15", cache)
    assert hub.asked == []
    assert not cache.exists()
