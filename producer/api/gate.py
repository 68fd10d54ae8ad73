"""Who may come in. Every request passes here first: no body was read yet, and no route looked for.

With keys, a request carries one (`Authorization: Bearer ...`), or, where a browser cannot send a header, a token from a link.
Without any, only this machine is served, and only what calls the server by a name of this machine and comes from no page of
elsewhere: a page on the internet can send requests to loopback, and can have its own name lead there.
"""

import asyncio
import ipaddress
import logging
import re
import time
from collections.abc import Iterable
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.errors import DublineError, RequestForbidden, TooManyRequests, Unauthenticated
from producer.api.figures import NOWHERE
from producer.api.problems import problem
from producer.api.services import Services

logger = logging.getLogger(__name__)

OPEN = frozenset(("/", "/health/live", "/health/ready", "/version", "/openapi.json"))
"""What needs no key: it tells nothing of anybody ..."""
OPEN_UNDER = "/web/"
"""... and neither do the files of the page."""
METHODS = frozenset(("GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"))
SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
DRAIN_SECONDS = 2.0
DRAIN_BYTES = 64 * 2**20
"""What a client still sends is taken in so long after a refusal, so that it reads the answer before the connection ends."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Of every answer that does not say otherwise."""

_WITH_TOKEN = re.compile(r"/jobs/([0-9a-f]{64})/(?:events|result|source|audio)")


class Gate:
    """Lets requests in, counts them, and sees to it that every answer ends well."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        started = time.perf_counter()
        try:
            await self._serve(scope, exchange)
        finally:
            self._count(scope, exchange.status, time.perf_counter() - started)

    async def _serve(self, scope: Scope, exchange: "_Exchange") -> None:
        try:
            scope.setdefault("state", {})["owner"] = await self._admit(scope)
        except DublineError as error:
            await problem(error)(scope, exchange.receive, exchange.send)
            return
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception:  # the one place: a defect is told to the log, and the client has its answer by now
            if not exchange.is_answered:
                raise
            logger.exception("a defect: %s %s", scope["method"], scope["path"])

    async def _admit(self, scope: Scope) -> str | None:
        """Whose request that is; None: of somebody at this machine.

        Raises:
            Unauthenticated, RequestForbidden, TooManyRequests: it may not come in.
        """
        headers = Headers(scope=scope)
        if self._services.keyring.is_empty:
            settings = self._services.settings
            _refuse_strangers(scope, headers, settings.api_origins, settings.api_trusted)
            return None
        if scope["path"] in OPEN or scope["path"].startswith(OPEN_UNDER):
            return None
        owner = self._owner(scope, headers)
        if owner is None:
            raise Unauthenticated(
                "this needs a key: send Authorization: Bearer KEY; `dubline keys add` makes one"
            )
        if wait := await self._services.redis(self._services.rate.wait_seconds, owner):
            limit = self._services.settings.api_rate_per_minute
            raise TooManyRequests(f"more than {limit} requests a minute; come back in {wait:.1f} s", wait)
        return owner

    def _owner(self, scope: Scope, headers: Headers) -> str | None:
        said = headers.get("authorization")
        if said is not None:
            scheme, _, key = said.partition(" ")
            return self._services.keyring.owner(key.strip()) if scheme.lower() == "bearer" else None
        matter = _WITH_TOKEN.fullmatch(scope["path"])
        token = parse_qs(scope["query_string"].decode("latin-1")).get("token")
        if matter is None or token is None or scope["method"] != "GET":
            return None
        return self._services.keyring.owner_of_token(token[0], matter[1])

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("route")
        address = getattr(route, "path", NOWHERE) if route else NOWHERE
        method = scope["method"] if scope["method"] in METHODS else NOWHERE
        self._services.figures.requests.labels(address, method, str(status)).inc()
        self._services.figures.seconds.labels(address).observe(seconds)


def _refuse_strangers(scope: Scope, headers: Headers, origins: Iterable[str], trusted: Iterable[str]) -> None:
    """Return if somebody at this machine asks, and no page of elsewhere.

    Raises:
        RequestForbidden: it is somebody else.
    """
    client = scope.get("client")
    if client and not is_loopback(client[0]) and client[0] not in trusted:
        raise RequestForbidden(
            "no keys are configured, so only this machine is served; make one by `dubline keys add`"
        )
    host = headers.get("host", "")
    if not is_loopback(urlsplit(f"//{host}").hostname or "" if _is_host(host) else ""):
        raise RequestForbidden(
            f"this server is not called {host[:100]!r}; without keys it answers to 127.0.0.1 and localhost"
        )
    origin = headers.get("origin")
    own = f"{scope['scheme']}://{host}"
    if origin is not None and origin != own and origin not in origins:
        raise RequestForbidden(f"pages of {origin[:100]!r} may not call this server; see api_origins")
    site = headers.get("sec-fetch-site", "none")
    if origin is None and scope["method"] not in SAFE and site not in ("none", "same-origin"):
        raise RequestForbidden("a page of elsewhere may not call this server")


def _is_host(host: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9.-]+(:\d{1,5})?|\[[0-9a-fA-F:.]+\](:\d{1,5})?", host) is not None


def is_loopback(host: str) -> bool:
    """Whether that is a name of this machine which leads nowhere else."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Exchange:
    """One request and its answer, as they go by."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.status = 0
        self.is_answered = False
        """Whole."""
        headers = Headers(scope=scope)
        self._is_read = "transfer-encoding" not in headers and headers.get("content-length", "0") == "0"
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._is_read = True
        return message

    async def send(self, message: Message) -> None:
        """Every answer with its headers; one to a body that nobody read ends when the client has had time to see it."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if not self._is_read:
                headers["Connection"] = "close"
        is_last = self.is_answered = message["type"] == "http.response.body" and not message.get(
            "more_body", False
        )
        if not is_last or self._is_read:
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        await self._drain()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _drain(self) -> None:
        taken = 0
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while not self._is_read and taken < DRAIN_BYTES:
                    taken += len((await self.receive()).get("body", b""))
        except TimeoutError:
            return
