"""The queue: Celery on Redis, one task, settings that were measured (reliability.md 4.4)."""

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from celery import Celery
from celery.exceptions import OperationalError as CeleryOperationalError
from kombu.entity import Queue
from kombu.exceptions import OperationalError
from redis import AuthenticationError

from contract.address import RedisAddress
from contract.connection import SOCKET_OPTIONS, sentinel_options
from contract.errors import BrokerUnavailable, ConfigurationError
from contract.job import Delivery, Priority
from contract.settings import Settings

QUEUE = "dubline"
TASK = "dubline.render"
VISIBILITY_SECONDS = 120
"""After this long without a beat the broker delivers a message again."""
LIMIT_MARGIN_SECONDS = 30.0
"""The child minds the time limit itself and says what was wrong; Celery kills one that does not even do that."""

SETUP_SECONDS = 600.0
"""A child that is not ready after this long is killed and replaced. It imports and sets up; Celery's default is 4 s."""
_JOB = "dubline-job"
"""Header of a message: its job's id, also for workers that cannot read the rest."""

# kombu's Redis transport: 0 is served first.
_URGENT = 0
_PRIORITIES: dict[Priority, int] = {"high": 1, "normal": 3, "low": 6}
PRIORITY_STEPS = [_URGENT, *sorted(_PRIORITIES.values())]
"""The queue's lists in the order they are served. A list is emptied before the next: what lies in the queue at one time is a
small window (`producer/feeder.py`), so that the low ones come to be the only ones in it, and are served."""
LISTS: dict[str, int] = {"urgent": _URGENT, **dict(sorted(_PRIORITIES.items(), key=lambda each: each[1]))}
"""The step of each list by its name, first served first."""
CONTROL_SECONDS = 2.0
"""A worker's parent, which runs no job itself, answers within this time or is not there."""
PUBLISHED = "published"
"""The header that says when a message was published, in seconds since 1970 by its publisher's clock."""


def make_app(settings: Settings) -> Celery:
    """The Celery app of this process; nothing connects yet."""
    address = RedisAddress.parse(settings.redis_url.get_secret_value())
    app = Celery("dubline", broker=address.broker_url)
    app.conf.update(
        # Spelled out: kombu takes rediss:// without it for TLS with any certificate.
        broker_use_ssl=address.tls,
        # JSON only, and no results: what a job made is its manifest.
        accept_content=["json"],
        task_serializer="json",
        result_backend=None,
        task_ignore_result=True,
        # A message is held until its job ended, and goes to another worker when this one dies.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_track_started=False,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=settings.grace_seconds,
        # A message names its own limit; this is the limit of those that do not.
        task_time_limit=settings.time_limit_seconds + LIMIT_MARGIN_SECONDS,
        # One job at a time, in a child that imports what is heavy; the parent never does.
        worker_pool="prefork",
        worker_concurrency=1,
        worker_pool_start_method="spawn",
        worker_proc_alive_timeout=SETUP_SECONDS,
        worker_send_task_events=True,
        task_send_sent_event=True,
        worker_hijack_root_logger=False,
        task_queues=[Queue(QUEUE)],  # type: ignore[no-untyped-call]
        task_default_queue=QUEUE,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_SECONDS,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "unacked_mutex_expire": 15,
            **SOCKET_OPTIONS,
            **_sentinels(address),
            "priority_steps": PRIORITY_STEPS,
            "global_keyprefix": f"{settings.namespace}:",
        },
    )
    return app


def _sentinels(address: RedisAddress) -> dict[str, Any]:
    if address.master is None:
        return {}
    return {"master_name": address.master, "sentinel_kwargs": sentinel_options(address)}


def publish(app: Celery, delivery: Delivery, *, urgent: bool = False) -> None:
    """Put one job into the queue; an urgent one goes before all others.

    The child that works on it is killed and replaced when the row's time limit, or else the setting's, is long over.

    Raises:
        ConfigurationError: Redis refuses the credentials.
        BrokerUnavailable: Redis is away; the message may or may not be out.
    """
    job, limit = delivery.row.job, delivery.row.time_limit_seconds
    with _translated():
        app.send_task(
            TASK,
            args=[delivery.model_dump(mode="json")],
            queue=QUEUE,
            priority=_URGENT if urgent else _PRIORITIES[delivery.row.priority],
            time_limit=limit + LIMIT_MARGIN_SECONDS if limit else app.conf.task_time_limit,
            # What Flower shows, in a narrow column: what tells tasks apart comes first.
            argsrepr=f"{delivery.row.id} of {delivery.batch}, {job.options.engine}, job {job.id[:12]}",
            headers={PUBLISHED: round(time.time(), 3), _JOB: job.id},
            retry=False,
        )


@contextmanager
def _translated() -> Iterator[None]:
    """Celery's and kombu's exceptions as ours."""
    try:
        yield
    except (OperationalError, CeleryOperationalError) as error:
        if isinstance(error.__cause__, AuthenticationError):
            raise ConfigurationError(
                f"Redis refuses the credentials ({error}); set DUBLINE_REDIS_URL"
            ) from error
        raise BrokerUnavailable(f"Redis does not take messages: {error}; see DUBLINE_REDIS_URL") from error


class Control:
    """Asks running workers whether they are there and what they hold, and tells them to take no more jobs.

    A worker's name is Celery's: worker@host. Every method raises what `publish` does.
    """

    def __init__(self, settings: Settings) -> None:
        self._app = make_app(settings)

    def stop_consuming(self, names: Collection[str]) -> frozenset[str]:
        """Have workers take no more messages, until they end; those that answered. It may be said again."""
        if not names:
            return frozenset()
        with _translated():
            replies = self._app.control.broadcast(
                "cancel_consumer",
                arguments={"queue": QUEUE},
                destination=list(names),
                reply=True,
                timeout=CONTROL_SECONDS,
                limit=len(names),
            )
        return frozenset(name for reply in replies or () for name, said in reply.items() if "ok" in said)

    def answers(self, name: str) -> bool:
        """Whether a worker answers a ping."""
        with _translated():
            return bool(
                self._app.control.inspect(destination=[name], timeout=CONTROL_SECONDS, limit=1).ping()
            )

    def held(self, names: Collection[str]) -> Mapping[str, int]:
        """Messages that each worker has taken and not acknowledged; a worker that does not answer is left out."""
        if not names:
            return {}
        with _translated():
            asking = self._app.control.inspect(
                destination=list(names), timeout=CONTROL_SECONDS, limit=len(names)
            )
            at_work, reserved = asking.active() or {}, asking.reserved() or {}
        # A message that waits for the child is reserved; one that a child has begun is active.
        return {name: len(at_work[name]) + len(reserved[name]) for name in at_work.keys() & reserved.keys()}

    def close(self) -> None:
        """End the connections."""
        self._app.close()


def delivery_tag(request: Any) -> str:
    """The broker's own name of the delivery that a task runs for, from the task's `request`: what a beat renews."""
    return str(request.properties["delivery_tag"])


def job_named(request: Any) -> str | None:
    """The id of the job that a message says it is about, from the task's `request`; None in messages that say nothing."""
    found = (request.headers or {}).get(_JOB)
    return str(found) if found else None
