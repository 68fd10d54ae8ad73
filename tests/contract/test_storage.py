import hashlib
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from contract.errors import (
    ConfigurationError,
    InputChanged,
    InputForbidden,
    InputNotFound,
    InputTooLarge,
    ResourceExhausted,
    StoreRefused,
    StoreUnavailable,
)
from contract.storage import CHUNK_BYTES, Storage, StoredObject

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
    assert storage.stat("key") == StoredObject("key", 7, hashlib.md5(b"content").hexdigest())


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


def test_the_self_test_passes_on_a_store_that_keeps_its_promise(storage):
    storage.check()
    assert list(storage.list("selftest/")) == []


def test_the_self_test_refuses_a_store_that_ignores_conditions(settings, careless_store):
    with pytest.raises(StoreRefused, match="8 of 8 writers won"):
        store_with(settings, s3_endpoint=careless_store).check()


@pytest.fixture
def careless_store():
    """The address of an S3 that stores and shows, and has never heard of If-None-Match."""
    objects = {}

    class Careless(BaseHTTPRequestHandler):
        def do_PUT(self):
            objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
            self._reply(200)

        def do_DELETE(self):
            objects.pop(self.path)
            self._reply(204)

        def _reply(self, status):
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Careless) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


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


def test_a_download_that_breaks_off_is_store_unavailable(storage, settings, proxy, tmp_path):
    storage.put("video", b"x" * 4_000_000)
    _, store = behind(proxy, settings, cut_after=1_000_000)
    with pytest.raises(StoreUnavailable, match="video"):
        store.download("video", tmp_path / "file")


def test_a_network_that_fails_a_download_is_store_unavailable_and_no_full_disk(settings, tmp_path):
    store = store_with(settings, s3_endpoint=settings.s3_endpoint.replace("http://", "https://"))
    with pytest.raises(
        StoreUnavailable, match="did not answer for video"
    ):  # TLS fails: an OSError of botocore's
        store.download("video", tmp_path / "file")


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
