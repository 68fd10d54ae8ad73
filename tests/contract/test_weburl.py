import ipaddress

import pytest

from contract.weburl import MAX_BYTES, Reach, UrlFault, WebUrl, is_public, shown

INSIDE = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",  # shared by carriers, and inside clouds
    "100.100.100.200",  # Alibaba's metadata
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",  # Azure's
    "169.254.169.254",  # AWS's, Google's, Azure's
    "169.254.170.2",  # of containers
    "172.16.0.1",
    "192.0.0.192",  # Oracle's
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a9fe:a9fe",
    "100::1",
    "2001::1",  # Teredo
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:a9fe:a9fe::1",
    "2002:7f00:1::",
    "3fff::1",
    "2a00:1450::5efe:7f00:1",  # ISATAP
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",  # AWS's metadata
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "223.255.255.1",
    "2606:4700::1111",
    "2a00:1450:4001:80b::200e",
]


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_of_inside_is_not_public(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", [*PUBLIC, "::ffff:8.8.8.8"])
def test_an_address_of_everybody_is(address):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not an https"),
        ("file:///etc/passwd", "not an https"),
        ("gopher://host/", "not an https"),
        ("ftp://host/v.mp4", "not an https"),
        ("//host/v.mp4", "not an https"),
        ("https://", "without a host"),
        ("https:///v.mp4", "without a host"),
        ("https://?v.mp4", "without a host"),
        ("https:host/v.mp4", "not an https"),
        ("http://host/v.mp4", "http://"),
        ("HTTP://host/v.mp4", "http://"),
        ("https://user:hunter2@host/v.mp4", "a user or a password"),
        ("https://hunter2@host/v.mp4", "a user or a password"),
        ("https://host:8443/v.mp4", "port 8443"),
        ("https://host:22/", "port 22"),
        ("https://host:0/", "port 0"),
        ("https://host:99999/", "port 99999"),
        ("https://host:/v.mp4", "not a URL"),
        ("https://host:port/v.mp4", "not a URL"),
        ("https://[::1/v.mp4", "not a URL"),
        ("https://[fe80::1%25eth0]/v.mp4", "not a URL"),
        ("https://%31%32%37.0.0.1/", "not a URL"),
        ("https://host\\@hunter2.example/v.mp4", "backslash"),
        ("https://host/a b.mp4", "a blank"),
        ("https://host/a\u2003b.mp4", "a blank"),
        ("https://host/a\r\nX-Odd: hunter2", "control character"),
        ("https://host/a\x00.mp4", "control character"),
        ("https://host/\ta.mp4", "control character"),
        (f"https://host/{'a' * MAX_BYTES}", "more than 8,192 bytes"),
        (f"https://{'a' * 64}.example/", "host cannot be one"),
        ("https://a..example/", "host cannot be one"),
        ("https://./", "host cannot be one"),
        ("https://127.0.0.1/", "not public"),
        ("https://2130706433/", "not public"),
        ("https://0177.0.0.1/", "not public"),
        ("https://017700000001/", "not public"),
        ("https://0x7f.1/", "not public"),
        ("https://0x7f000001/", "not public"),
        ("https://127.1/", "not public"),
        ("https://0/", "not public"),
        ("https://127.0.0.1./", "not public"),
        ("https://169.254.169.254/latest/meta-data", "not public"),
        ("https://[::1]/", "not public"),
        ("https://[::ffff:127.0.0.1]/", "not public"),
        ("https://[::ffff:7f00:1]/", "not public"),
        ("https://[64:ff9b::a9fe:a9fe]/", "not public"),
    ],
)
def test_what_is_no_url_to_fetch_from_is_refused_and_not_shown(text, said):
    with pytest.raises(UrlFault, match=said) as caught:
        WebUrl.parse(text, Reach())
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "host", "port", "path"),
    [
        ("https://host/v.mp4?sig=x", "host", None, "/v.mp4"),
        ("HTTPS://Host.Example", "Host.Example", None, "/"),
        ("https://host:443/a@b", "host", 443, "/a@b"),
        ("https://host:80?x", "host", 80, "/"),
        ("https://bücher.example/ü.mp4", "bücher.example", None, "/ü.mp4"),
        ("https://[2606:4700::1111]/v", "2606:4700::1111", None, "/v"),
        ("https://8.8.8.8/v", "8.8.8.8", None, "/v"),
        ("https://host/v?a=b@c:d#t=1", "host", None, "/v"),
    ],
)
def test_a_url_is_taken_apart(text, host, port, path):
    url = WebUrl.parse(text, Reach())
    assert (url.scheme, url.host, url.port, url.path) == ("https", host, port, path)
    assert url.text == "https" + text[5:]


def test_http_is_for_those_who_say_so():
    assert WebUrl.parse("http://host/v.mp4", Reach(http=True)).scheme == "http"


def test_of_a_query_nothing_is_shown():
    url = WebUrl.parse("https://host:443/v.mp4?X-Amz-Signature=hunter2#hunter2", Reach())
    assert url.shown == "https://host:443/v.mp4"
    assert "hunter2" not in repr(url)
    assert WebUrl.parse("https://[2606:4700::1111]/v?hunter2", Reach()).shown == "https://[2606:4700::1111]/v"


def test_a_key_of_the_store_may_have_a_question_mark():
    assert shown("s3://bucket/what?.mp4") == "s3://bucket/what?.mp4"
    assert shown("https://host/v.mp4?sig#t") == "https://host/v.mp4"
