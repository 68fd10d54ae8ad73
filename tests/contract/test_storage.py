import copy
import hashlib
import json
import re
import socket
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from contract import storage as module
from contract.errors import (
    ConfigurationError,
    DiskFull,
    InputChanged,
    InputForbidden,
    InputNotFound,
    InputTooLarge,
    ResourceExhausted,
    StoreRefused,
    StoreUnavailable,
)
from contract.storage import CHUNK_BYTES, CONDITIONAL_TRIES, Storage

WRITERS = 20


def store_with(settings, **changed):
    return Storage(settings.model_copy(update=changed))


def port_of(settings):
    return urlsplit(settings.s3_endpoint).port


def behind(proxy, settings, **kinds):
    """The same store, seen through a network that misbehaves."""
    between = proxy(port_of(settings), **kinds)
    return between, store_with(settings, s3_endpoint=f"http://127.0.0.1:{between.port}")


# --- get, put, list


def test_what_was_put_is_what_one_gets(storage):
    storage.put("a/key with spaces and ü", b"content")
    assert storage.get("a/key with spaces and ü") == b"content"


def test_an_address_with_a_bucket_reads_the_same_object(storage):
    storage.put("key", b"content")
    assert storage.get(f"s3://{storage.bucket}/key") == b"content"


def test_what_is_not_there_is_none_or_input_not_found(storage, tmp_path):
    assert storage.get("missing") is None
    assert storage.stat("missing") is None
    with pytest.raises(InputNotFound, match="missing does not exist"):
        storage.download("missing", tmp_path / "file")
    with pytest.raises(InputNotFound, match="missing"):
        next(storage.lines("missing"))
    with pytest.raises(InputNotFound, match="missing"):
        storage.copy("missing", "elsewhere")


@pytest.mark.parametrize(
    "address",
    [
        "s3://no-such-bucket-anywhere/key",
        "s3://Not~A~Bucket/key",
        "s3://bucket/" + "k" * 1100,
        "s3://{bucket}/a/../key",
        "s3://{bucket}/./key",
        "s3://{bucket}/..",
    ],
)
def test_an_address_that_leads_nowhere_is_input_not_found(storage, tmp_path, address):
    address = address.format(bucket=storage.bucket)
    with pytest.raises(InputNotFound):
        storage.download(address, tmp_path / "file")


def test_stat_tells_size_and_etag(storage):
    storage.put("key", b"content")
    found = storage.stat("key")
    assert (found.key, found.bytes, found.etag) == ("key", 7, hashlib.md5(b"content").hexdigest())


def test_stat_and_a_listing_tell_when_an_object_was_written(storage):
    before = datetime.now(UTC) - timedelta(seconds=2)  # S3 tells whole seconds
    storage.put("key", b"content")
    (listed,) = storage.list("")
    assert before <= storage.stat("key").modified <= datetime.now(UTC)
    assert before <= listed.modified <= datetime.now(UTC)


def test_lines_come_without_their_ends_and_from_any_byte_on(storage):
    storage.put("rows", "eins\nzwölf\n\nlast".encode())
    assert list(storage.lines("rows")) == [b"eins", "zwölf".encode(), b"", b"last"]
    assert list(storage.lines("rows", start=len(b"eins\n"))) == ["zwölf".encode(), b"", b"last"]


def test_lines_longer_than_a_chunk_stay_whole(storage):
    long = b"x" * (CHUNK_BYTES + 17)
    storage.put("rows", long + b"\n" + long)
    assert list(storage.lines("rows")) == [long, long]


def test_a_listing_is_in_the_order_of_keys_over_several_pages(storage):
    names = [f"many/{number:04}" for number in range(1003)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: storage.put(name, b""), names))
    assert [each.key for each in storage.list("many/")] == names
    assert [each.key for each in storage.list("many/", start_after=names[-3])] == names[-2:]


