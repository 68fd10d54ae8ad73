"""Fetching from strangers, on a real TLS server of loopback: the table of media.md and more, and nothing leaves the machine."""

import hashlib
import logging
import socket
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address

import pytest

from contract import outside as module
from contract.errors import (
    DiskFull,
    InputForbidden,
    InputNotFound,
    InputTooLarge,
    LeaseLost,
    SourceUnavailable,
    SourceUnsupported,
    UrlForbidden,
)
from contract.outside import Outside
from contract.weburl import PORTS, Reach
from tests.contract.test_weburl import INSIDE
from tests.site import HOST, LOOPBACK

BODY = bytes(range(256)) * 1000


@pytest.fixture
def fetch(site, tmp_path):
    """Fetch a URL of the site, or a whole one, into a file."""

    def fetch(url, outside=None, max_bytes=1 << 20, seconds=10.0, advance=lambda _: None):
        url = site.url(url) if url.startswith("/") else url
        path = tmp_path / "got"
        got = (outside or site.outside).fetch(
            url, path, max_bytes=max_bytes, seconds=seconds, advance=advance
        )
        return got, path.read_bytes()

    return fetch


@pytest.fixture
def strict(site):
    """As in life, but for the port: loopback is not reached."""
    return Outside(Reach(http=True, ports=PORTS | {site.port, site.plain_port}), site.ca)


@pytest.fixture
def dialled(monkeypatch):
    """Addresses that anybody tried to connect to."""
    tried = []
    connect = socket.socket.connect

    def spy(self, address):
        tried.append(address[0])
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", spy)
    return tried


def test_a_file_comes_whole_with_its_hash_and_every_piece_is_told(site, fetch):
    site.answers["/v.mp4"] = BODY
    told = []
    got, body = fetch("/v.mp4?sig=x", advance=told.append)
    assert body == BODY
    assert (got.bytes, got.sha256) == (len(BODY), hashlib.sha256(BODY).hexdigest())
    assert sum(told) == len(BODY)
    (asked,) = site.asked
    assert asked.path == "/v.mp4?sig=x"
    assert asked.host == f"{HOST}:{site.port}"
    assert asked.sni == HOST
    assert asked.headers["accept-encoding"] == "identity"
    assert asked.headers["user-agent"] == "Dubline"


def test_http_is_fetched_where_the_rule_lets_it(site, fetch):
    site.answers["/v.mp4"] = BODY
    reach = replace(site.reach, http=True, ports=frozenset({site.plain_port}))
    _, body = fetch(f"http://{HOST}:{site.plain_port}/v.mp4", Outside(reach))
    assert body == BODY


# Where nothing is fetched from


@pytest.mark.parametrize("address", INSIDE)
def test_a_name_that_means_an_inside_address_is_not_even_connected_to(resolver, tmp_path, dialled, address):
    resolver.answers["trap.example"] = [[address]]
    with pytest.raises(UrlForbidden, match=r"https://trap.example/v: .* not public"):
        Outside(Reach()).fetch(
            "https://trap.example/v?hunter2", tmp_path / "got", max_bytes=1, seconds=5, advance=print
        )
    assert dialled == []


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "017700000001",
        "127.1",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::7f00:1]",
        "localhost",
        "LOCALHOST",
        "media.example",
        "①②⑦.⓪.⓪.①",
        "localhost.",
    ],
)
def test_loopback_is_not_reached_under_any_of_its_names(site, strict, fetch, host):
    for url in (f"https://{host}:{site.port}/v", f"http://{host}:{site.plain_port}/v"):
        with pytest.raises((UrlForbidden, SourceUnavailable)) as caught:
            fetch(url, strict)
        # not every resolver knows the last form
        assert isinstance(caught.value, UrlForbidden) or host == "localhost."
    assert site.connections == 0


@pytest.mark.parametrize(
    "answers",
    [
        [["8.8.8.8", "10.0.0.1"]],
        [["8.8.8.8", "127.0.0.1"]],
        [["127.0.0.1", "8.8.8.8"]],
        [["2606:4700::1111", "fec0::1"]],
        [["8.8.8.8", "::7f00:1"]],
        [["8.8.8.8"], ["127.0.0.1"]],  # rebinding: public when checked, inside when asked again
        [["127.0.0.1"], ["8.8.8.8"]],
        [["fec0::1"], ["8.8.8.8"]],
        [["fec0::1"], ["2606:4700::1111"]],
    ],
)
def test_one_inside_address_among_many_or_after_a_while_is_enough_to_refuse(
    resolver, tmp_path, dialled, answers
):
    resolver.answers["trap.example"] = answers
    with pytest.raises(UrlForbidden, match="not public"):
        Outside(Reach()).fetch(
            "https://trap.example/v", tmp_path / "got", max_bytes=1, seconds=5, advance=print
        )
    assert dialled == []


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(site, resolver, fetch, dialled):
    site.answers["/v"] = BODY
    resolver.answers["flips.example"] = [[LOOPBACK], [LOOPBACK], ["10.0.0.1"]]
    fetch(site.url("/v", host="flips.example"))
    assert dialled == [LOOPBACK]
    assert site.asked[0].sni == "flips.example"


