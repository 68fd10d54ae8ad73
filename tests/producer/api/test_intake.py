"""Forms, as hostile as they come, over a real connection."""

import http.client
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest

from contract import keys
from producer.api import intake
from producer.api.forms import FormParser, PartBegins, PartData, PartEnds
from tests.producer.api.checks import found, problem

EDGE = b"edge"


def part(name, body, filename=None):
    named = f'; filename="{filename}"' if filename is not None else ""
    return b'--%s\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (
        EDGE,
        name.encode(),
        named.encode(),
        body,
    )


def form(*parts):
    return b"".join(parts) + b"--%s--\r\n" % EDGE


VIDEO = part("video", b"video", "face.mp4")
AUDIO = part("audio", b"sound", "voice.wav")
TYPE = {"Content-Type": "multipart/form-data; boundary=edge"}


def post(client, body, **headers):
    return client.post("/generate", content=body, headers=TYPE | headers)


def test_fields_come_in_any_order_and_in_any_pieces(client):
    whole = form(
        part("sync_mode", b"loop"),
        AUDIO,
        part("id", "Lektion ü".encode()),
        VIDEO,
        part("priority", b" high "),
    )
    first = post(client, whole).json()
    assert (first["row"], first["request"]["priority"]) == ("Lektion ü", "high")
    assert post(client, form(VIDEO, AUDIO, part("sync_mode", b"loop"))).json()["id"] == first["id"]
    drops = (whole[at : at + 1] for at in range(len(whole)))
    assert post(client, drops).json()["id"] == first["id"]


def test_a_parser_that_is_fed_byte_by_byte_tells_the_same():
    whole = form(part("a", b"x\r\n--edg\r\ny"), part("b", b"", "f.mp4"))
    parser, events = FormParser(TYPE["Content-Type"]), []
    for at in range(len(whole)):
        events += parser.feed(whole[at : at + 1])
    parser.finish()
    data = b"".join(each.data for each in events if isinstance(each, PartData))
    assert data == b"x\r\n--edg\r\ny"
    assert [each for each in events if not isinstance(each, PartData)] == [
        PartBegins("a", None),
        PartEnds(),
        PartBegins("b", "f.mp4"),
        PartEnds(),
    ]


BAD_FORMS = {
    "no audio": (form(VIDEO), 422, "bad_request"),
    "nothing": (form(), 422, "bad_request"),
    "an unknown field": (form(VIDEO, AUDIO, part("colour", b"red")), 422, "bad_request"),
    "a field twice": (form(VIDEO, AUDIO, part("id", b"a"), part("id", b"b")), 422, "bad_request"),
    "a file twice": (form(VIDEO, AUDIO, VIDEO), 422, "bad_request"),
    "a video that is a text": (form(part("video", b"s3://b/k"), AUDIO), 422, "bad_request"),
    "a file without a name": (form(part("video", b"video", ""), AUDIO), 422, "bad_request"),
    "a file of no kind": (form(part("video", b"video", "face.exe"), AUDIO), 422, "source_unsupported"),
    "a file without a suffix": (form(part("video", b"video", "face"), AUDIO), 422, "source_unsupported"),
    "an empty file": (form(VIDEO, part("audio", b"", "voice.wav")), 422, "input_empty"),
    "a text that is not UTF-8": (form(VIDEO, AUDIO, part("id", b"\xff")), 422, "bad_request"),
    "an option that is none": (form(VIDEO, AUDIO, part("sync_mode", b"jazz")), 422, "bad_request"),
    "a form that breaks off": (VIDEO + AUDIO, 422, "bad_request"),
    "a form that breaks off in a file": (VIDEO[:-4], 422, "bad_request"),
    "no form": (b"hello", 422, "bad_request"),
    "nothing at all": (b"", 422, "bad_request"),
    "a part without a name": (b"--edge\r\n\r\nx\r\n--edge--\r\n", 422, "bad_request"),
    "text without end": (form(VIDEO, AUDIO, part("id", b"x" * 20_000)), 413, "input_too_large"),
    "a header without end": (b"--edge\r\nX: " + b"x" * 20_000, 422, "bad_request"),
    "headers without end": (b"--edge\r\n" + b"X: y\r\n" * 1000, 422, "bad_request"),
}


@pytest.mark.parametrize("what", BAD_FORMS)
def test_a_form_that_can_be_no_job_is_refused_with_its_reason(client, storage, what):
    body, status, code = BAD_FORMS[what]
    problem(post(client, body), status, code)
    assert not [key for key in found(storage) if not key.startswith(keys.INPUTS)]
    assert list(storage.list_uploads()) == []


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=edge",
        "multipart/form-data; boundary=" + "x" * 300,
    ],
)
def test_a_body_of_another_kind_is_no_form(asker, kind):
    problem(
        asker.post("/generate", content=form(VIDEO, AUDIO), headers={"Content-Type": kind}),
        422,
        "bad_request",
    )


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd.mp4",
        "C:\\clips\\face.mp4",
        "a/b/face.mp4",
        "ü\u202e.mp4",
        "'; drop.mp4",
        "x" * 500 + ".mp4",
    ],
)
def test_the_name_of_a_file_leads_nowhere(client, storage, name):
    job = post(client, form(part("video", b"video", name), AUDIO)).json()
    assert not set("/\\\u202e") & set(job["row"])
    assert {key for key in found(storage) if key.startswith(keys.INPUTS)} == {
        key for key in found(storage) if len(key) == len(keys.INPUTS) + 64 + 4
    }


