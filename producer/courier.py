"""The courier: posts what lies in the outbox until it is delivered, or a day has passed. It runs beside the feeding.

An event is posted by whoever wins a conditional put that moves its hour: the loser finds it not due. Whoever dies while
posting leaves it due a minute later. So of any number of couriers one posts at a time, and nothing that lies there is lost.
Receivers get an event at least once, and every time under the same id.
"""

import logging
import random
import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError
from standardwebhooks import Webhook

from contract import keys
from contract.errors import DublineError, TemporaryFailure
from contract.outside import Outside
from contract.settings import Settings
from contract.storage import Storage, StoredObject
from contract.webhook import DeliveryState, Reply, WebhookDelivery
from contract.weburl import Reach
from producer.outbox import is_over

logger = logging.getLogger(__name__)

THREADS = 8
READERS = 4
"""Of events that others put: what is posted may take long, and the look for what is new does not wait for it."""
HOST_THREADS = 2
"""Of them for one receiver: a slow one does not keep the others from theirs."""
POST_SECONDS = 10.0
LEASE = timedelta(seconds=60)
"""So long nobody else posts an event; more than a post may take."""
DAY = timedelta(hours=24)
"""After so long an event is tried a last time."""
BACKOFF = timedelta(seconds=5)
"""Before the second try, doubled with every further one; half of it is jitter."""
LONGEST_BACKOFF = timedelta(hours=2)
PAUSE_SECONDS = 0.2
DRAIN_SECONDS = 20.0
LOOK_SECONDS = 5.0
"""Between two looks for what others put or left; longer where a look takes long."""
LOOK_SHARE = 10
READ_EVENTS = 500
"""Events read in one look."""
GONE = 410
"""The receiver wants no more of it."""

NEVER = datetime.max.replace(tzinfo=UTC)

Clock = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Known:
    """A pending event, as little of it as its turn needs: there may be many."""

    due: datetime
    host: str
    etag: str = ""
    """Of the version that this was read from; empty: it may have changed since."""