def test_folders_are_the_names_one_level_below(storage):
    for key in ("batches/a/rows.jsonl", "batches/a/summary.json", "batches/b/rows.jsonl", "batches/loose"):
        storage.put(key, b"")
    assert list(storage.folders("batches/")) == ["a", "b"]


def test_folders_are_found_by_the_beginning_of_their_names(storage):
    for key in ("jobs/abc1/x", "jobs/abc2/x", "jobs/abd/x"):
        storage.put(key, b"")
    assert list(storage.folders("jobs/", "abc")) == ["abc1", "abc2"]


def test_a_listing_asks_for_pages_of_the_size_that_is_set(storage, settings):
    for number in range(7):
        storage.put(f"pages/{number}", b"")
    mine, asked = store_with(settings, list_page_keys=3), []
    mine._client.meta.events.register("before-call.s3", lambda model, **_: asked.append(model.name))
    assert [each.key for each in mine.list("pages/")] == [f"pages/{number}" for number in range(7)]
    assert asked == ["ListObjectsV2"] * 3


def test_a_listing_of_an_address_is_of_its_bucket(storage, settings):
    storage.put("some/key", b"content")
    elsewhere = copy.copy(storage)
    elsewhere.bucket = "another"
    assert [each.key for each in elsewhere.list(f"s3://{storage.bucket}/some/")] == ["some/key"]


def test_the_store_s_clock_is_the_one_that_dates_its_objects(storage):
    before = storage.clock()
    storage.put("key", b"content")
    after = storage.clock(f"s3://{storage.bucket}/key")
    second = timedelta(seconds=1)  # a Date has no smaller part
    assert before - second <= storage.stat("key").modified <= after + second


def test_a_copy_of_a_version_is_of_that_version_or_none(storage):
    storage.put("source", b"content")
    etag = storage.stat("source").etag
    storage.copy(f"s3://{storage.bucket}/source", f"s3://{storage.bucket}/target", etag=etag)
    assert storage.get("target") == b"content"
    storage.put("source", b"another content")
    with pytest.raises(InputChanged, match="source was replaced"):
        storage.copy("source", "later", etag=etag)
    with pytest.raises(InputNotFound, match="missing does not exist"):
        storage.copy("missing", "later", etag=etag)
    assert storage.get("later") is None


@pytest.mark.parametrize(
    "said", ["2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05Z", "Fri, 02 Jan 2026 03:04:05 GMT"]
)
def test_a_moment_is_read_as_botocore_would(said):
    moment = module._moment(said)
    assert moment == module.parse_timestamp(said)
    assert moment.tzinfo is not None


def test_a_copy_has_the_same_content(storage):
    storage.put("source", b"content")
    storage.copy("source", "target/ü")
    assert storage.get("target/ü") == b"content"


def test_a_bucket_is_made_once_however_many_ask(settings):
    stores = [Storage(settings) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(Storage.ensure_bucket, stores))
    stores[0].put("key", b"content")
    assert stores[1].get("key") == b"content"


# --- the commit


def test_of_20_writers_exactly_one_wins_and_all_see_its_content(storage):
    bodies = [f"writer {number}".encode() for number in range(WRITERS)]
    with ThreadPoolExecutor(WRITERS) as pool:
        for number in range(2):
            key = f"jobs/{number}/manifest.json"
            seen = set(pool.map(lambda body, key=key: storage.put_if_absent(key, body), bodies))
            assert len(seen) == 1
            assert seen == {storage.get(key)} <= set(bodies)


def test_a_put_whose_reply_was_lost_finds_itself(storage, settings, proxy):
    first = iter([True])
    between, store = behind(
        proxy, settings, drop_reply=lambda request: request.startswith(b"PUT") and next(first, False)
    )
    assert store.put_if_absent("key", b"mine") == b"mine"
    assert between.dropped == 1
    assert storage.get("key") == b"mine"


