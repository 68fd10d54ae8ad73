import dataclasses
import hashlib
import signal
import subprocess
import time

import pytest

from contract.errors import ConfigurationError
from worker import weights
from worker.weights import Url, download, lock


def files(cache):
    found = (each.name for each in cache.rglob("*") if each.is_file())
    return sorted(name for name in found if name != lock.NAME)


def part_of(entry, cache):
    return entry.place(cache).with_name(f".{entry.place(cache).name}.{entry.sha256[:8]}.part")


def test_a_connection_that_breaks_is_taken_up_where_it_broke(hub, unet, cache, content):
    hub.cut = [1000, 0, 50_000]
    weights.fetch(["unet"], cache)
    assert hub.starts == [0, 1000, 1000, 51_000]
    assert weights.path("unet", cache).read_bytes() == content


def test_what_was_just_fetched_is_not_read_again(unet, cache, monkeypatch):
    weights.fetch(["unet"], cache)
    monkeypatch.setattr(hashlib, "file_digest", None)
    assert weights.path("unet", cache) == unet.place(cache)


def test_what_was_fetched_and_written_to_right_afterwards_is_read_again(unet, cache, content):
    weights.fetch(["unet"], cache)
    unet.place(cache).write_bytes(bytes(len(content)))
    with pytest.raises(ConfigurationError, match="SHA-256 differs"):
        weights.path("unet", cache)


def test_each_attempt_asks_the_hub_for_a_new_address(hub, unet, cache):
    hub.cut = [1000]
    weights.fetch(["unet"], cache)
    assert [method for method, _, _ in hub.asked] == ["HEAD", "GET"] * 2  # a signed one may have expired


def test_a_process_that_is_killed_leaves_what_it_has_to_the_next(
    hub, unet, cache, content, fetch_in_a_process
):
    hub.cut, hub.hanging = [70_000], True
    process = fetch_in_a_process(unet, cache)
    part = part_of(unet, cache)
    while not part.exists() or part.stat().st_size < 70_000:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert files(cache) == [part.name]
    with pytest.raises(ConfigurationError, match=r"are not at .*unet\.pth"):
        weights.path("unet", cache)
    weights.fetch(["unet"], cache)
    assert hub.starts == [0, 70_000]
    assert files(cache) == ["unet.pth"]
    assert weights.path("unet", cache).read_bytes() == content


def test_a_server_without_ranges_sends_all_of_it_again(hub, unet, cache, content):
    hub.ranges, hub.cut = False, [1000]
    weights.fetch(["unet"], cache)
    assert weights.path("unet", cache).read_bytes() == content


def test_a_server_that_brings_nothing_is_given_up_and_what_came_before_is_kept(hub, unet, cache):
    hub.cut = [1000] + [0] * download.ATTEMPTS
    with pytest.raises(
        ConfigurationError, match=r"1\.0 kB of 196\.6 kB are kept; .*`dubline models fetch unet`"
    ):
        weights.fetch(["unet"], cache)
    assert part_of(unet, cache).stat().st_size == 1000
    weights.fetch(["unet"], cache)
    assert hub.starts[-1] == 1000


def test_a_silent_connection_is_dropped(hub, unet, cache, content, monkeypatch):
    monkeypatch.setattr(download, "SILENT_SECONDS", 0.2)
    hub.cut, hub.hanging = [1000], True
    weights.fetch(["unet"], cache)
    assert hub.starts == [0, 1000]


def test_a_part_that_is_not_the_files_beginning_is_found_out_and_dropped(hub, unet, cache):
    part = part_of(unet, cache)
    part.parent.mkdir(parents=True)
    part.write_bytes(b"?" * 1000)
    with pytest.raises(ConfigurationError, match="nothing was kept"):
        weights.fetch(["unet"], cache)
    weights.fetch(["unet"], cache)


@pytest.mark.parametrize("surplus", [1, 2**20])
def test_a_part_that_is_longer_than_the_file_is_dropped(hub, unet, cache, content, surplus):
    part = part_of(unet, cache)
    part.parent.mkdir(parents=True)
    part.write_bytes(content + b"?" * surplus)
    with pytest.raises(ConfigurationError, match="of more than 196615 bytes"):
        weights.fetch(["unet"], cache)
    weights.fetch(["unet"], cache)


