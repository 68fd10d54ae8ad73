"""A real engine, where one answers, and images without a file: their containers run this machine's own programs, mounted."""

import io
import json
import secrets
import tarfile

import pytest

from contract.errors import ConfigurationError


@pytest.fixture(scope="session")
def engine():
    """A host with a fleet's name of this run, whose containers go with it."""
    pytest.importorskip("docker", reason="Docker's SDK is not installed")
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


def clear(host):
    """Remove all containers of the tests' fleet."""
    for each in host._client.containers.list(all=True, filters={"label": f"dubline.fleet={host._fleet}"}):
        each.remove(v=True, force=True)