@pytest.mark.parametrize(
    "target",
    [
        "https://127.0.0.2/",
        "https://2130706434/",
        "https://[::1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://trap.example/",
        "//trap.example/",
        "http://media.example/v",
        "https://media.example:22/v",
        "https://hunter2:x@media.example/v",
        "file:///etc/passwd",
        "ftp://media.example/v",
        "gopher://media.example:443/v",
        "data:text/plain,x",
        "http://[",
        "https://[::1",
        "https://media.example:port/",
        "https://\\hunter2/",
    ],
)
def test_a_redirect_is_looked_at_like_the_first_url(site, resolver, fetch, dialled, target):
    resolver.answers["trap.example"] = [["10.0.0.1"]]
    site.answers["/v"] = lambda handler: handler.say(302, Location=target)
    with pytest.raises(UrlForbidden) as caught:
        fetch("/v?hunter2")
    assert "hunter2" not in str(caught.value)
    assert set(dialled) == {LOOPBACK}
    assert len(site.asked) == 1


def test_three_redirects_are_followed_and_a_fourth_is_not(site, fetch):
    for number in range(9):
        site.answers[f"/{number}"] = lambda handler, to=number + 1: handler.say(
            307, Location=f"/{to}?sig=hunter2"
        )
    site.answers["/3"] = BODY
    assert fetch("/0")[1] == BODY
    with pytest.raises(UrlForbidden, match="/4 leads on more than 3 times") as caught:
        fetch("/4")
    assert "hunter2" not in str(caught.value)


def test_the_body_of_a_redirect_is_not_read(site, fetch):
    def endless(handler):
        handler.send_response(302)
        handler.send_header("Location", "/v")
        handler.send_header("Content-Length", str(1 << 40))
        handler.end_headers()
        handler.wfile.write(b"x" * 1000)

    site.answers |= {"/r": endless, "/v": BODY}
    assert fetch("/r")[1] == BODY


def test_proxies_and_logins_of_the_environment_are_not_used(site, fetch, tmp_path, monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://{LOOPBACK}:1")
    (tmp_path / "netrc").write_text(f"machine {HOST} login ann password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    site.answers["/v"] = BODY
    assert fetch("/v")[1] == BODY
    assert "authorization" not in site.asked[0].headers


def test_a_certificate_of_nobody_or_for_another_name_is_refused(site, resolver, fetch):
    site.answers["/v"] = BODY
    resolver.answers["media.elsewhere"] = [[LOOPBACK]]
    with pytest.raises(SourceUnavailable, match="certificate"):
        fetch(site.url("/v", host="media.elsewhere"))
    with pytest.raises(SourceUnavailable, match="certificate"):
        fetch("/v", Outside(site.reach))
    assert site.asked == []


@pytest.mark.parametrize("literal", ["93.184.216.34", "[2606:4700::1111]"])
def test_a_public_address_is_dialled_as_it_stands(resolver, tmp_path, monkeypatch, literal):
    tried = []

    def refuse(self, address):
        tried.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(SourceUnavailable, match="cannot be reached"):
        Outside(Reach()).fetch(
            f"https://{literal}/v", tmp_path / "got", max_bytes=1, seconds=5, advance=print
        )
    assert tried == [literal.strip("[]")]


# What servers say


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, InputNotFound),
        (410, InputNotFound),
        (401, InputForbidden),
        (403, InputForbidden),
        (400, InputForbidden),
        (405, InputForbidden),
        (451, InputForbidden),
        (204, SourceUnavailable),
        (206, SourceUnavailable),
        (304, SourceUnavailable),
        (408, SourceUnavailable),
        (429, SourceUnavailable),
        (500, SourceUnavailable),
        (503, SourceUnavailable),
    ],
)
def test_what_a_status_means(site, fetch, status, error):
    site.answers["/v"] = lambda handler: handler.say(status)
    with pytest.raises(error, match=rf"https://media.example:{site.port}/v\b") as caught:
        fetch("/v?sig=hunter2")
    assert type(caught.value) is error
    assert "hunter2" not in str(caught.value)


