import logging

import pytest
from pydantic import SecretStr

from producer.api import gate
from producer.api.keyring import add_key, remove_key
from tests.producer.api.checks import problem

LINKS = ("/batches", "/jobs/" + "a" * 64, "/metrics", "/estimate?seconds=1", "/nothing")


def test_with_keys_nothing_is_told_to_whoever_has_none(serve, guarded_settings):
    add_key(guarded_settings.api_keys, "ann")
    with serve(guarded_settings).client() as stranger:
        for path in LINKS:
            answer = stranger.get(path)
            assert "Authorization: Bearer" in problem(answer, 401, "unauthenticated")["detail"]
            assert answer.headers["www-authenticate"] == "Bearer"
        problem(stranger.post("/generate", files={"video": b"x"}), 401, "unauthenticated")
        for path in ("/health/live", "/health/ready", "/version", "/openapi.json"):
            assert stranger.get(path).status_code == 200, path


@pytest.mark.parametrize("said", ["Bearer wrong", "Bearer", "Basic YTpi", "dub_x", "Bearer dub_\u00fc"])
def test_a_wrong_key_is_refused_also_beside_a_good_token(serve, guarded_settings, said):
    add_key(guarded_settings.api_keys, "ann")
    with serve(guarded_settings).client(headers={"Authorization": said.encode("latin-1")}) as stranger:
        problem(stranger.get("/batches"), 401, "unauthenticated")


def test_a_key_that_is_removed_opens_nothing_any_more(serve, guarded_settings, monkeypatch):
    monkeypatch.setattr("producer.api.keyring.LOOK_SECONDS", 0)
    key = add_key(guarded_settings.api_keys, "ann")
    add_key(guarded_settings.api_keys, "bob")
    with serve(guarded_settings).client(key) as ann:
        assert ann.get("/batches").status_code == 200
        remove_key(guarded_settings.api_keys, "ann")
        problem(ann.get("/batches"), 401, "unauthenticated")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "169.254.169.254",
        "0.0.0.0",
        "10.0.0.1",
        "127.0.0.1@evil.example",
        "[::2]",
        "localhost:99999999",
        "",
        "127.1 evil",
    ],
)
def test_without_keys_the_server_answers_to_names_of_this_machine_only(asker, host):
    problem(asker.get("/batches", headers={"Host": host}), 403, "request_forbidden")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:1", "[::1]:8080", "127.9.9.9"]
)
def test_without_keys_every_name_of_this_machine_will_do(asker, host):
    assert asker.get("/batches", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost", ""]
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/jobs"), ("GET", "/batches"), ("DELETE", "/batches/x")]
)
def test_without_keys_a_page_of_elsewhere_can_do_nothing(asker, method, path, origin):
    problem(asker.request(method, path, headers={"Origin": origin}), 403, "request_forbidden")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_without_keys_a_form_of_elsewhere_is_refused_though_its_browser_names_no_origin(asker, site):
    problem(asker.post("/generate", headers={"Sec-Fetch-Site": site}), 403, "request_forbidden")


