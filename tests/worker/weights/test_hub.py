import os
import sys

import pytest

from contract.errors import ConfigurationError
from worker import weights


def test_a_file_is_fetched_at_its_pinned_commit_and_its_hash_is_asked_of_the_hub_first(
    hub, unet, cache, content
):
    weights.fetch(["unet"], cache)
    assert weights.path("unet", cache).read_bytes() == content
    assert [(method, path) for method, path, _ in hub.asked] == [
        ("HEAD", f"/lab/tiny/resolve/{unet.source.commit}/net/unet.pth"),
        ("GET", f"/lfs/{unet.source.commit}/net/unet.pth?signed=1"),
    ]


def test_no_network_is_used_when_all_is_there(hub, unet, cache):
    weights.fetch(["unet"], cache)
    hub.asked.clear()
    weights.fetch(["unet"], cache)
    weights.verify(["unet"], cache)
    assert hub.asked == []


def test_a_process_of_its_own_asks_the_hub_for_the_file_and_tells_it_nothing_else(
    hub, unet, cache, tmp_path, fetch_in_a_process
):
    home = {
        **os.environ,
        "HF_HOME": str(tmp_path / "new home"),
    }  # where nothing is cached of the library's own
    assert fetch_in_a_process(unet, cache, env=home).wait(60) == 0
    assert [method for method, _, _ in hub.asked] == ["HEAD", "GET"]
    assert {headers["user-agent"] for _, _, headers in hub.asked} == {"dubline"}


def test_the_users_token_goes_to_the_hub_alone_and_nothing_is_told_of_this_machine(
    hub, unet, cache, monkeypatch
):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    weights.fetch(["unet"], cache)
    (_, _, head), (_, _, get) = hub.asked
    assert head["authorization"] == "Bearer hf_secret"
    assert "authorization" not in get  # a signed address on another host
    assert {head["user-agent"], get["user-agent"]} == {"dubline"}


def test_a_mirror_that_serves_the_file_itself_gets_the_token_for_it_too(hub, unet, cache, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.redirect = False
    weights.fetch(["unet"], cache)
    assert [headers["authorization"] for _, _, headers in hub.asked] == ["Bearer hf_secret"] * 2


def test_a_token_does_not_follow_a_redirect_to_another_host(hub, unet, cache, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.redirect, hub.moved, hub.cut = False, True, [1000]
    weights.fetch(["unet"], cache)
    assert {path.split("/")[1]: "authorization" in headers for _, path, headers in hub.asked} == {
        "lab": True,
        "lfs": False,
    }
    assert [headers["range"] for path, headers in hub.gets if "lfs" in path] == ["bytes=0-", "bytes=1000-"]


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({"X-Linked-Etag": '"' + "0" * 64 + '"'}, "the hub's LFS SHA-256 of http.*unet.pth is 000"),
        (
            {"X-Linked-Size": "12"},
            "the hub's size of .* is 12, not 196615 as the registry says of weights unet",
        ),
        ({"X-Repo-Commit": "f" * 40}, "the hub's commit of .* is ffff"),
    ],
)
def test_a_hub_that_disagrees_with_the_registry_is_refused_before_a_byte_is_fetched(
    hub, unet, cache, claim, message
):
    hub.claims = claim
    with pytest.raises(ConfigurationError, match=message):
        weights.fetch(["unet"], cache)
    assert hub.gets == []
    assert [found for found in cache.rglob("*") if found.is_file()] == []


def test_bytes_that_hash_to_something_else_are_refused_and_not_kept(hub, unet, cache, content):
    commit_file = f"{unet.source.commit}/net/unet.pth"
    hub.claims = {"X-Linked-Etag": f'"{unet.sha256}"'}
    hub.files[commit_file] = content[:-1] + b"?"
    with pytest.raises(
        ConfigurationError, match=r"is not the file of weights unet: its SHA-256 is .*nothing was kept"
    ):
        weights.fetch(["unet"], cache)
    assert [found for found in cache.rglob("*") if found.is_file()] == []
    hub.files[commit_file] = content
    weights.fetch(["unet"], cache)
    assert weights.path("unet", cache).read_bytes() == content


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "answers 401 for weights unet .*check HF_TOKEN"),
        (403, "answers 403 .*check HF_TOKEN"),
        (404, "answers 404 .*check that HF_ENDPOINT mirrors that commit"),
    ],
)
def test_a_hub_that_refuses_is_asked_once(hub, unet, cache, status, message):
    hub.status = [status]
    with pytest.raises(ConfigurationError, match=message):
        weights.fetch(["unet"], cache)
    assert len(hub.asked) == 1


def test_a_hub_that_is_busy_is_asked_again(hub, unet, cache, content):
    hub.status = [503, 429, 500]
    weights.fetch(["unet"], cache)
    assert weights.path("unet", cache).read_bytes() == content


def test_a_hub_that_is_not_there_is_an_error_that_says_how_to_go_on(hub, unet, cache, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # discard: nobody listens
    with pytest.raises(
        ConfigurationError, match=r"check the network and run `dubline models fetch unet` to go on"
    ):
        weights.fetch(["unet"], cache)


def test_offline_mode_is_respected_and_named(hub, unet, cache, monkeypatch):
    monkeypatch.setattr(
        "huggingface_hub.constants.HF_HUB_OFFLINE", True
    )  # read from the environment at import
    with pytest.raises(ConfigurationError, match="while HF_HUB_OFFLINE is set"):
        weights.fetch(["unet"], cache)
    assert hub.asked == []


def test_without_huggingface_hub_the_error_says_what_to_install(hub, unet, cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # importing it fails as without the library
    with pytest.raises(ConfigurationError, match=r"pip install 'dubline\[musetalk\]'"):
        weights.fetch(["unet"], cache)
