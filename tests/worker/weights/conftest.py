"""Small files in place of the registry's, and a stand-in for the hub on loopback."""

import hashlib
import re
import secrets
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from worker.weights import Hub, Url, Weight, download, registry

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RESOLVED = re.compile(r"/(?P<repository>[^/]+/[^/]+)/resolve/(?P<commit>[^/]+)/(?P<file>.+)")


@pytest.fixture
def use(monkeypatch):
    """Makes those entries the whole registry."""

    def use(*entries):
        monkeypatch.setattr(registry, "REGISTRY", entries)

    return use


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@dataclass
class StandIn:
    """What huggingface_hub and a plain download ask of the hub: metadata at /resolve/, the bytes on another host.

    `cut` ends a connection after so many bytes of the body, as often as the list says; `status` answers /resolve/.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    """By commit/file."""
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    claims: dict[str, str] = field(default_factory=dict)
    """Headers of the metadata that are not what the file says."""
    ranges: bool = True
    hold: threading.Event = field(default_factory=threading.Event)
    """What is left after a cut waits for this, with the connection open, where `hanging` is set."""
    hanging: bool = False
    redirect: bool = True
    """The answer to a question for metadata names the other host; `moved`: only the one to a download does."""
    moved: bool = False
    port: int = 0

    @property
    def gets(self):
        return [(path, headers) for method, path, headers in self.asked if method == "GET"]

    @property
    def starts(self):
        """Where each download began, in bytes."""
        return [int(re.match(r"bytes=(\d+)-", headers["range"])[1]) for _, headers in self.gets]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: StandIn

    def do_HEAD(self):
        self._note()
        found = RESOLVED.fullmatch(self.path)
        if self.hub.status:
            return self._answer(self.hub.status.pop(0))
        content = self.hub.files.get(f"{found['commit']}/{found['file']}") if found else None
        if content is None:
            return self._answer(404, {"X-Error-Code": "EntryNotFound"})
        digest = hashlib.sha256(content).hexdigest()
        headers = {
            "X-Repo-Commit": found["commit"],
            "X-Linked-Etag": f'"{digest}"',
            "X-Linked-Size": str(len(content)),
            "ETag": '"0123456789abcdef"',
            **self.hub.claims,
        }
        if not self.hub.redirect:
            return self._answer(200, headers)
        place = f"http://localhost:{self.hub.port}/lfs/{found['commit']}/{found['file']}?signed=1"
        return self._answer(302, {**headers, "Location": place})

    def do_GET(self):
        self._note()
        if self.hub.moved and "/resolve/" in self.path:
            there = self.path.split("/resolve/")[-1]
            return self._answer(302, {"Location": f"http://localhost:{self.hub.port}/lfs/{there}"})
        key = self.path.split("?")[0].removeprefix("/lfs/").split("/resolve/")[-1]
        content = self.hub.files.get(key)
        if content is None:
            return self._answer(404)
        start = int(re.match(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[1])
        if not self.hub.ranges:
            return self._send(200, content, {})
        if start >= len(content):
            return self._answer(416)
        span = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        return self._send(206, content[start:], span)

    def _send(self, status, body, headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if not self.hub.cut:
            self.wfile.write(body)
            return
        self.wfile.write(body[: self.hub.cut.pop(0)])
        self.wfile.flush()
        if self.hub.hanging:
            self.hub.hold.wait(30)
        self.close_connection = True

    def _answer(self, status, headers=()):
        self.send_response(status)
        for name, value in {**dict(headers), "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def _note(self):
        self.hub.asked.append(
            (self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
        )

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch):
    """The stand-in, with HF_ENDPOINT set to it."""
    stand_in = StandIn()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": stand_in}))
    server.daemon_threads = True
    stand_in.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{stand_in.port}")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(download, "WAIT_SECONDS", 0.01)
    yield stand_in
    stand_in.hold.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def content():
    """Three chunks and a bit, never the same twice."""
    return secrets.token_bytes(3 * 2**16 + 7)


@pytest.fixture
def unet(hub, use, content):
    """The only entry of the registry: a small file on the stand-in."""
    hub.files[f"{COMMIT}/net/unet.pth"] = content
    entry = Weight(
        name="unet",
        revision="tiny-01234567",
        source=Hub("lab/tiny", COMMIT, "net/unet.pth"),
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        licence="CC0-1.0",
    )
    use(entry)
    return entry


@pytest.fixture
def parsing(hub, use, content):
    """The same at a plain address."""
    hub.files["release/parsing.onnx"] = content
    entry = Weight(
        name="parsing",
        revision="parsing-1",
        source=Url(f"http://127.0.0.1:{hub.port}/lfs/release/parsing.onnx"),
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        licence="CC0-1.0",
    )
    use(entry)
    return entry


SCRIPT = """
import sys
from pathlib import Path
from worker import weights
from worker.weights import Hub, Url, Weight, registry
entry = {entry!r}
registry.REGISTRY = (entry,)
{before}
weights.fetch([entry.name], Path(sys.argv[1]))
"""


@pytest.fixture
def fetch_in_a_process():
    """Starts a process that fetches the entry, the whole of its registry, after running the line `before`."""
    running = []

    def start(entry, cache, before="", **options):
        script = SCRIPT.format(entry=entry, before=before)
        running.append(subprocess.Popen([sys.executable, "-c", script, str(cache)], text=True, **options))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()
