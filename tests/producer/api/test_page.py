"""The page's files as they are served."""

import re

import pytest

from producer.api import page

PARTS = ("page.css", "page.js", "theme.js", "icon.svg")


def test_the_page_is_served_with_a_policy_that_runs_nothing_but_its_files(client):
    answer = client.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    for address in re.findall(r'(?:src|href)="(/web/[^"]+)"', answer.text):
        assert client.get(address).status_code == 200


@pytest.mark.parametrize("name", PARTS)
def test_a_file_that_the_browser_has_is_not_sent_again(client, name):
    first = client.get(f"/web/{name}")
    assert first.headers["cache-control"] == "no-cache"
    again = client.get(f"/web/{name}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js",
        "__init__.py",
        "..%2Fcli.py",
        "%2e%2e/cli.py",
        "demo/jobs.csv",
        "demo/..%2Fpyproject.toml",
    ],
)
def test_what_is_no_file_of_the_page_is_not_there(client, name):
    answer = client.get(f"/web/{name}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_the_page_needs_no_key_and_tells_that_all_else_does(two):
    ann, _ = two
    del ann.headers["Authorization"]
    for address in ("/", "/web/page.js", "/web/demo/pair"):
        assert ann.get(address).status_code == 200
    assert ann.get("/version").json()["key_needed"] is True
    assert ann.get("/batches").status_code == 401


def test_without_keys_none_is_asked_for(client):
    assert client.get("/version").json()["key_needed"] is False


def test_the_demo_s_pair_is_offered_where_there_is_a_demo(client, monkeypatch, tmp_path):
    pair = client.get("/web/demo/pair").json()
    assert client.get(pair["video"]).content == (page.demo_folder() / "portrait.mp4").read_bytes()
    assert client.get(pair["audio"]).headers["content-type"] == "audio/wav"
    monkeypatch.setattr(page, "demo_folder", lambda: tmp_path)
    assert client.get("/web/demo/pair").json() == {}
    assert client.get(pair["video"]).status_code == 404


def test_a_form_is_told_what_holds_where_it_says_nothing(client, settings):
    assert client.get("/options").json() == {
        "engine": settings.engine,
        "max_input_bytes": settings.max_input_bytes,
    }
