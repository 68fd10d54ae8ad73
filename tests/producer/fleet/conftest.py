"""A real engine, where one answers, and images without a file: their containers run this machine's own programs, mounted."""

import io
import json
import os
import secrets
import socket
import tarfile

import pytest

from contract.errors import ConfigurationError


@pytest.fixture(scope="session")
def engine():
    """A host with a fleet's name of this run, whose containers go with it."""
    pytest.importorskip("docker", reason="Docker's SDK is not installed")
    _skip_without_socket(os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock")
    from producer.fleet.dockerhost import connect_hosts

    try:
        (host,) = connect_hosts([None], f"test-{secrets.token_hex(4)}")
    except ConfigurationError as error:
        pytest.skip(f"no engine: {error.message}")
    yield host
    clear(host)
    host.close()


@pytest.fixture
def host(engine):
    """The same, with no container of an earlier test."""
    yield engine
    clear(engine)


@pytest.fixture(scope="session")
def image(engine):
    """Make an image with this entrypoint and these variables; its name."""
    made, nothing = [], io.BytesIO()
    with tarfile.open(fileobj=nothing, mode="w"):
        pass

    def make(*entrypoint, **variables):
        tag = secrets.token_hex(4)
        told = [f"ENV {name}={value}" for name, value in {"TMPDIR": "/scratch", **variables}.items()]
        changes = [f"ENTRYPOINT {json.dumps(entrypoint)}", "VOLUME /scratch", *told]
        engine._client.api.import_image_from_data(
            nothing.getvalue(), repository="dubline-fleet-test", tag=tag, changes=changes
        )
        made.append(f"dubline-fleet-test:{tag}")
        return made[-1]

    yield make
    clear(engine)
    for each in made:
        engine._client.images.remove(each, force=True)


def _skip_without_socket(address):
    """The SDK would say so, too, but leaves a socket open then."""
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(address.removeprefix("unix://"))
            except OSError as error:
                pytest.skip(f"no engine at {address}: {error}")


def clear(host):
    """Remove all containers of the tests' fleet."""
    for each in host._client.containers.list(all=True, filters={"label": f"dubline.fleet={host._fleet}"}):
        each.remove(v=True, force=True)