def test_a_put_whose_replies_are_all_lost_is_unavailable_and_changes_nothing(storage, settings, proxy):
    storage.put("key", b"theirs")
    _, store = behind(proxy, settings, drop_reply=lambda request: request.startswith(b"PUT"))
    with pytest.raises(StoreUnavailable):
        store.put_if_absent("key", b"mine")
    assert storage.get("key") == b"theirs"


# --- replacing and deleting one version


@pytest.fixture
def version(storage):
    """The ETag of `key`, which holds `first`."""
    storage.put("key", b"first")
    return storage.stat("key").etag


def lose_first(proxy, settings, method):
    """The store, and a network that loses the reply to the first request of that method."""
    first = iter([True])
    return behind(
        proxy, settings, drop_reply=lambda request: request.startswith(method) and next(first, False)
    )


def test_content_comes_with_the_version_that_a_replacement_names(storage, version):
    assert storage.get_with_etag("key") == (b"first", version)
    assert storage.get_with_etag("missing") is None


def test_one_version_is_replaced_once(storage, version):
    assert storage.replace_if_same("key", b"second", version)
    assert not storage.replace_if_same("key", b"third", version)
    assert storage.get("key") == b"second"


def test_what_is_gone_is_not_replaced(storage, version):
    storage.delete("key")
    assert not storage.replace_if_same("key", b"second", version)
    assert storage.get("key") is None


def test_of_20_that_replace_one_version_exactly_one_wins(storage, version):
    bodies = [f"writer {number}".encode() for number in range(WRITERS)]
    with ThreadPoolExecutor(WRITERS) as pool:
        won = list(pool.map(lambda body: storage.replace_if_same("key", body, version), bodies))
    assert won.count(True) == 1
    assert storage.get("key") == bodies[won.index(True)]


def test_a_replacement_whose_reply_was_lost_finds_itself(storage, settings, proxy, version):
    between, store = lose_first(proxy, settings, b"PUT")
    assert store.replace_if_same("key", b"second", version)
    assert (between.dropped, storage.get("key")) == (1, b"second")


def test_one_version_is_deleted_and_another_one_stays(storage, version):
    storage.put("key", b"second")
    assert not storage.delete_if_same("key", version)
    assert storage.get("key") == b"second"
    assert storage.delete_if_same("key", storage.stat("key").etag)
    assert storage.get("key") is None


def test_a_deletion_whose_reply_was_lost_finds_it_gone(storage, settings, proxy, version):
    between, store = lose_first(proxy, settings, b"DELETE")
    assert store.delete_if_same("key", version)
    assert (between.dropped, storage.get("key")) == (1, None)


CONDITIONAL = {
    "put": (lambda store, etag: store.put_if_absent("new", b"mine") == b"mine", ("new", b"mine")),
    "replace": (lambda store, etag: store.replace_if_same("key", b"mine", etag), ("key", b"mine")),
    "delete": (lambda store, etag: store.delete_if_same("key", etag), ("key", None)),
}


@pytest.mark.parametrize(("ask", "stands"), CONDITIONAL.values(), ids=CONDITIONAL)
def test_a_conditional_request_that_met_another_one_is_repeated(settings, small_store, ask, stands):
    store = store_with(settings, s3_endpoint=small_store(set(), conflicts=CONDITIONAL_TRIES - 1))
    store.put("key", b"theirs")
    assert ask(store, store.stat("key").etag)
    assert store.get(stands[0]) == stands[1]


@pytest.mark.parametrize("ask", [each for each, _ in CONDITIONAL.values()], ids=CONDITIONAL)
def test_one_that_meets_others_again_and_again_is_store_unavailable_and_changes_nothing(
    settings, small_store, ask
):
    store = store_with(settings, s3_endpoint=small_store(set(), conflicts=1000))
    store.put("key", b"theirs")
    with pytest.raises(StoreUnavailable, match="did not settle the conditional"):
        ask(store, store.stat("key").etag)
    assert (store.get("new"), store.get("key")) == (None, b"theirs")


