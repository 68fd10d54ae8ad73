"""What makes the watcher look at once. A ring may come twice, late or never: a listing is the truth."""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from contract.errors import ConfigurationError, TemporaryFailure

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
CALM_SECONDS = 1.0
"""However often it rings, so long passes between two looks."""
MAX_BYTES = 2**20
"""Of an event's description, which nobody reads."""
PAUSE_SECONDS = 15.0
"""Before a queue that did not answer is asked again."""


class Messages(Protocol):
    """A queue of events."""

    def receive(self) -> list[str]:
        """Receipts of the messages that are there, or come within seconds; raises `TemporaryFailure`."""

    def delete(self, receipts: Sequence[str]) -> None:
        """Let them come no more; raises `TemporaryFailure`."""


class Doorbell:
    """Rings from any thread; what rang is known again once somebody has looked."""

    def __init__(self, interval_seconds: float, messages: Messages | None = None) -> None:
        self._interval_seconds = interval_seconds
        self._messages = messages
        self._rung = threading.Event()
        self._stopped = threading.Event()
        self._receipts: list[str] = []
        self._has_rung = False
        self._hand = threading.Lock()

    def ring(self, receipts: Sequence[str] = ()) -> None:
        """Have the folder looked at."""
        with self._hand:
            self._receipts += receipts
            if not self._has_rung:
                logger.info("the doorbell rings")  # once: whoever wired it wants to know
            self._has_rung = True
        self._rung.set()

    def stop(self) -> None:
        """Let nobody wait any more."""
        self._stopped.set()
        self._rung.set()

    def heard(self) -> list[str]:
        """Receipts of the messages that rang; what comes from now on rings for the next look."""
        self._rung.clear()
        with self._hand:
            heard, self._receipts = self._receipts, []
        return heard

    def answered(self, receipts: Sequence[str]) -> None:
        """The folder was looked at after these came."""
        if self._messages and receipts:
            try:
                self._messages.delete(receipts)
            except TemporaryFailure as error:  # they come again, and ring again
                logger.warning("messages of the queue stay there: %s", error)

    def wait(self, at_most_seconds: float | None = None) -> None:
        """Until it rings, or for the interval; a short while in any case."""
        seconds = min(at_most_seconds or self._interval_seconds, self._interval_seconds)
        if self._stopped.is_set() or not self._rung.wait(seconds):
            return
        self._stopped.wait(min(CALM_SECONDS, seconds))

    def listen(self) -> None:
        """Ring for each message of the queue, until stopped; an outage is said once."""
        waiting = False
        while self._messages and not self._stopped.is_set():
            try:
                if receipts := self._messages.receive():
                    self.ring(receipts)
                waiting = False
            except TemporaryFailure as error:
                if not waiting:
                    logger.warning(
                        "the folder is looked at each %g s only: %s", self._interval_seconds, error
                    )
                waiting = True
                self._stopped.wait(PAUSE_SECONDS)


@contextmanager
def answering(doorbell: Doorbell, port: int) -> Iterator[int]:
    """Rings for each POST to a port of loopback, such as SeaweedFS's webhook sends; tells the port, of 0 a free one.

    Raises:
        ConfigurationError: somebody else listens there.
    """
    try:
        server = ThreadingHTTPServer((LOOPBACK, port), _handler(doorbell))
    except OSError as error:
        raise ConfigurationError(
            f"port {port} of {LOOPBACK} is not free: {error.strerror}; name another with --doorbell"
        ) from error
    with server:
        thread = threading.Thread(target=server.serve_forever, name="doorbell", daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def _handler(doorbell: Doorbell) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5.0
        """Seconds for one request."""

        def do_POST(self) -> None:
            doorbell.ring()
            length = self.headers.get("Content-Length", "0")
            if length.isascii() and length.isdigit():  # unread, it would end the connection with an error
                self.rfile.read(min(int(length), MAX_BYTES))
            self.send_response(HTTPStatus.NO_CONTENT)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            logger.debug(format, *args)

    return Handler