def test_a_redirect_to_nowhere_is_no_file(site, fetch):
    site.answers["/v"] = lambda handler: handler.say(302)
    with pytest.raises(SourceUnavailable, match="302"):
        fetch("/v")


@pytest.mark.parametrize("encoding", ["gzip", "br", "x-odd"])
def test_what_comes_compressed_all_the_same_is_refused(site, fetch, encoding):
    site.answers["/v"] = lambda handler: handler.say(200, BODY, Content_Encoding=encoding)
    with pytest.raises(SourceUnsupported, match="compressed"):
        fetch("/v")


def test_more_than_the_limit_is_refused_before_a_byte_is_read(site, fetch):
    site.answers["/v"] = BODY
    told = []
    with pytest.raises(InputTooLarge, match=r"more than 255,999 bytes"):
        fetch("/v?hunter2", max_bytes=len(BODY) - 1, advance=told.append)
    assert told == []
    assert fetch("/v", max_bytes=len(BODY))[1] == BODY


def _endless(handler):
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"x" * 65536)


def _endless_chunks(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "10")  # a lie: chunks count
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    while True:
        handler.wfile.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")


@pytest.mark.parametrize("answer", [_endless, _endless_chunks])
def test_the_limit_holds_also_where_no_length_is_told_or_a_false_one(site, fetch, tmp_path, answer):
    site.answers["/v"] = answer
    with pytest.raises(InputTooLarge):
        fetch("/v", max_bytes=1_000_000)
    assert (tmp_path / "got").stat().st_size <= 1_000_000


@pytest.mark.parametrize("length", ["many", "-5", "1.5", ""])
def test_a_length_that_is_none_is_not_believed(site, fetch, length):
    site.answers["/v"] = lambda handler: handler.say(200, BODY, Content_Length=length)
    assert fetch("/v")[1] == BODY
    with pytest.raises(InputTooLarge):
        fetch("/v", max_bytes=len(BODY) - 1)


def test_two_lengths_are_none_that_can_be_trusted(site, fetch):
    site.answers["/v"] = lambda handler: handler.say(200, BODY, Content_Length="10, 11")
    with pytest.raises(SourceUnavailable):
        fetch("/v?hunter2")


def test_no_more_than_the_told_length_is_read(site, fetch):
    site.answers["/v"] = lambda handler: handler.say(200, BODY, Content_Length="10")
    assert fetch("/v")[1] == BODY[:10]


def test_chunks_are_put_together(site, fetch):
    def chunks(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for start in range(0, len(BODY), 1000):
            handler.wfile.write(b"3e8\r\n" + BODY[start : start + 1000] + b"\r\n")
        handler.wfile.write(b"0\r\n\r\n")

    site.answers["/v"] = chunks
    assert fetch("/v")[1] == BODY


def _short(handler):
    handler.say(200, BODY, Content_Length=str(len(BODY) + 1))


def _short_chunks(handler):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"10000\r\n" + b"x" * 100)
    handler.close_connection = True


def _no_http(handler):
    handler.wfile.write(b"what?\r\n\r\n")
    handler.close_connection = True


def _nothing(handler):
    handler.close_connection = True


@pytest.mark.parametrize("answer", [_short, _short_chunks, _no_http, _nothing])
def test_what_breaks_off_is_worth_a_retry(site, fetch, answer):
    site.answers["/v"] = answer
    with pytest.raises(SourceUnavailable) as caught:
        fetch("/v?sig=hunter2")
    assert "hunter2" not in str(caught.value)


def test_a_server_that_is_not_there_and_a_name_that_is_none_are_worth_a_retry(site, fetch, resolver):
    resolver.answers["gone.example"] = [[LOOPBACK]]
    closed = Outside(replace(site.reach, ports=frozenset({1})))
    with pytest.raises(SourceUnavailable, match=r"https://gone.example:1/v cannot be reached"):
        fetch("https://gone.example:1/v?sig=hunter2", closed)
    with pytest.raises(SourceUnavailable, match=r"https://nobody.example/v cannot be reached"):
        fetch("https://nobody.example/v")


# Time


def _drip_head(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)


def _drip_body(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)


def _drip_body_without_length(handler):
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)


def _silence(handler):
    handler.site.hold.wait(10)


