"""What a worker's container is told."""

import pytest
from pydantic import SecretStr

from contract.errors import BadRequest, ConfigurationError
from contract.settings import Settings
from producer.fleet.order import OF_AWS, environment_of, order_of, refuse_loopback

REACHABLE = {"redis_url": SecretStr("redis://:p%40ss@broker:6379/0"), "s3_endpoint": "http://store:8333"}


@pytest.fixture(autouse=True)
def _nobody_s_credentials(monkeypatch):
    for name in OF_AWS:
        monkeypatch.delenv(name, raising=False)


def test_workers_are_told_what_this_process_is_told_by_its_environment_and_its_file(monkeypatch, tmp_path):
    (tmp_path / "dubline.toml").write_text('namespace = "night"\nengine = "musetalk-v15"\n')
    monkeypatch.setenv("DUBLINE_CONFIG", str(tmp_path / "dubline.toml"))
    monkeypatch.setenv("DUBLINE_REDIS_URL", "redis://:p%40ss@broker:6379/0")
    monkeypatch.setenv("DUBLINE_GRACE_SECONDS", "45")
    monkeypatch.setenv("DUBLINE_ALLOW_HTTP", "true")
    monkeypatch.setenv("DUBLINE_API_BUCKETS", "one two")
    told = environment_of(Settings.read())
    assert told == {
        "DUBLINE_NAMESPACE": "night",
        "DUBLINE_ENGINE": "musetalk-v15",
        "DUBLINE_REDIS_URL": "redis://:p%40ss@broker:6379/0",
        "DUBLINE_GRACE_SECONDS": "45.0",
        "DUBLINE_ALLOW_HTTP": "True",
        "DUBLINE_API_BUCKETS": "one,two",
    }
    here = Settings.read()
    monkeypatch.delenv("DUBLINE_CONFIG")
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert Settings.read() == here, "a worker reads the same settings"


def test_folders_of_this_machine_and_secrets_that_no_worker_needs_stay_here():
    kept = {
        "weights": "/here",
        "scratch": "/here",
        "prepared": "/here",
        "gpu_locks": "/here",
        "webhook_secret": SecretStr("whsec_" + "a" * 32),
        "flower_password": SecretStr("secret"),
    }
    assert environment_of(Settings(**kept)) == {}


def test_credentials_by_the_names_of_aws_are_passed_on_where_the_settings_have_none(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "")
    assert environment_of(Settings()) == {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret"}
    own = {"s3_access_key": SecretStr("own"), "s3_secret_key": SecretStr("own")}
    assert not [name for name in environment_of(Settings(**own)) if name.startswith("AWS_")]


def test_a_worker_is_killed_only_after_its_grace_period():
    order = order_of(
        Settings(grace_seconds=600, **REACHABLE), "night", "image", None, ["weights:/weights:ro"]
    )
    assert order.stop_seconds >= 620
    assert (order.fleet, order.image, order.volumes) == ("night", "image", ("weights:/weights:ro",))


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({}, "REDIS_URL"),
        ({"redis_url": SecretStr("redis://localhost:6379/0")}, "REDIS_URL"),
        ({**REACHABLE, "s3_endpoint": "http://127.0.0.1:8333"}, "S3_ENDPOINT"),
    ],
)
def test_services_on_this_machine_s_loopback_cannot_be_reached_from_a_container(changed, name):
    settings = Settings(**changed)
    for network in (None, "dubline_default"):
        with pytest.raises(
            ConfigurationError, match=f"DUBLINE_{name} leads to this machine's loopback.*--network host"
        ):
            refuse_loopback(settings, network)
    for network in ("host", "container:broker"):
        refuse_loopback(settings, network)


def test_services_with_names_can_be_reached():
    refuse_loopback(Settings(**REACHABLE), "dubline_default")


@pytest.mark.parametrize("volume", ["weights", "weights:here", ":", "a:/b:ro:c"])
def test_a_volume_that_is_none_is_said(volume):
    with pytest.raises(BadRequest, match=r"--volume .* is not NAME:/path"):
        order_of(Settings(**REACHABLE), "night", "image", None, [volume])
