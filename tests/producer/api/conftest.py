"""The API on a port of its own, in front of the real services; clients with a key and without."""

import copy
import secrets
import socket
import threading
import time
from dataclasses import dataclass

import httpx2
import pytest
import uvicorn

from producer.api.app import guarded, make_api
from producer.api.keyring import add_key

SECONDS = 30


@dataclass
class Serving:
    """A running server."""

    url: str
    api: object

    def client(self, key=None, **more):
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx2.Client(
            base_url=self.url,
            headers=headers | more.pop("headers", {}),
            timeout=SECONDS,
            trust_env=False,
            **more,
        )


@pytest.fixture
def serve(storage):
    """Start servers that end with the test."""
    yield from _servers()


@pytest.fixture(scope="module")
def serve_for_all():
    """Start servers that end with the tests of a file."""
    yield from _servers()


def _servers():
    running = []

    def start(settings):
        api = make_api(settings)
        config = uvicorn.Config(
            guarded(api),
            log_config=None,
            server_header=False,
            proxy_headers=False,
            ws="none",
            timeout_graceful_shutdown=2,
        )
        server = uvicorn.Server(config)
        listening = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        running.append((server, thread))
        deadline = time.monotonic() + SECONDS
        while not server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)
        return Serving(f"http://127.0.0.1:{listening.getsockname()[1]}", api)

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(SECONDS)
        assert not thread.is_alive()


@pytest.fixture
def served(serve, settings):
    """A server without keys."""
    return serve(settings)


@pytest.fixture(scope="module")
def shared(services, _store):
    """Settings with a namespace and a bucket that a file's tests share."""
    store = copy.copy(_store)
    store.bucket = f"test-{secrets.token_hex(6)}"
    store.ensure_bucket()
    yield services.settings.model_copy(update={"namespace": store.bucket, "s3_bucket": store.bucket})
    store._client.delete_bucket(Bucket=store.bucket)


@pytest.fixture(scope="module")
def asker(shared, serve_for_all):
    """Somebody at this machine, for tests that leave nothing behind: they share a server."""
    with serve_for_all(shared).client() as each:
        yield each


@pytest.fixture
def client(served):
    """Somebody at this machine."""
    with served.client() as each:
        yield each


@pytest.fixture
def guarded_settings(settings, tmp_path):
    """Settings with a file of keys."""
    return settings.model_copy(update={"api_keys": tmp_path / "keys.toml"})


@pytest.fixture
def two(serve, guarded_settings):
    """A server with the keys `ann` and `bob`, and a client of each."""
    found = {name: add_key(guarded_settings.api_keys, name) for name in ("ann", "bob")}
    running = serve(guarded_settings)
    with running.client(found["ann"]) as ann, running.client(found["bob"]) as bob:
        yield ann, bob


@pytest.fixture
def pair():
    """The files of a form."""
    return {"video": ("face.MP4", b"video" * 1000), "audio": ("voice.wav", b"voice" * 100)}
