"""What a worker's container is told: what this process is told, but for what is of this machine or no worker's business."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from contract.address import RedisAddress
from contract.errors import BadRequest, ConfigurationError
from contract.settings import PREFIX, Settings
from producer.fleet.host import Order

KEPT_BACK = frozenset(
    # folders of this machine: the image has its own
    {"scratch", "weights", "prepared", "api_keys", "gpu_locks"}
    # secrets that no worker needs
    | {"webhook_secret", "flower_user", "flower_password"}
)
OF_AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""Credentials by AWS's own names, where the settings name none."""
AFTER_GRACE_SECONDS = 30.0
"""A worker needs 15 s at most to give its job back, and a few to end."""
LOOPBACK = ("127.", "localhost", "::1", "[::1]")


def order_of(
    settings: Settings, fleet: str, image: str, network: str | None, volumes: Sequence[str]
) -> Order:
    """What all workers of a fleet are told.

    Raises:
        BadRequest: a volume is not NAME:/path.
    """
    for each in volumes:
        if each.count(":") not in (1, 2) or not each.split(":")[1].startswith("/"):
            raise BadRequest(f"--volume {each} is not NAME:/path or NAME:/path:ro, as Docker writes them")
    return Order(
        image=image,
        fleet=fleet,
        environment=environment_of(settings),
        network=network,
        volumes=tuple(volumes),
        stop_seconds=round(settings.grace_seconds + AFTER_GRACE_SECONDS),
    )


def environment_of(settings: Settings) -> dict[str, str]:
    """The settings that were told to this process, by its environment or its file, as variables; and credentials of AWS."""
    told = {name: getattr(settings, name) for name in sorted(settings.model_fields_set - KEPT_BACK)}
    named = {PREFIX + name.upper(): _text(value) for name, value in told.items() if value is not None}
    own_keys = (
        {} if settings.s3_access_key else {name: os.environ[name] for name in OF_AWS if os.environ.get(name)}
    )
    return named | own_keys


def _text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(value)
    return value.as_posix() if isinstance(value, Path) else str(value)


def refuse_loopback(settings: Settings, network: str | None) -> None:
    """In a network of its own a container that asks 127.0.0.1 asks itself.

    Raises:
        ConfigurationError: the settings name services of this machine that workers there cannot reach.
    """
    if network == "host" or (network or "").startswith("container:"):
        return
    hosts = {
        "REDIS_URL": [host for host, _ in RedisAddress.parse(settings.redis_url.get_secret_value()).hosts]
    }
    if settings.s3_endpoint:
        hosts["S3_ENDPOINT"] = [settings.s3_endpoint.partition("://")[2]]
    for name, named in hosts.items():
        if any(each.startswith(LOOPBACK) for each in named):
            raise ConfigurationError(
                f"{PREFIX}{name} leads to this machine's loopback, and a worker's container cannot reach it; "
                "name an address that it can reach, or give --network host"
            )