def test_a_server_that_does_not_stop_fills_no_disk(hub, parsing, cache, content):
    hub.files["release/parsing.onnx"] = content + bytes(8 * 2**20)
    longest = []
    with pytest.raises(ConfigurationError, match="of more than 196615 bytes"):
        weights.fetch(["parsing"], cache, meter=lambda _, size: longest.append(size))
    assert max(longest) <= len(content) + download.CHUNK_BYTES
    assert files(cache) == []


def test_a_shorter_file_than_the_registrys_is_refused_and_not_kept(hub, parsing, cache, content):
    hub.files["release/parsing.onnx"] = content[:-10]
    with pytest.raises(ConfigurationError, match=r"answers 416"):
        weights.fetch(["parsing"], cache)
    assert hub.starts == [0, len(content) - 10] and files(cache) == []


def test_a_plain_address_is_checked_and_resumed_just_the_same(hub, parsing, cache, content):
    hub.cut = [1000]
    weights.fetch(["parsing"], cache)
    assert hub.starts == [0, 1000]
    assert weights.path("parsing", cache).read_bytes() == content
    assert weights.path("parsing", cache) == cache / "parsing-1" / "parsing.onnx"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://127.0.0.1:{port}/gone", "answers 404"),
        ("file:///etc/passwd", "is no address to fetch weights from"),
    ],
)
def test_an_address_that_cannot_be_fetched_is_refused_at_once(hub, parsing, use, cache, address, message):
    use(dataclasses.replace(parsing, source=Url(address.format(port=hub.port))))
    with pytest.raises(ConfigurationError, match=message):
        weights.fetch(["parsing"], cache)


@pytest.mark.parametrize("count", [2, 3])
def test_processes_that_fetch_at_once_download_once_between_them(hub, unet, cache, count, fetch_in_a_process):
    hub.cut, hub.hanging = [70_000], True
    running = [fetch_in_a_process(unet, cache) for _ in range(count)]
    while not hub.gets:
        time.sleep(0.01)
    time.sleep(0.5)  # the others get as far as they can
    hub.hold.set()
    assert [process.wait(60) for process in running] == [0] * count
    assert hub.starts == [0, 70_000]  # the one that held the part went on; nobody else asked
    assert files(cache) == ["unet.pth"]
    weights.verify(["unet"], cache)


def test_a_waiting_process_takes_over_from_one_that_is_killed(hub, unet, cache, fetch_in_a_process):
    hub.cut, hub.hanging = [70_000], True
    first = fetch_in_a_process(unet, cache)
    part = part_of(unet, cache)
    while not part.exists() or part.stat().st_size < 70_000:
        time.sleep(0.01)
    others = [fetch_in_a_process(unet, cache) for _ in range(2)]
    time.sleep(0.3)
    first.kill()
    first.wait()
    assert [process.wait(60) for process in others] == [0, 0]
    assert hub.starts == [0, 70_000]
    assert files(cache) == ["unet.pth"]


def test_a_disk_that_has_no_room_is_named_before_anything_is_fetched(hub, unet, use, cache):
    use(dataclasses.replace(unet, size=2**60))
    with pytest.raises(
        ConfigurationError, match=r"need 1152921504\.6 GB more at .* are free; make room there"
    ):
        weights.fetch(["unet"], cache)
    assert hub.asked == [] and files(cache) == []


def test_a_disk_that_fills_up_is_an_error_with_a_sentence_and_keeps_what_it_took(
    hub, unet, cache, content, fetch_in_a_process
):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    process = fetch_in_a_process(unet, cache, before=limit, stderr=subprocess.PIPE)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "ConfigurationError: cannot write" in said and "make room there" in said
    assert part_of(unet, cache).read_bytes() == content[:100_000]
    weights.fetch(["unet"], cache)
    assert hub.starts[-1] == 100_000


def test_a_folder_that_cannot_be_written_is_an_error_that_names_the_setting(hub, unet, cache):
    cache.write_text("in the way")
    with pytest.raises(ConfigurationError, match="set DUBLINE_WEIGHTS to a folder of this user"):
        weights.fetch(["unet"], cache)
    assert hub.asked == []


def test_the_meter_starts_where_an_earlier_download_ended_and_ends_with_the_file(hub, unet, cache, content):
    part = part_of(unet, cache)
    part.parent.mkdir(parents=True)
    part.write_bytes(content[:1000])
    told = []
    weights.fetch(["unet"], cache, meter=lambda weight, size: told.append((weight.name, size)))
    assert told[0] == ("unet", 1000) and told[-1] == ("unet", len(content))
    assert told == sorted(told)