@pytest.mark.parametrize("answer", [_drip_head, _drip_body, _drip_body_without_length, _silence])
def test_the_whole_may_not_take_longer_than_it_may(site, fetch, answer):
    site.answers["/v"] = answer
    began = time.monotonic()
    with pytest.raises(SourceUnavailable, match=r"took longer than 0.5 s|did not answer in time") as caught:
        fetch("/v?sig=hunter2", seconds=0.5)
    assert time.monotonic() - began < 2
    assert "hunter2" not in str(caught.value)


def test_redirects_share_the_time(site, fetch):
    def slow(handler):
        time.sleep(0.3)
        handler.say(302, Location="/v")

    site.answers["/v"] = slow
    with pytest.raises(SourceUnavailable):
        fetch("/v", seconds=0.5)
    assert len(site.asked) <= 2


def test_a_silent_server_is_left_after_a_while(site, fetch, monkeypatch):
    monkeypatch.setattr(module, "READ_SECONDS", 0.2)
    site.answers["/v"] = _silence
    with pytest.raises(SourceUnavailable, match="did not answer in time"):
        fetch("/v")


def test_a_job_that_is_revoked_stops_in_the_middle_of_a_fetch(site, fetch):
    def revoked(_):
        raise LeaseLost("another has it")

    site.answers["/v"] = _endless
    with pytest.raises(LeaseLost):
        fetch("/v", advance=revoked)


def test_a_full_disk_is_no_fault_of_the_source(site, tmp_path):
    site.answers["/v"] = BODY
    with pytest.raises(DiskFull):
        site.outside.fetch(
            site.url("/v"), tmp_path / "no" / "folder", max_bytes=1 << 20, seconds=5, advance=print
        )


def test_no_log_shows_a_query(site, fetch, resolver, caplog):
    caplog.set_level(logging.INFO)
    resolver.answers["trap.example"] = [["10.0.0.1"]]
    site.answers |= {"/ok": BODY, "/bad": _short}
    fetch("/ok?sig=hunter2")
    for url in (
        "/bad?sig=hunter2",
        "https://trap.example/v?sig=hunter2",
        "https://gone.example/?sig=hunter2",
    ):
        with pytest.raises((SourceUnavailable, UrlForbidden)):
            fetch(url)
    assert "hunter2" not in caplog.text


# Posting


def test_a_post_brings_its_body_and_learns_the_status(site):
    site.answers["/hook"] = lambda handler: handler.say(202)
    answer = site.outside.post(site.url("/hook?key=x"), b"body", {"webhook-id": "1"}, seconds=5)
    assert (answer.status, answer.retry_after_seconds) == (202, None)
    (asked,) = site.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/hook?key=x", b"body")
    assert asked.headers["webhook-id"] == "1"


def test_a_post_follows_no_redirect(site):
    site.answers["/hook"] = lambda handler: handler.say(307, Location="/other")
    assert site.outside.post(site.url("/hook"), b"body", {}, seconds=5).status == 307
    assert len(site.asked) == 1


def test_a_post_to_inside_is_refused_and_to_nobody_fails(site, strict):
    with pytest.raises(UrlForbidden):
        strict.post(site.url("/hook"), b"", {}, seconds=5)
    with pytest.raises(SourceUnavailable):
        site.outside.post("https://gone.example/hook", b"", {}, seconds=5)
    assert site.connections == 0


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("120", 120, 120),
        ("0", 0, 0),
        ("in an hour", 3500, 3600),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("99999999999999", 999_999_999, 999_999_999),
    ],
)
def test_how_long_a_receiver_asks_to_be_left_alone(site, header, low, high):
    if header == "in an hour":  # from now, and not from when this file was read
        header = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    site.answers["/hook"] = lambda handler: handler.say(503, Retry_After=header)
    answer = site.outside.post(site.url("/hook"), b"", {}, seconds=5)
    assert low <= answer.retry_after_seconds <= high


@pytest.mark.parametrize("header", ["soon", "-1", "", "1.5"])
def test_a_retry_after_that_means_nothing_is_none(site, header):
    site.answers["/hook"] = lambda handler: handler.say(503, Retry_After=header)
    assert site.outside.post(site.url("/hook"), b"", {}, seconds=5).retry_after_seconds is None


def test_the_rule_is_relaxed_for_the_named_address_alone():
    reach = Reach(also=frozenset({ip_address(LOOPBACK)}))
    assert reach.covers(ip_address(LOOPBACK))
    assert not reach.covers(ip_address("127.0.0.2"))
