import http.client
import json
import logging
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import SecretStr

from contract.errors import ConfigurationError, TemporaryFailure
from contract.settings import Settings
from producer.watch import doorbell as module
from producer.watch import queue
from producer.watch.doorbell import Doorbell, answering
from producer.watch.queue import EventQueue


@pytest.fixture(autouse=True)
def _no_calm(monkeypatch):
    monkeypatch.setattr(module, "CALM_SECONDS", 0.01)


def waited(bell, seconds=None):
    began = time.monotonic()
    bell.wait(seconds)
    return time.monotonic() - began


def post(port, body=b"{}", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("POST", "/any/path", body=body, headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


# --- ringing


def test_nobody_waits_longer_than_the_interval_or_than_asked():
    assert 0.04 < waited(Doorbell(0.05)) < 2
    assert waited(Doorbell(60), 0.05) < 2


def test_a_ring_ends_the_waiting_and_one_that_came_while_somebody_looked_does_so_too():
    bell = Doorbell(60)
    bell.heard()
    bell.ring()
    assert waited(bell) < 2
    bell.heard()
    assert waited(bell, 0.05) > 0.04


def test_however_often_it_rings_there_is_some_calm_between_two_looks(monkeypatch):
    monkeypatch.setattr(module, "CALM_SECONDS", 0.3)
    bell = Doorbell(60)
    for _ in range(100):
        bell.ring()
    assert 0.29 < waited(bell) < 5


def test_stopping_ends_the_waiting_at_once_and_for_good(monkeypatch):
    monkeypatch.setattr(module, "CALM_SECONDS", 60)
    bell = Doorbell(60)
    threading.Timer(0.1, bell.stop).start()
    assert waited(bell) < 5
    bell.heard()
    assert waited(bell) < 1


# --- HTTP on loopback


def test_a_post_rings():
    bell = Doorbell(60)
    with answering(bell, 0) as port:
        bell.heard()
        assert post(port) == 204
        assert waited(bell) < 2


@pytest.mark.parametrize(
    ("body", "headers"),
    [(b"x" * (2 << 20), {}), (b"", {"Content-Length": "-1"}), (b"", {"Content-Length": "many"})],
    ids=["huge", "negative", "no number"],
)
def test_whatever_is_posted_rings_and_harms_nothing(body, headers):
    bell = Doorbell(60)
    with answering(bell, 0) as port:
        try:
            post(port, body, **headers)
        except OSError:
            assert len(body) > module.MAX_BYTES, "only what is far too long may be cut off"
        assert waited(bell) < 5
        assert post(port) == 204


def test_it_listens_on_loopback_alone_and_only_to_posts():
    with answering(Doorbell(60), 0) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/")
        assert connection.getresponse().status == 501
        connection.close()
    assert module.LOOPBACK == "127.0.0.1"


def test_a_port_that_is_taken_is_named():
    with (
        answering(Doorbell(60), 0) as port,
        pytest.raises(ConfigurationError, match=f"port {port} of 127.0.0.1 is not free"),
        answering(Doorbell(60), port),
    ):
        pass


# --- SQS: a small server that speaks its JSON protocol


class Sqs:
    """One queue; a received message is hidden until it is deleted."""

    def __init__(self):
        self.messages, self.deleted, self.asked, self.refuses = [], [], [], None
        self.keeps = False

    def answer(self, action, request):
        self.asked.append((action, request))
        if self.refuses:
            return 403, {"__type": f"com.amazonaws.sqs#{self.refuses}", "message": "no"}
        if action == "ReceiveMessage":
            some, self.messages = self.messages[:10], self.messages[10:]
            return 200, {
                "Messages": [{"ReceiptHandle": each, "MessageId": each, "Body": "{}"} for each in some]
            }
        assert action == "DeleteMessageBatch"
        entries = request["Entries"]
        if self.keeps:
            return 200, {
                "Successful": [],
                "Failed": [{"Id": "0", "Code": "InternalError", "SenderFault": False}],
            }
        self.deleted += [each["ReceiptHandle"] for each in entries]
        return 200, {"Successful": [{"Id": each["Id"]} for each in entries], "Failed": []}


@pytest.fixture
def sqs():
    fake = Sqs()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, reply = fake.answer(self.headers["X-Amz-Target"].partition(".")[2], body)
            text = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}/1234/drops"
    settings = Settings(s3_access_key=SecretStr("access"), s3_secret_key=SecretStr("secret"))
    fake.queue = EventQueue(fake.url, settings)
    yield fake
    fake.queue._client.close()
    server.shutdown()
    thread.join()
    server.server_close()


def test_messages_are_polled_long_and_deleted_by_tens(sqs):
    sqs.messages = [f"receipt-{number}" for number in range(12)]
    receipts = sqs.queue.receive() + sqs.queue.receive()
    assert len(receipts) == 12
    assert sqs.asked[0] == (
        "ReceiveMessage",
        {"QueueUrl": sqs.url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 20},
    )
    sqs.queue.delete(receipts)
    assert sqs.deleted == receipts
    assert [len(request["Entries"]) for action, request in sqs.asked if action != "ReceiveMessage"] == [10, 2]


def test_a_message_rings_and_is_deleted_only_after_the_folder_was_looked_at(sqs):
    bell = Doorbell(60, sqs.queue)
    sqs.messages = ["receipt"]
    listener = threading.Thread(target=bell.listen)
    listener.start()
    try:
        assert waited(bell) < 10
        heard = bell.heard()
        assert (heard, sqs.deleted) == (["receipt"], [])
        bell.answered(heard)
        assert sqs.deleted == ["receipt"]
    finally:
        bell.stop()
        listener.join(10)


def test_a_queue_that_refuses_is_said_once_and_the_folder_is_looked_at_all_the_same(sqs, monkeypatch, caplog):
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.01)
    sqs.refuses = "AccessDenied"
    bell = Doorbell(0.05, sqs.queue)
    listener = threading.Thread(target=bell.listen)
    listener.start()
    try:
        deadline = time.monotonic() + 10
        while len(sqs.asked) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert len([each for each in caplog.messages if "looked at each 0.05 s only" in each]) == 1
        assert waited(bell) < 2
    finally:
        bell.stop()
        listener.join(10)


def test_messages_that_the_queue_keeps_are_said_and_end_nothing(sqs, caplog):
    caplog.set_level(logging.WARNING)
    sqs.keeps = True
    with pytest.raises(TemporaryFailure, match="kept 1 messages: InternalError"):
        sqs.queue.delete(["receipt"])
    Doorbell(60, sqs.queue).answered(["receipt"])
    assert "messages of the queue stay there" in caplog.text


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("sqs.eu-west-1.amazonaws.com", "eu-west-1"),
        ("sqs.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("localhost", None),
    ],
)
def test_the_region_is_the_queue_s_own(host, region):
    assert queue._region(host) == region