class Courier:
    """Posts pending events of all batches, one step after the other; the posts themselves run in threads."""

    def __init__(
        self, storage: Storage, outside: Outside, secret: SecretStr | None, clock: Clock = _now
    ) -> None:
        self._storage = storage
        self._outside = outside
        self._signer = Webhook(secret.get_secret_value()) if secret else None
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._news: deque[WebhookDelivery] = deque()
        self._flights: dict[str, Future[_Known | None]] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="courier")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="courier-reads")
        self._look_at = clock()
        self._is_silent = False

    @classmethod
    def of(cls, settings: Settings, storage: Storage) -> "Courier":
        """As the settings allow."""
        return cls(storage, Outside(Reach(http=settings.allow_http)), settings.webhook_secret)

    def tell(self, delivery: WebhookDelivery) -> None:
        """Learn of an event that was just put; from any thread."""
        self._news.append(delivery)

    @contextmanager
    def running(self, *, drain: bool = False) -> Iterator[None]:
        """Step in a thread of its own for the length of the block. What was begun is finished; to `drain`, what is due, too."""
        stop = threading.Event()
        thread = threading.Thread(target=self._run, args=(stop, drain), name="courier")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.close()

    def close(self) -> None:
        """Let what was begun end, and begin nothing more."""
        self._threads.shutdown()
        self._readers.shutdown()

    def _run(self, stop: threading.Event, drain: bool) -> None:
        waiting = False
        while not stop.wait(PAUSE_SECONDS):
            try:
                self.step()
                waiting = False
            except DublineError as error:
                if not waiting:
                    logger.warning("webhooks wait: %s", error)
                waiting = True
        if drain:
            self._drain()

    def _drain(self) -> None:
        """Post what is due once, for a while; the rest is another's, who begins where this one ended."""
        deadline = time.monotonic() + DRAIN_SECONDS
        with suppress(TemporaryFailure):
            self.step()
            while self._flights and time.monotonic() < deadline:
                time.sleep(PAUSE_SECONDS)
                self.step()

    def step(self) -> None:
        """Take in what has happened, and begin to post what is due.

        Raises:
            TemporaryFailure: the store is away; the next step goes on.
        """
        self._land()
        self._hear()
        if self._clock() >= self._look_at:
            self._look()
        self._launch()

    def _land(self) -> None:
        """Take in what became of posts."""
        for key, flight in [each for each in self._flights.items() if each[1].done()]:
            del self._flights[key]
            if (left := flight.result()) is None:
                self._known.pop(key, None)
            else:
                self._known[key] = left

    def _hear(self) -> None:
        while self._news:
            told = self._news.popleft()
            self._known[_pending(told)] = _Known(told.due, _host(told))

    def _look(self) -> None:
        """Find out what other processes put, changed or ended, here or before this one began."""
        began = self._clock()
        listed = {each.key: each for each in self._storage.list(keys.events("pending"))}
        for key in self._known.keys() - listed.keys() - self._flights.keys():
            del self._known[key]
        changed = [each for key, each in listed.items() if key not in self._flights and self._is_new(each)]
        some = changed[:READ_EVENTS]
        for each, known in zip(some, self._readers.map(self._read, some), strict=True):
            if known:
                self._known[each.key] = known
        took = self._clock() - began
        rest = timedelta() if len(changed) > READ_EVENTS else timedelta(seconds=LOOK_SECONDS)
        self._look_at = self._clock() + max(rest, took * LOOK_SHARE)

    def _is_new(self, listed: StoredObject) -> bool:
        known = self._known.get(listed.key)
        return known is None or known.etag != listed.etag

    def _read(self, listed: StoredObject) -> _Known | None:
        found = self._storage.get_with_etag(listed.key)
        if found is None:
            return None
        try:
            delivery = WebhookDelivery.model_validate_json(found[0])
        except ValidationError:
            logger.error("%s was not written by this version of Dubline: it is left alone", listed.key)  # noqa: TRY400
            return _Known(NEVER, "", listed.etag)
        return _Known(delivery.due, _host(delivery), found[1])

    def _launch(self) -> None:
        now = self._clock()
        due = [(known.due, key) for key, known in self._known.items() if known.due <= now]
        if due and self._signer is None:
            self._say_silent()
            return
        busy = Counter(self._known[key].host for key in self._flights if key in self._known)
        for _, key in sorted(due):
            host = self._known[key].host
            if len(self._flights) >= THREADS:
                return
            if key not in self._flights and busy[host] < HOST_THREADS:
                busy[host] += 1
                self._flights[key] = self._threads.submit(self._fly, key, host)

    def _say_silent(self) -> None:
        if not self._is_silent:
            logger.error("webhooks wait: there is no secret to sign them with; set DUBLINE_WEBHOOK_SECRET")
        self._is_silent = True

    def _fly(self, key: str, host: str) -> _Known | None:
        """Post one event, unless another does; what is known of it then, None: it is over."""
        try:
            return self._deliver(key)
        except DublineError as error:
            logger.warning("webhook %s waits: %s", key, error)
        except Exception:
            # a defect that one event meets must not keep the others
            logger.exception("webhook %s waits", key)
        return _Known(self._clock() + LEASE, host)

    def _deliver(self, key: str) -> _Known | None:
        found = self._storage.get_with_etag(key)
        if found is None:
            return None
        delivery, etag = WebhookDelivery.model_validate_json(found[0]), found[1]
        if delivery.due > self._clock():
            return _Known(delivery.due, _host(delivery), etag)
        held = self._hold(delivery)
        if not self._storage.replace_if_same(key, _bytes(held), etag):
            return _Known(self._clock() + LEASE, _host(delivery))
        if is_over(self._storage, held):  # it was put once more while another ended it
            self._storage.delete(key)
            return None
        return self._settle(key, held, *self._post(held))

    def _hold(self, delivery: WebhookDelivery) -> WebhookDelivery:
        """The event as its holder leaves it while posting."""
        due = self._clock() + LEASE
        return delivery.model_copy(
            update={"due": due, "tries": delivery.tries + 1, "holder": secrets.token_hex(8)}
        )

    def _post(self, delivery: WebhookDelivery) -> tuple[Reply, float]:
        """What the receiver said, and for how many seconds it wants to be left alone."""
        now = self._clock()
        try:
            answer = self._outside.post(
                delivery.url, delivery.body.encode(), self._headers(delivery, now), seconds=POST_SECONDS
            )
        except DublineError as error:
            return Reply(at=now, problem=f"[{error.code}] {error.message}"), 0.0
        return Reply(at=now, status=answer.status), answer.retry_after_seconds or 0.0

    def _headers(self, delivery: WebhookDelivery, now: datetime) -> dict[str, str]:
        """Those of Standard Webhooks."""
        assert self._signer is not None  # noqa: S101 - nothing is launched without it
        return {
            "Content-Type": "application/json",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(delivery.id, now, delivery.body),
        }

    def _settle(self, key: str, held: WebhookDelivery, reply: Reply, leave_alone: float) -> _Known | None:
        """Write down what came of a try."""
        tried = held.model_copy(update={"last": reply})
        if reply.status is not None and 200 <= reply.status < 300:
            self._end(key, tried, "delivered")
            return None
        is_late = self._clock() >= held.created + DAY
        if reply.status == GONE or is_late:
            why = "its receiver wants no more of it" if reply.status == GONE else "a day has passed"
            logger.error(
                "webhook %s to %s is given up after %d tries, for %s: %s",
                *(held.id, held.shown, held.tries, why, _said(reply)),
            )
            self._end(key, tried, "failed")
            return None
        return self._put_off(key, tried, leave_alone)

    def _end(self, key: str, delivery: WebhookDelivery, state: DeliveryState) -> None:
        self._storage.put(keys.event(state, delivery.batch, delivery.row, delivery.id), _bytes(delivery))
        self._storage.delete(key)

    def _put_off(self, key: str, tried: WebhookDelivery, leave_alone: float) -> _Known:
        """Have it tried again later; where it took so long that another holds it by now, that one's word counts."""
        later = tried.model_copy(update={"due": self._next_try(tried, leave_alone)})
        if tried.tries == 1:
            logger.info("webhook %s to %s is tried again: %s", tried.id, tried.shown, _said(tried.last))
        found = self._storage.get_with_etag(key)
        if found and WebhookDelivery.model_validate_json(found[0]).holder == tried.holder:
            self._storage.replace_if_same(key, _bytes(later), found[1])
        return _Known(later.due, _host(later))

    def _next_try(self, tried: WebhookDelivery, leave_alone: float) -> datetime:
        backoff: timedelta = min(BACKOFF * 2 ** min(tried.tries - 1, 20), LONGEST_BACKOFF)
        jittered = backoff * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
        wait = max(jittered, timedelta(seconds=min(leave_alone, DAY.total_seconds())))
        return min(self._clock() + wait, tried.created + DAY)


def _pending(delivery: WebhookDelivery) -> str:
    return keys.event("pending", delivery.batch, delivery.row, delivery.id)


def _host(delivery: WebhookDelivery) -> str:
    return urlsplit(delivery.url).netloc.lower()


def _bytes(delivery: WebhookDelivery) -> bytes:
    return delivery.model_dump_json(indent=1).encode()


def _said(reply: Reply | None) -> str:
    return "" if reply is None else reply.problem or f"it answered {reply.status}"