def test_deleting_what_is_not_there_is_no_error(storage):
    storage.delete("missing")
    assert storage.delete_if_same("missing", "0" * 32)


def test_many_objects_are_deleted_in_few_requests(storage, monkeypatch):
    monkeypatch.setattr(module, "DELETE_KEYS", 2)
    names = ["a", "b/ü", "c&<d>", "e e", "f"]
    for name in [*names, "stays"]:
        storage.put(name, b"")
    assert storage.delete_all(iter(names)) == 5
    assert [each.key for each in storage.list("")] == ["stays"]


def test_objects_that_the_store_keeps_are_told(storage):
    store = answering(storage, Answers(delete_objects={"Errors": [{"Key": "a", "Code": "InternalError"}]}))
    with pytest.raises(
        StoreUnavailable, match="kept 1 of 2 objects that were to go, a among them: InternalError"
    ):
        store.delete_all(["a", "b"])


class Answers:
    """A client that gives one answer to each method."""

    def __init__(self, **answers):
        for name, answer in answers.items():
            setattr(self, name, lambda answer=answer, **_: answer)


def answering(storage, client):
    store = copy.copy(storage)
    store._client = client
    return store


def test_uploads_that_nobody_completed_are_listed_and_given_up(storage):
    for key in ("jobs/one", "jobs/two", "inputs/three"):
        storage._client.create_multipart_upload(Bucket=storage.bucket, Key=key)
    begun = sorted(storage.list_uploads("jobs/"), key=lambda each: each.key)
    assert [each.key for each in begun] == ["jobs/one", "jobs/two"]
    assert datetime.now(UTC) - begun[0].started < timedelta(minutes=1)
    for each in [*storage.list_uploads(), begun[0]]:  # one of them twice: another sweep was faster
        storage.abort_upload(each)
    assert list(storage.list_uploads()) == []


# --- the self-test


def test_the_self_test_passes_on_a_store_that_keeps_its_promise(storage):
    storage.check()
    assert list(storage.list("selftest/")) == []


@pytest.mark.parametrize(
    ("ignored", "said"),
    [
        ({("PUT", "If-None-Match")}, "8 of 8 won a put that only one may win"),
        ({("PUT", "If-Match")}, "8 of 8 won a replacement of one version"),
        ({("DELETE", "If-Match")}, "a deletion of a version that is gone"),
    ],
)
def test_the_self_test_refuses_a_store_that_ignores_a_condition(settings, small_store, ignored, said):
    with pytest.raises(StoreRefused, match=re.escape(said)):
        store_with(settings, s3_endpoint=small_store(ignored)).check()


def test_the_self_test_passes_on_a_small_store_that_ignores_none(settings, small_store):
    store_with(settings, s3_endpoint=small_store(set())).check()


# --- files


def test_a_file_goes_up_and_comes_down(storage, tmp_path):
    content = bytes(range(256)) * 5000
    sha256 = hashlib.sha256(content).hexdigest()
    (tmp_path / "up").write_bytes(content)
    storage.upload(tmp_path / "up", "file", sha256, "video/mp4")
    got = storage.download("file", tmp_path / "down")
    assert (tmp_path / "down").read_bytes() == content
    assert (got.bytes, got.sha256) == (len(content), sha256)
    assert storage.download("file", tmp_path / "again", etag=got.etag) == got


