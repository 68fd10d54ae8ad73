"""Real connections: through TLS, as a user of the ACL, and to whoever the Sentinels call master."""

import pytest
import redis
from pydantic import SecretStr

from contract.broker import QUEUE, make_app, publish
from contract.connection import connect
from contract.errors import BrokerUnavailable, ConfigurationError
from contract.job import Delivery, Job, Row, Source
from contract.ledger import Ledger, Progress
from tests.brokers import CERTIFICATE

DELIVERY = Delivery(
    batch="batch", row=Row(id="row", job=Job(video=Source(uri="s3://b/v"), audio=Source(uri="s3://b/a")))
)


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
