from pathlib import Path

import pytest

from contract.errors import ConfigurationError
from contract.settings import Settings

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))


@pytest.fixture
def config(tmp_path, monkeypatch):
    def write(text):
        (tmp_path / "dubline.toml").write_text(text)
        monkeypatch.setenv("DUBLINE_CONFIG", str(tmp_path / "dubline.toml"))

    return write


def test_without_a_word_it_is_this_machine():
    settings = Settings.read()
    assert settings.redis_url.get_secret_value() == "redis://127.0.0.1:6379/0"
    assert settings.model_fields_set == set()


def test_an_empty_variable_is_as_none(monkeypatch):
    monkeypatch.setenv("DUBLINE_S3_ENDPOINT", "")
    monkeypatch.setenv("DUBLINE_METRICS_PORT", "")
    assert (Settings.read().s3_endpoint, Settings.read().metrics_port) == (None, None)


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(config, monkeypatch):
    config('lease_seconds = 7\ncurrency = "EUR"')
    monkeypatch.setenv("DUBLINE_LEASE_SECONDS", "9")
    settings = Settings.read()
    assert (settings.lease_seconds, settings.currency, settings.attempts) == (9.0, "EUR", 3)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DUBLINE_REDIS_ULR", "redis://x", "DUBLINE_REDIS_ULR is not a setting"),
        ("DUBLINE_LEASE_SECONDS", "0", "DUBLINE_LEASE_SECONDS: Input should be greater than 0"),
        ("DUBLINE_ENGINE", "magic", "DUBLINE_ENGINE"),
        ("DUBLINE_API_TRUSTED", "gateway", "DUBLINE_API_TRUSTED: 'gateway' does not appear to be an IPv4"),
        ("DUBLINE_CONFIG", "/nowhere.toml", "DUBLINE_CONFIG names /nowhere.toml, which is not a file"),
    ],
)
def test_a_wrong_variable_fails_with_its_name(monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=said):
        Settings.read()


def test_what_is_wrong_with_the_settings_of_a_process_of_celery_is_its_last_line(monkeypatch):
    monkeypatch.setenv("DUBLINE_ENGINE", "magic")
    with pytest.raises(SystemExit, match=r"^error \[configuration\]: settings are wrong: DUBLINE_ENGINE"):
        Settings.read_or_exit()


def test_a_wrong_key_of_the_file_fails_with_its_name(config):
    config("lease_secs = 3")
    with pytest.raises(ConfigurationError, match="LEASE_SECS"):
        Settings.read()


def test_a_file_that_is_not_toml_fails_with_its_name(config):
    config("lease_seconds: 3")
    with pytest.raises(ConfigurationError, match=r"dubline\.toml"):
        Settings.read()


@pytest.mark.parametrize(
    "url",
    [
        "redis://ann:secret@host/1",
        "rediss://:secret@host:6380/0?ssl_ca_certs=/etc/ca.pem",
        "sentinel://:secret@a:26379;sentinel://b:26379/0?master=m",
    ],
)
def test_redis_may_be_anywhere(monkeypatch, url):
    monkeypatch.setenv("DUBLINE_REDIS_URL", url)
    assert Settings.read().redis_url.get_secret_value() == url


@pytest.mark.parametrize(
    "url",
    [
        "localhost:6379",
        "http://host",
        "redis://",
        "redis://:hunter2/1@host",
        "redis://h:hunter2",
        "sentinel://a",
    ],
)
def test_an_address_that_is_none_of_redis_fails_at_once_and_is_not_shown(monkeypatch, url):
    monkeypatch.setenv("DUBLINE_REDIS_URL", url)
    with pytest.raises(ConfigurationError, match=r"DUBLINE_REDIS_URL.*percent-encoded") as caught:
        Settings.read()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_configs_of_the_tree_are_valid(monkeypatch, path):
    monkeypatch.setenv("DUBLINE_CONFIG", str(path))
    assert Settings.read().model_fields_set


@pytest.mark.parametrize("name", ["redis_url", "s3_access_key", "s3_secret_key", "flower_password"])
def test_secrets_are_not_shown(monkeypatch, name):
    monkeypatch.setenv(f"DUBLINE_{name.upper()}", "redis://:hunter2@host")
    settings = Settings.read()
    assert "hunter2" not in repr(settings) + str(settings) + settings.model_dump_json()


@pytest.mark.parametrize(
    "secret",
    ["hunter2", "whsec_", "whsec_hunter2!", "whsec_" + "QUJD" * 7, "whsec_" + "QUJD" * 22, "QUJD" * 8],
)
def test_a_webhook_secret_that_cannot_sign_fails_at_once_and_is_not_shown(monkeypatch, secret):
    monkeypatch.setenv("DUBLINE_WEBHOOK_SECRET", secret)
    with pytest.raises(ConfigurationError, match=r"DUBLINE_WEBHOOK_SECRET: it must be whsec_ and") as caught:
        Settings.read()
    assert "QUJD" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("secret", ["whsec_" + "QUJD" * 8, "whsec_" + "QUJD" * 21])
def test_a_webhook_secret_has_24_to_64_bytes(monkeypatch, secret):
    monkeypatch.setenv("DUBLINE_WEBHOOK_SECRET", secret)
    assert Settings.read().webhook_secret.get_secret_value() == secret
    assert "QUJD" not in repr(Settings.read())


def test_a_second_costs_a_3600th_of_an_hour():
    assert Settings(price_per_hour=3.6).price_per_second == pytest.approx(0.001)