def test_a_file_in_parts_is_all_there_or_store_unavailable(storage, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SINGLE_PUT_BYTES", 1000)
    content = b"x" * 9_000_000  # two parts
    (tmp_path / "file").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    storage.upload(tmp_path / "file", "file", sha256)
    assert storage.stat("file").bytes == len(content)
    assert storage.download("file", tmp_path / "down", sha256=sha256).bytes == len(content)
    monkeypatch.setattr(storage._client, "upload_file", lambda *_, **__: storage.put("file", b"a part"))
    with pytest.raises(StoreUnavailable, match="has 6 bytes of file, 9,000,000 were uploaded"):
        storage.upload(tmp_path / "file", "file", sha256)


def test_the_store_refuses_a_file_that_is_not_the_one_with_that_sha256(storage, tmp_path):
    (tmp_path / "file").write_bytes(b"damaged on its way")
    with pytest.raises(StoreUnavailable, match="BadDigest"):
        storage.upload(tmp_path / "file", "file", hashlib.sha256(b"as it was made").hexdigest())
    assert storage.stat("file") is None


def test_an_object_that_was_replaced_is_input_changed(storage, tmp_path):
    storage.put("video", b"as submitted")
    etag = storage.stat("video").etag
    storage.put("video", b"something else")
    with pytest.raises(InputChanged, match="video was replaced"):
        storage.download("video", tmp_path / "file", etag=etag)
    assert not (tmp_path / "file").exists()


def test_an_object_over_the_limit_is_refused_before_a_byte_is_written(storage, tmp_path):
    storage.put("video", b"12345")
    with pytest.raises(InputTooLarge, match="5 bytes; the limit is 4"):
        storage.download("video", tmp_path / "file", max_bytes=4)
    assert not (tmp_path / "file").exists()
    assert storage.download("video", tmp_path / "file", max_bytes=5).bytes == 5


@pytest.fixture
def _no_pauses(monkeypatch):
    monkeypatch.setattr(module, "READ_PAUSE_SECONDS", 0.0)


@pytest.mark.usefixtures("_no_pauses")
def test_a_download_that_breaks_off_again_and_again_goes_on_where_it_broke(
    storage, settings, proxy, tmp_path
):
    content = bytes(range(251)) * 25_000  # 6 MB, no two chunks alike
    storage.put("video", content)
    between, store = behind(proxy, settings, cut_after=2_500_000)
    got = store.download("video", tmp_path / "file", sha256=hashlib.sha256(content).hexdigest())
    assert (tmp_path / "file").read_bytes() == content
    assert got.bytes == len(content)
    assert between.cut >= 2


@pytest.mark.usefixtures("_no_pauses")
def test_what_breaks_off_is_read_on_also_as_content_and_as_lines(storage, settings, proxy):
    rows = b"".join(b"row %d\n" % number for number in range(300_000))
    storage.put("rows", rows)
    _, store = behind(proxy, settings, cut_after=2_500_000)
    assert store.get("rows") == rows
    assert b"\n".join(store.lines("rows", start=6)) + b"\n" == rows[6:]


@pytest.mark.usefixtures("_no_pauses")
def test_a_download_that_gets_no_further_is_store_unavailable(storage, tmp_path):
    class Short:
        def iter_chunks(self, _):
            yield from ()

        def close(self):
            pass

    answers = Answers(get_object={"ContentLength": 4_000_000, "ETag": '"e"', "Body": Short()})
    with pytest.raises(StoreUnavailable, match="broke off video after 0 of 4,000,000 bytes, 4 times"):
        answering(storage, answers).download("video", tmp_path / "file")


@pytest.mark.usefixtures("_no_pauses")
def test_an_object_that_is_replaced_while_it_is_read_is_input_changed(storage, settings, proxy, tmp_path):
    storage.put("video", b"x" * 4_000_000)
    _, store = behind(proxy, settings, cut_after=2_500_000)
    replaced = []

    def replace(count):
        if not replaced:
            replaced.append(storage.put("video", b"y" * 4_000_000))

    with pytest.raises(InputChanged, match="video was replaced"):
        store.download("video", tmp_path / "file", advance=replace)


def test_a_download_of_another_content_is_input_changed(storage, tmp_path):
    storage.put("video", b"something else")
    submitted = hashlib.sha256(b"as submitted").hexdigest()
    with pytest.raises(InputChanged, match="does not have the content that was submitted"):
        storage.download("video", tmp_path / "file", sha256=submitted)


def test_a_network_that_fails_a_download_is_store_unavailable_and_no_full_disk(settings, tmp_path):
    store = store_with(settings, s3_endpoint=settings.s3_endpoint.replace("http://", "https://"))
    with pytest.raises(
        StoreUnavailable, match="did not answer for video"
    ):  # TLS fails: an OSError of botocore's
        store.download("video", tmp_path / "file")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full is Linux's")
def test_a_disk_that_fills_up_under_a_download_is_its_machines_fault(storage):
    storage.put("file", b"x" * 3 * CHUNK_BYTES)
    with pytest.raises(DiskFull, match=r"full cannot be written or read: No space left on device"):
        storage.download("file", Path("/dev/full"))


def test_a_full_disk_is_resource_exhausted(storage, tmp_path):
    storage.put("video", b"x")
    with pytest.raises(ResourceExhausted, match="free the disk"):
        storage.download("video", tmp_path)  # a folder cannot be written either


# --- refused and away


def test_a_key_that_the_store_does_not_show_is_input_forbidden_and_one_of_our_own_a_configuration_error(
    storage, tmp_path
):
    storage.put("private/video", b"x")
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{storage.bucket}/private/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    storage._client.put_bucket_policy(Bucket=storage.bucket, Policy=policy)
    address = f"s3://{storage.bucket}/private/video"
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:  # the store learns its policies a moment later
        try:
            storage.get(address)
        except InputForbidden:
            break
    with pytest.raises(InputForbidden, match=r"private/video.*refuses access"):
        storage.download(address, tmp_path / "file")
    with pytest.raises(InputForbidden):
        storage.stat(address)
    with pytest.raises(ConfigurationError, match=r"private/video.*refuses access"):
        storage.get("private/video")  # a key of our own: no fault of any input


@pytest.mark.parametrize("wrong", ["s3_access_key", "s3_secret_key"])
@pytest.mark.parametrize("asking", [Storage.ensure_bucket, lambda store: store.get("key")])
def test_wrong_credentials_are_a_configuration_error_that_names_the_variables(
    storage, settings, wrong, asking
):
    with pytest.raises(ConfigurationError, match="DUBLINE_S3_ACCESS_KEY and DUBLINE_S3_SECRET_KEY") as caught:
        asking(store_with(settings, **{wrong: SecretStr("not-the-one")}))
    assert "not-the-one" not in str(caught.value)


def test_missing_credentials_are_a_configuration_error(settings, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="no credentials"):
        store_with(settings, s3_access_key=None, s3_secret_key=None).get("key")


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"s3_endpoint": "not a url"}, "DUBLINE_S3"), ({"s3_bucket": "no bucket/name"}, "DUBLINE_S3_BUCKET")],
)
def test_settings_that_no_store_can_have_are_a_configuration_error(settings, changed, named):
    with pytest.raises(ConfigurationError, match=named):
        store_with(settings, **changed).get("key")


