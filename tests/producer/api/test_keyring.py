import os
import stat

import pytest

from contract.errors import BadRequest, ConfigurationError, NotFound
from producer.api import keyring
from producer.api.keyring import Keyring, add_key, read_keys, remove_key

JOB = "a" * 64


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "keys.toml"


def test_a_key_is_told_once_and_only_its_hash_is_kept(path):
    key = add_key(path, "studio")
    assert key.startswith("dub_") and len(key) > 40
    assert key not in path.read_text()
    assert Keyring(path).owner(key) == "studio"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("wrong", ["", "dub_", "dub_x", "ü", "\x00", "studio"])
def test_what_is_no_key_belongs_to_nobody(path, wrong):
    add_key(path, "studio")
    assert Keyring(path).owner(wrong) is None


def test_a_file_that_is_not_there_or_not_named_holds_no_keys(path):
    assert Keyring(path).is_empty
    assert Keyring(None).is_empty


def test_keys_come_and_go_without_a_restart(path, monkeypatch):
    monkeypatch.setattr(keyring, "LOOK_SECONDS", 0)
    ring = Keyring(path)
    first, second = add_key(path, "one"), add_key(path, "two")
    assert (ring.owner(first), ring.owner(second)) == ("one", "two")
    remove_key(path, "one")
    assert (ring.owner(first), ring.owner(second)) == (None, "two")


def test_a_file_that_was_broken_meanwhile_changes_nothing_and_is_told_of(path, monkeypatch, caplog):
    monkeypatch.setattr(keyring, "LOOK_SECONDS", 0)
    key = add_key(path, "studio")
    ring = Keyring(path)
    path.write_text("[keys\n")
    assert ring.owner(key) == "studio"
    assert ring.owner(key) == "studio"
    assert [each.message for each in caplog.records if "no file of keys" in each.message] == [
        f"{path} is no file of keys; `dubline keys add` writes one; the keys of before stay good"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "[keys\n",
        "keys = 1\n",
        '[keys]\nstudio = "secret"\n',
        '[other]\na = "b"\n',
        "\xff",
        f'[keys]\n"A B" = "{"0" * 64}"\n',
    ],
)
def test_a_file_of_something_else_is_refused_at_the_start(path, text):
    path.parent.mkdir()
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigurationError, match="no file of keys"):
        Keyring(path)


@pytest.mark.parametrize("name", ["", "Studio", "a b", "a--b", "-a", "a-", "a" * 33, "ü", "a/b"])
def test_a_name_that_could_not_stand_before_a_batch_is_refused(path, name):
    with pytest.raises(BadRequest, match="small letters"):
        add_key(path, name)
    assert not path.exists()


def test_a_name_is_given_once(path):
    add_key(path, "studio")
    with pytest.raises(BadRequest, match="already"):
        add_key(path, "studio")


def test_a_key_that_is_not_there_cannot_be_removed(path):
    with pytest.raises(NotFound, match="no key 'studio'"):
        remove_key(path, "studio")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        add_key(tmp_path / "keys.toml", "studio")


def test_a_path_below_a_file_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"cannot be (read|written)"):
        add_key(tmp_path / "file" / "keys.toml", "studio")


def test_a_token_is_good_for_its_matter_and_its_time_and_ends_with_the_key(path, monkeypatch):
    add_key(path, "studio")
    ring = Keyring(path)
    token = ring.token("studio", JOB)
    assert ring.owner_of_token(token, JOB) == "studio"
    assert ring.owner_of_token(token, "b" * 64) is None
    assert ring.token("studio", JOB) == token, "a player that asks again asks for the same address"
    now = keyring.time.time()
    monkeypatch.setattr(keyring.time, "time", lambda: now + 2 * keyring.TOKEN_SECONDS)
    assert ring.owner_of_token(token, JOB) is None
    monkeypatch.undo()
    remove_key(path, "studio")
    assert Keyring(path).owner_of_token(token, JOB) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token.replace("studio", "other"),
        lambda token: token[:-1] + ("0" if token[-1] != "0" else "1"),
        lambda token: token.replace(".", ".9", 1),
        lambda token: token.rpartition(".")[0] + ".",
        lambda token: token.rpartition(".")[0] + ".ü",
        lambda token: "",
        lambda token: "..",
        lambda token: "studio." + "9" * 5000 + ".0",
        lambda token: "studio.-1.0",
        lambda token: "studio.²." + token.rpartition(".")[2],
    ],
)
def test_a_token_that_was_changed_is_worth_nothing(path, change):
    add_key(path, "studio")
    add_key(path, "other")
    ring = Keyring(path)
    assert ring.owner_of_token(change(ring.token("studio", JOB)), JOB) is None


def test_names_are_listed_without_their_keys(path):
    add_key(path, "two")
    add_key(path, "one")
    assert sorted(read_keys(path)) == ["one", "two"]