@pytest.fixture
def small_parts(monkeypatch):
    """Files of a few kilobytes are large ones."""
    monkeypatch.setattr(intake, "LIGHT_BYTES", 2**10)
    monkeypatch.setattr(intake, "PART_BYTES", 5 * 2**20)


def test_a_large_file_goes_up_in_parts_and_lies_under_its_content(client, storage, small_parts):
    big = bytes(range(256)) * 2**16  # 16 MiB: three parts and a rest
    job = post(client, form(part("video", big, "face.mp4"), AUDIO)).json()
    address = job["request"]["video"]
    import hashlib

    assert address == f"s3://{storage.bucket}/{keys.uploaded(hashlib.sha256(big).hexdigest(), '.mp4')}"
    assert storage.get(address) == big
    assert not [key for key in found(storage) if "incoming" in key]
    assert list(storage.list_uploads()) == []
    assert post(client, form(part("video", big, "again.mp4"), AUDIO)).json()["id"] == job["id"]


def limited(serve, settings, limit):
    return serve(settings.model_copy(update={"max_input_bytes": limit}))


def test_the_byte_limit_holds_while_a_file_streams_in(serve, settings, storage, small_parts):
    sent = 0

    def endless():
        nonlocal sent
        yield VIDEO[:-7]
        while sent < 200 * 2**20:
            sent += 2**16
            yield bytes(2**16)

    with limited(serve, settings, 6 * 2**20).client() as client:
        answer = post(client, endless())
        assert "has more than 6,291,456 bytes" in problem(answer, 413, "input_too_large")["detail"]
        assert answer.headers["connection"] == "close"
    assert sent < 200 * 2**20, "it was told before it had sent everything"
    assert found(storage) == set()
    assert list(storage.list_uploads()) == []


def test_a_form_that_announces_too_much_is_not_read_at_all(serve, settings):
    with limited(serve, settings, 1000).client() as client:
        connection = http.client.HTTPConnection(urlsplit(str(client.base_url)).netloc, timeout=20)
        connection.putrequest("POST", "/generate")
        for name, value in {**TYPE, "Content-Length": str(2**33), "Expect": "100-continue"}.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        assert answer.status == 413
        connection.close()


def test_a_file_of_exactly_the_limit_comes_in(serve, settings):
    with limited(serve, settings, 1000).client() as client:
        assert post(client, form(part("video", bytes(1000), "face.mp4"), AUDIO)).status_code == 202
        problem(post(client, form(part("video", bytes(1001), "face.mp4"), AUDIO)), 413, "input_too_large")


def test_a_client_that_goes_away_leaves_nothing_behind(client, storage, small_parts):
    where = urlsplit(str(client.base_url))
    with socket.create_connection((where.hostname, where.port)) as connection:
        head = f"POST /generate HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {2**30}\r\nContent-Type: {TYPE['Content-Type']}\r\n\r\n"
        connection.sendall(head.encode() + VIDEO[:-7] + bytes(6 * 2**20))
        until(lambda: list(storage.list_uploads()))
    until(lambda: not list(storage.list_uploads()))
    assert found(storage) == set()


def test_a_client_that_falls_silent_is_let_go(client, storage, monkeypatch):
    monkeypatch.setattr(intake, "IDLE_SECONDS", 0.5)
    where = urlsplit(str(client.base_url))
    with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
        head = f"POST /generate HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\nContent-Type: {TYPE['Content-Type']}\r\n\r\n"
        connection.sendall(head.encode() + VIDEO)
        said = connection.recv(65536)
        assert said.startswith(b"HTTP/1.1 408") and b"application/problem+json" in said


def test_few_large_uploads_are_taken_at_a_time_and_small_ones_do_not_wait_for_them(
    served, client, monkeypatch
):
    monkeypatch.setattr(intake, "LIGHT_BYTES", 2**10)
    where = urlsplit(str(client.base_url))
    head = f"POST /generate HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {2**20}\r\nContent-Type: {TYPE['Content-Type']}\r\n\r\n"
    slow = [socket.create_connection((where.hostname, where.port)) for _ in range(intake.PLACES + 4)]
    for each in slow:
        each.sendall(head.encode() + VIDEO[:-7] + bytes(4096))
    places = served.api.state.desk.intake._places
    until(places.locked)
    assert post(client, form(VIDEO, AUDIO)).status_code == 202
    for each in slow:
        each.close()
    until(lambda: places._value == intake.PLACES)


def test_two_who_send_the_same_at_once_share_it(served, storage, small_parts):
    body = form(part("video", bytes(6 * 2**20), "face.mp4"), AUDIO)
    answers = []

    def send():
        with served.client() as client:
            answers.append(post(client, body).json()["id"])

    threads = [threading.Thread(target=send) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(answers) == 4 and len(set(answers)) == 1
    assert not [key for key in found(storage) if "incoming" in key]


def until(true, seconds=20):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