def test_a_store_that_is_away_is_unavailable_within_bounded_time(settings):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    store = store_with(settings, s3_endpoint=f"http://127.0.0.1:{port}")
    start = time.monotonic()
    with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{port} did not answer for key"):
        store.get("key")
    assert time.monotonic() - start < 20


def test_a_proxy_of_the_company_is_not_asked_for_this_machine(storage, settings, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    store = Storage(settings)
    store.put("key", b"content")
    assert storage.get("key") == b"content"


# --- for the HTTP API: ranges, uploads in parts, addresses for others


PART = bytes(range(256)) * 20_480  # 5 MiB: S3's least


@pytest.mark.usefixtures("_no_pauses")
def test_a_range_is_read_and_no_byte_behind_it_also_when_it_breaks_off(storage, settings, proxy):
    content = bytes(range(251)) * 25_000
    storage.put("video", content)
    assert b"".join(storage.read("video", 5, 10)) == content[5:10]
    between, store = behind(proxy, settings, cut_after=2_500_000)
    assert b"".join(store.read("video", 7, 6_000_000)) == content[7:6_000_000]
    assert between.cut >= 2


def test_a_range_of_what_is_not_there_is_input_not_found(storage):
    with pytest.raises(InputNotFound):
        next(storage.read("missing", 0, 1))


def test_an_upload_in_parts_is_seen_when_it_is_complete(storage):
    upload = storage.begin_upload("video", "video/mp4")
    parts = [storage.put_part(upload, number, body) for number, body in enumerate((PART, PART, b"end"), 1)]
    assert storage.stat("video") is None
    storage.complete_upload(upload, parts, 2 * len(PART) + 3)
    assert storage.get("video") == PART + PART + b"end"


def test_a_completion_whose_reply_was_lost_finds_the_object(storage, settings, proxy):
    upload = storage.begin_upload("video", "video/mp4")
    part = storage.put_part(upload, 1, PART)
    first = iter([True])
    between, store = behind(
        proxy, settings, drop_reply=lambda request: b"uploadId=" in request and next(first, False)
    )
    store.complete_upload(upload, [part], len(PART))
    assert between.dropped == 1
    assert storage.get("video") == PART


def test_an_upload_that_was_given_up_cannot_be_completed(storage):
    upload = storage.begin_upload("video", "video/mp4")
    part = storage.put_part(upload, 1, PART)
    storage.abort_upload(upload)
    with pytest.raises(StoreUnavailable, match="has nothing of video"):
        storage.complete_upload(upload, [part], len(PART))


def test_an_object_of_another_size_than_was_sent_is_no_completed_upload(storage):
    upload = storage.begin_upload("video", "video/mp4")
    part = storage.put_part(upload, 1, PART)
    with pytest.raises(StoreUnavailable, match="were uploaded"):
        storage.complete_upload(upload, [part], len(PART) + 1)


def fetched(url, method="GET", body=None, **headers):
    request = urllib.request.Request(url, data=body, method=method, headers=headers)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, b"", error.headers


def test_whoever_has_an_address_to_read_reads_that_object_under_its_name_and_no_other(storage):
    storage.put("a", b"the video")
    storage.put("b", b"another")
    url = storage.url_to_read("a", 60, "Lektion ü.mp4", "video/mp4")
    status, body, headers = fetched(url)
    assert (status, body, headers["content-type"]) == (200, b"the video", "video/mp4")
    assert "Lektion%20%C3%BC.mp4" in headers["content-disposition"]
    assert fetched(url.replace("/a?", "/b?"))[0] == 403
    assert fetched(url, "PUT", b"x")[0] == 403


def test_an_address_names_the_store_as_its_readers_find_it(storage, settings):
    storage.put("a", b"the video")
    public = settings.s3_endpoint.replace("127.0.0.1", "localhost")
    here = Storage(settings.model_copy(update={"s3_public_endpoint": public}))
    url = here.url_to_read("a", 60, "a.mp4", "video/mp4")
    assert url.startswith(public)
    assert fetched(url)[:2] == (200, b"the video")
    assert here.get("a") == b"the video"


def test_an_address_ends_with_its_time(storage):
    storage.put("a", b"the video")
    url = storage.url_to_read("a", 1, "a", "video/mp4")
    time.sleep(2.1)
    assert fetched(url)[0] == 403


def test_whoever_has_an_address_to_write_writes_so_many_bytes_and_no_others(storage):
    url = storage.url_to_write("a", 60, 5, "video/mp4")
    kind = {"Content-Type": "video/mp4"}
    assert fetched(url, "PUT", b"123456", **kind)[0] == 403
    assert fetched(url)[0] == 403
    assert storage.stat("a") is None
    assert fetched(url, "PUT", b"12345", **kind)[0] == 200
    assert storage.get("a") == b"12345"
