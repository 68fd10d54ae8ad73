import pytest

from contract.address import AddressFault, RedisAddress

STRICT = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}


@pytest.mark.parametrize(
    ("text", "hosts", "login", "db", "broker_url"),
    [
        ("redis://host", (("host", 6379),), (None, None), 0, "redis://host:6379/0"),
        ("redis://:p%40ss@host:1/2", (("host", 1),), (None, "p@ss"), 2, "redis://:p%40ss@host:1/2"),
        ("redis://ann:p%2F@h/", (("h", 6379),), ("ann", "p/"), 0, "redis://ann:p%2F@h:6379/0"),
        ("redis://ann@h", (("h", 6379),), ("ann", None), 0, "redis://ann@h:6379/0"),
        ("rediss://:x@[::1]:9/1", (("::1", 9),), (None, "x"), 1, "rediss://:x@[::1]:9/1"),
        (
            "sentinel://ann:x@a;sentinel://b:7/3?master=m",
            (("a", 26379), ("b", 7)),
            ("ann", "x"),
            3,
            "sentinel://ann:x@a:26379/3;sentinel://ann:x@b:7/3",
        ),
    ],
)
def test_an_address_is_taken_apart_and_put_together_for_the_broker(text, hosts, login, db, broker_url):
    address = RedisAddress.parse(text)
    assert (address.hosts, (address.username, address.password), address.db) == (hosts, login, db)
    assert address.broker_url == broker_url


@pytest.mark.parametrize(
    ("query", "tls"),
    [
        ("", STRICT),
        ("?ssl_ca_certs=/etc/ca.pem", STRICT | {"ssl_ca_certs": "/etc/ca.pem"}),
        ("?ssl_check_hostname=false", STRICT | {"ssl_check_hostname": False}),
        ("?ssl_cert_reqs=none", {"ssl_cert_reqs": "none", "ssl_check_hostname": False}),
        ("?ssl_certfile=/c&ssl_keyfile=/k", STRICT | {"ssl_certfile": "/c", "ssl_keyfile": "/k"}),
    ],
)
def test_tls_looks_at_certificates_unless_told_otherwise(query, tls):
    assert RedisAddress.parse(f"rediss://host{query}").tls == tls


def test_sentinels_have_a_master_s_name_and_may_have_a_login_of_their_own():
    address = RedisAddress.parse("sentinel://a?master=m&sentinel_username=u&sentinel_password=p%40")
    assert (address.master, address.sentinel_login) == ("m", {"username": "u", "password": "p@"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host:6379",
        "http://host",
        "redis://",
        "redis://:hunter2/1@host",
        "redis://host:hunter2",
        "redis://host:0",
        "redis://host:99999",
        "redis://host/hunter2",
        "redis://host/-1",
        "redis://host?hunter2",
        "redis://host?timeout=1",
        "redis://host?ssl_ca_certs=/ca.pem",
        "redis://[hunter2/1",
        "redis://a;redis://b",
        "rediss://host?ssl_cert_reqs=perhaps",
        "rediss://host?ssl_check_hostname=perhaps",
        "rediss://host?ssl_ca_certs=",
        "sentinel://a",
        "sentinel://a;redis://b?master=m",
        "sentinel://a/1;sentinel://b?master=m",
        "sentinel://a;b?master=m",
    ],
)
def test_what_is_no_address_is_refused_and_not_shown(text):
    with pytest.raises(AddressFault) as caught:
        RedisAddress.parse(text)
    assert "hunter2" not in str(caught.value)


def test_a_password_is_not_shown():
    address = RedisAddress.parse("sentinel://:hunter2@a?master=m&sentinel_password=hunter2")
    assert "hunter2" not in repr(address)
