"""EC2's notices that this machine is about to be taken away: minutes ahead, the worker stops as on SIGTERM.

A spot instance is told two minutes before its end, and by a rebalance recommendation often earlier. The notices are
read from the instance's metadata service, version 2, which wants a token.
"""

import http.client
import logging
import threading
from collections.abc import Callable
from contextlib import closing
from urllib.parse import urlsplit

logger = logging.getLogger(__name__)

METADATA = "http://169.254.169.254"
POLL_SECONDS = 5.0
"""As often as AWS advises."""
TIMEOUT_SECONDS = 2.0
TOKEN_SECONDS = 6 * 3600
NOTICES = ("/latest/meta-data/spot/instance-action", "/latest/meta-data/events/recommendations/rebalance")
"""404 until there is one."""


class NoticePoller:
    """Calls `on_notice` once, when a notice is there. A metadata service that does not answer is asked again."""

    def __init__(self, on_notice: Callable[[], None], endpoint: str = METADATA) -> None:
        self._on_notice = on_notice
        self._host = urlsplit(endpoint).netloc
        self._token = ""
        self._over = threading.Event()
        self._is_away = False

    def start(self) -> None:
        """Poll from a thread of its own, which ends with the process."""
        threading.Thread(target=self._run, name="notices", daemon=True).start()

    def stop(self) -> None:
        """Poll no more."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.wait(POLL_SECONDS):
            if notice := self._look():
                logger.warning("this machine is about to be taken away: %s", notice)
                self._on_notice()
                return

    def _look(self) -> str | None:
        try:
            found = next(filter(None, map(self._read, NOTICES)), None)
        except (OSError, http.client.HTTPException) as error:
            if not self._is_away:
                logger.warning("EC2's metadata service does not answer (%s); it is asked again", error)
            self._is_away = True
            return None
        self._is_away = False
        return found

    def _read(self, path: str) -> str | None:
        """The notice at that path, or None where there is none."""
        for _ in range(2):
            status, body = self._ask("GET", path, {"X-aws-ec2-metadata-token": self._token})
            if status != http.HTTPStatus.UNAUTHORIZED:
                return body if status == http.HTTPStatus.OK else None
            lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)}
            status, self._token = self._ask("PUT", "/latest/api/token", lifetime)
            if status != http.HTTPStatus.OK:
                break
        raise http.client.HTTPException(f"it gives no token: {status}")

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        with closing(http.client.HTTPConnection(self._host, timeout=TIMEOUT_SECONDS)) as server:
            server.request(method, path, headers=headers)
            reply = server.getresponse()
            return reply.status, reply.read(10_000).decode(errors="replace")
