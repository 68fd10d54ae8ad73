"""EC2's notices, from a stand-in of its metadata service on loopback."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from worker import preempt
from worker.preempt import NOTICES, NoticePoller


class Metadata(BaseHTTPRequestHandler):
    """Version 2: nothing without a token that is still good."""

    def do_PUT(self):
        assert self.path == "/latest/api/token" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
        self.server.tokens += 1
        self.answer(200, f"token {self.server.tokens}")

    def do_GET(self):
        if self.headers["X-aws-ec2-metadata-token"] != f"token {self.server.tokens}":
            return self.answer(401, "Unauthorized")
        self.server.asked.append(self.path)
        notice = self.server.notices.get(self.path)
        return self.answer(200, notice) if notice else self.answer(404, "Not Found")

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def metadata():
    with ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as server:
        server.notices, server.asked, server.tokens = {}, [], 0
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture
def poller(monkeypatch):
    """Start a poller of an endpoint; the event is set when it has seen a notice."""
    monkeypatch.setattr(preempt, "POLL_SECONDS", 0.02)
    made = []

    def start(endpoint):
        noticed = threading.Event()
        made.append(NoticePoller(noticed.set, endpoint))
        made[-1].start()
        return noticed

    yield start
    for each in made:
        each.stop()


@pytest.mark.parametrize("path", NOTICES)
def test_a_notice_of_either_kind_is_told_and_without_one_nothing_happens(metadata, poller, path):
    noticed = poller(metadata.url)
    assert not noticed.wait(0.3)
    assert set(metadata.asked) == set(NOTICES)
    assert metadata.tokens == 1
    metadata.notices[path] = '{"action": "terminate", "time": "2026-01-02T03:04:05Z"}'
    assert noticed.wait(5)


def test_a_token_that_is_no_longer_good_is_replaced(metadata, poller):
    noticed = poller(metadata.url)
    assert not noticed.wait(0.2)
    metadata.tokens = 41
    metadata.notices[NOTICES[0]] = "soon"
    assert noticed.wait(5)
    assert metadata.tokens == 42


def test_a_machine_without_metadata_is_said_once_and_works_on(poller, caplog):
    noticed = poller("http://127.0.0.1:1")
    assert not noticed.wait(0.5)
    assert caplog.text.count("metadata service does not answer") == 1
