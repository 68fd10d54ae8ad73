"""Real connections: through TLS, as a user of the ACL, and to whoever the Sentinels call master.

`tls/` holds a certificate for 127.0.0.1 and its key, which nothing but these tests trusts.
"""

import asyncio
import secrets
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from pydantic import SecretStr

from contract.broker import QUEUE, make_app, publish
from contract.connection import connect
from contract.errors import BrokerUnavailable, ConfigurationError
from contract.job import Delivery, Job, Row, Source
from contract.ledger import Ledger, Progress

TLS = Path(__file__).parent / "tls"
CERTIFICATE, SERVER = TLS / "certificate.pem", TLS / "server.pem"
DELIVERY = Delivery(
    batch="batch", row=Row(id="row", job=Job(video=Source(uri="s3://b/v"), audio=Source(uri="s3://b/a")))
)


class TlsServer:
    """What stands before a Redis that speaks no TLS itself."""

    def __init__(self, target):
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._thread.start()
        assert self._started.wait(10)

    def close(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(SERVER)
        self._stop, self._passing = asyncio.Event(), set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        for each in self._passing:
            each.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)
        await asyncio.sleep(0.05)  # sockets close in the loop's next turns

    async def _accept(self, reader, writer):
        self._passing.add(asyncio.current_task())
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            await asyncio.gather(self._pass(reader, there_writer), self._pass(there_reader, writer))
        finally:
            for each in (writer, there_writer):
                each.transport.abort()

    async def _pass(self, reader, writer):
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest.fixture
def plain(settings):
    """The address of the tests' Valkey, taken apart."""
    return urlsplit(settings.redis_url.get_secret_value())


@pytest.fixture
def tls(plain):
    server = TlsServer(plain.port)
    yield server
    server.close()


def at(settings, url):
    return settings.model_copy(update={"redis_url": SecretStr(url)})


def use(settings):
    """Publish a job, take it as a worker does, and hold it; what a worker sees of it."""
    with make_app(settings) as app:
        publish(app, DELIVERY)
        with app.connection_for_read() as connection:
            queue = connection.SimpleQueue(QUEUE)
            message = queue.get(timeout=10)
            ledger = Ledger(settings)
            assert ledger.claim("job", "owner", 30).outcome == "claimed"
            assert ledger.beat("job", "owner", 30, message.delivery_tag, Progress("staging")) == "held"
            message.ack()
            queue.close()
    return Delivery.model_validate(message.payload[0][0])


def test_queue_and_ledger_go_through_tls_with_a_ca_of_one_s_own(settings, plain, tls):
    url = f"rediss://:{plain.password}@127.0.0.1:{tls.port}/0?ssl_ca_certs={CERTIFICATE}"
    assert use(at(settings, url)) == DELIVERY


def test_a_certificate_of_a_stranger_is_refused_by_queue_and_ledger(settings, plain, tls):
    stranger = at(settings, f"rediss://:{plain.password}@127.0.0.1:{tls.port}/0")
    with pytest.raises(BrokerUnavailable, match="certificate verify failed"):
        Ledger(stranger).ping()
    with make_app(stranger) as app, pytest.raises(BrokerUnavailable, match="certificate verify failed"):
        app.conf.broker_connection_timeout = 0.1
        publish(app, DELIVERY)


def test_a_certificate_of_another_host_is_refused(settings, plain, tls):
    url = f"rediss://:{plain.password}@localhost:{tls.port}/0?ssl_ca_certs={CERTIFICATE}"
    with pytest.raises(BrokerUnavailable, match="certificate verify failed"):
        Ledger(at(settings, url)).ping()


@pytest.fixture
def user(settings):
    """A user of the ACL who may touch what lies under the namespace and nothing else; login and password."""
    admin = connect(settings.redis_url.get_secret_value())
    name, password = f"user-{secrets.token_hex(4)}", "p@ss/word:1"
    rights = ["resetchannels", f"&{settings.namespace}:*", "+@all", "-@admin", "-@dangerous", "+info"]
    admin.execute_command("ACL", "SETUSER", name, "on", f">{password}", f"~{settings.namespace}:*", *rights)
    yield name, "p%40ss%2Fword%3A1"
    admin.execute_command("ACL", "DELUSER", name)
    admin.close()


def test_a_user_of_the_acl_who_may_touch_the_namespace_alone_is_enough(settings, plain, user):
    name, password = user
    url = f"redis://{name}:{password}@127.0.0.1:{plain.port}/0"
    assert use(at(settings, url)) == DELIVERY
    with connect(url) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.get("another's key")


def test_a_user_with_a_wrong_password_is_a_configuration_error(settings, plain, user):
    url = f"redis://{user[0]}:wrong@127.0.0.1:{plain.port}/0"
    with pytest.raises(ConfigurationError, match="DUBLINE_REDIS_URL"):
        Ledger(at(settings, url)).ping()
    with make_app(at(settings, url)) as app, pytest.raises(ConfigurationError, match="DUBLINE_REDIS_URL"):
        app.conf.broker_connection_timeout = 0.1
        publish(app, DELIVERY)


def test_sentinels_that_are_all_away_are_broker_unavailable(settings):
    url = "sentinel://127.0.0.1:1;sentinel://127.0.0.1:2/0?master=m"
    with pytest.raises(BrokerUnavailable, match="No master found for 'm'"):
        Ledger(at(settings, url)).ping()