def test_without_keys_its_own_page_and_a_link_to_it_are_served(asker):
    own = {"Origin": str(asker.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert asker.get("/batches", headers=own).status_code == 200
    assert (
        asker.get(
            "/version", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        ).status_code
        == 200
    )


def test_without_keys_another_machine_is_not_served():
    scope = {"client": ("192.0.2.7", 1), "scheme": "http", "method": "GET", "path": "/batches"}
    headers = gate.Headers({"host": "localhost"})
    with pytest.raises(gate.RequestForbidden, match="only this machine"):
        gate._refuse_strangers(scope, headers, (), ("192.0.2.8",))


def test_without_keys_an_address_that_is_trusted_counts_as_this_machine_for_requests_to_its_names():
    scope = {"client": ("192.0.2.7", 1), "scheme": "http", "method": "GET", "path": "/batches"}
    gate._refuse_strangers(scope, gate.Headers({"host": "localhost"}), (), ("192.0.2.7",))
    with pytest.raises(gate.RequestForbidden, match=r"not called 'evil\.example'"):
        gate._refuse_strangers(scope, gate.Headers({"host": "evil.example"}), (), ("192.0.2.7",))


def test_pages_of_the_origins_that_are_set_may_call_and_no_others(serve, settings):
    told = settings.model_copy(update={"api_origins": ("https://app.example",)})
    with serve(told).client() as page:
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        good = page.options("/jobs", headers={"Origin": "https://app.example", **asked})
        assert (good.status_code, good.headers["access-control-allow-origin"]) == (200, "https://app.example")
        assert (
            "access-control-allow-origin"
            not in page.options("/jobs", headers={"Origin": "https://evil.example", **asked}).headers
        )
        got = page.get("/batches", headers={"Origin": "https://app.example"})
        assert (got.status_code, got.headers["access-control-allow-origin"]) == (200, "https://app.example")
        problem(page.get("/batches", headers={"Origin": "https://evil.example"}), 403, "request_forbidden")


def test_without_set_origins_no_answer_speaks_of_them(asker):
    asked = {"Origin": str(asker.base_url), "Access-Control-Request-Method": "POST"}
    assert not [
        name for name in asker.options("/jobs", headers=asked).headers if name.startswith("access-control")
    ]


def test_every_answer_has_the_headers_that_keep_browsers_strict(asker):
    for path in ("/version", "/nothing", "/openapi.json"):
        headers = asker.get(path).headers
        for name, value in gate.HEADERS.items():
            assert headers[name] == value, (path, name)


def test_a_key_that_asks_too_often_is_told_when_to_come_back_and_others_are_not_held_up(
    serve, guarded_settings
):
    ann, bob = (add_key(guarded_settings.api_keys, name) for name in ("ann", "bob"))
    running = serve(guarded_settings.model_copy(update={"api_rate_per_minute": 5}))
    with running.client(ann) as first, running.client(bob) as second:
        assert [first.get("/estimate?seconds=1").status_code for _ in range(5)] == [200] * 5
        refused = first.get("/estimate?seconds=1")
        assert "more than 5 requests a minute" in problem(refused, 429, "too_many_requests")["detail"]
        assert 1 <= int(refused.headers["retry-after"]) <= 12
        assert second.get("/estimate?seconds=1").status_code == 200
        assert first.get("/health/live").status_code == 200, "a probe has no key and no limit"


def test_tokens_come_back_with_time(serve, guarded_settings):
    ann = add_key(guarded_settings.api_keys, "ann")
    with serve(guarded_settings.model_copy(update={"api_rate_per_minute": 60})).client(ann) as client:
        codes = [client.get("/estimate?seconds=1").status_code for _ in range(61)]
        assert codes[:60] == [200] * 60
        gate.time.sleep(1.1)
        assert client.get("/estimate?seconds=1").status_code == 200


def test_while_redis_is_away_nobody_is_held_up_and_it_is_said_once(serve, guarded_settings, caplog):
    ann = add_key(guarded_settings.api_keys, "ann")
    away = guarded_settings.model_copy(
        update={"redis_url": SecretStr("redis://127.0.0.1:1/0"), "api_rate_per_minute": 1}
    )
    with caplog.at_level(logging.WARNING, "producer.api.rate"), serve(away).client(ann) as client:
        assert [client.get("/estimate?seconds=1").status_code for _ in range(3)] == [200] * 3
    assert len([each for each in caplog.records if "requests are not counted" in each.message]) == 1


def test_figures_count_by_declared_address_and_nothing_that_a_client_wrote(client):
    for path in ("/jobs/" + "a" * 64, "/jobs/" + "b" * 64, "/wp-login.php", "/batches/mine"):
        client.get(path)
    client.request("BREW", "/version")
    told = client.get("/metrics").text
    assert 'dubline_api_requests_total{address="/jobs/{job}",method="GET",status="404"} 2.0' in told
    for written in ("wp-login", "aaaa", "mine", "BREW"):
        assert written not in told
