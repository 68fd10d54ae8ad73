"""The one way to addresses that strangers name: inputs are fetched and webhooks are posted through here.

requests-hardened resolves a name once, refuses inside addresses, and connects to the very address that it checked. Here
is what it does not do: every other address of the name is checked, too, and by a stricter list (`contract/weburl.py`);
redirects are followed by hand, each target looked at like the first; time and bytes are bounded as a whole.
"""

import hashlib
import ipaddress
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import requests
from requests_hardened import Config, HTTPSession
from requests_hardened.ip_filter import InvalidIPAddress
from requests_hardened.ip_filter_adapter import IPFilterAdapter
from urllib3.exceptions import HTTPError

from contract.errors import (
    DiskFull,
    DublineError,
    InputForbidden,
    InputNotFound,
    InputTooLarge,
    SourceUnavailable,
    SourceUnsupported,
    UrlForbidden,
)
from contract.storage import Advance
from contract.weburl import Reach, UrlFault, WebUrl

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
"""Longest wait for the next byte."""
REDIRECTS = 3
CHUNK_BYTES = 1 << 16
AGENT = "Dubline"

_GONE = {404, 410}
_REFUSED = {401, 403, 407}
_PASSING = {408, 421, 423, 425, 429}
"""Refusals that may be over the next time."""


@dataclass(frozen=True)
class Fetched:
    """What was read into a file."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Answer:
    """What a receiver said to a post."""

    status: int
    retry_after_seconds: float | None
    """How long it asks to be left alone."""


class Outside:
    """Fetches from and posts to the public Internet, and nowhere else."""

    def __init__(self, reach: Reach, ca_file: Path | None = None) -> None:
        self._reach = reach
        self._verify: bool | str = str(ca_file) if ca_file else True

    def fetch(self, url: str, path: Path, *, max_bytes: int, seconds: float, advance: Advance) -> Fetched:
        """Copy what lies at a URL into a file, all of it, in `seconds` at most.

        Raises:
            UrlForbidden: it, or a redirect, leads where nothing may be reached.
            InputNotFound, InputForbidden, SourceUnsupported: its server says so; nothing to retry.
            InputTooLarge: it has more than `max_bytes`.
            SourceUnavailable: its server is away, slow, or broke off: worth a retry.
            DiskFull: the disk is.
        """
        with _Call(self._reach, self._verify, self._parse(url), seconds) as call:
            reply = call.follow()
            _refuse_answer(call.shown, reply)
            _refuse_size(call.shown, reply.raw.length_remaining or 0, max_bytes)
            digest, size = hashlib.sha256(), 0
            with _disk(path), path.open("wb") as file:
                for chunk in call.chunks(reply):
                    size += len(chunk)
                    _refuse_size(call.shown, size, max_bytes)
                    digest.update(chunk)
                    file.write(chunk)
                    advance(len(chunk))
            return Fetched(size, digest.hexdigest())

    def post(self, url: str, body: bytes, headers: Mapping[str, str], *, seconds: float) -> Answer:
        """Post a body, and learn the status of the answer; no redirect is followed, for a post is not to be repeated.

        Raises:
            UrlForbidden: it leads where nothing may be reached.
            SourceUnavailable: there was no answer.
        """
        with _Call(self._reach, self._verify, self._parse(url), seconds) as call:
            reply = call.ask("POST", data=body, headers=dict(headers))
            return Answer(reply.status_code, _seconds(reply.headers.get("Retry-After", "")))

    def _parse(self, url: str) -> WebUrl:
        try:
            return WebUrl.parse(url, self._reach)
        except UrlFault as fault:
            raise UrlForbidden(f"this {fault}") from fault


class _Call:
    """One question to the outside with all its redirects, and the clock that ends it."""

    def __init__(self, reach: Reach, verify: bool | str, url: WebUrl, seconds: float) -> None:
        self._reach = reach
        self._url = url
        self._fuse = _Fuse(seconds)
        self._session = _session(reach, self._fuse)
        self._session.verify = verify
        self._timeout = (min(CONNECT_SECONDS, seconds), min(READ_SECONDS, seconds))
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._open.callback(self._fuse.put_out)
        self._open.enter_context(self._session)
        self._fuse.light()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def shown(self) -> str:
        """Where it stands now."""
        return self._url.shown

    def follow(self) -> requests.Response:
        """The answer at the end of all redirects."""
        began = self.shown
        for _ in range(REDIRECTS + 1):
            reply = self.ask("GET")
            if not reply.is_redirect:
                return reply
            self._url = self._target(reply)
        raise UrlForbidden(f"{began} leads on more than {REDIRECTS} times; name the URL at the end")

    def ask(self, method: str, **more: Any) -> requests.Response:
        """One answer, of which nothing but the head was read."""
        with self._translated():
            reply: requests.Response = self._session.request(
                method, self._url.text, stream=True, timeout=self._timeout, **more
            )
        return self._open.enter_context(reply)

    def chunks(self, reply: requests.Response) -> Iterator[bytes]:
        """The body as it comes in, as it was sent."""
        while True:
            with self._translated():
                chunk = reply.raw.read1(CHUNK_BYTES, decode_content=False)
                self._fuse.check()
            if not chunk:
                return
            yield chunk

    def _target(self, reply: requests.Response) -> WebUrl:
        try:
            place = urljoin(self._url.text, requests.utils.requote_uri(reply.headers["Location"]))
            return WebUrl.parse(place, self._reach)
        except UrlFault as fault:
            raise UrlForbidden(f"{self.shown} leads on to what {fault}") from fault
        except ValueError:  # urllib's own sentences quote what they stumble over
            raise UrlForbidden(f"{self.shown} leads on to what is no URL") from None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The one door for requests' exceptions. They are not chained: most of them quote the URL with its query."""
        try:
            yield
        except (_Inside, InvalidIPAddress):
            failure: DublineError = UrlForbidden(
                f"{self.shown}: its host has an address that is not public; inside addresses are never reached"
            )
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, UnicodeError):
            failure = UrlForbidden(f"{self.shown} is no URL that can be asked for")
        except (requests.RequestException, HTTPError, OSError) as error:
            failure = SourceUnavailable(f"{self.shown} {self._fuse.words or _words(error)}")
        else:
            return
        raise failure


class _Inside(requests.RequestException):
    """One of the addresses of a name is not public."""


class _Session(HTTPSession):  # type: ignore[misc]
    """requests-hardened's session, which is kept from looking at redirects: to do so requests reads their whole body."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None that it should know of."""


class _Guard(IPFilterAdapter):  # type: ignore[misc]
    """requests-hardened's adapter, and what it lets through."""

    def __init__(self, is_https: bool, reach: Reach, fuse: "_Fuse") -> None:
        super().__init__(is_https, allow_loopback=any(each.is_loopback for each in reach.also))
        self._reach = reach
        self._fuse = fuse

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        """As the base has it: resolved, checked and pinned. Then the pinned address and all others of the name again."""
        host, kinds = super().build_connection_pool_key_attributes(request, verify, cert)
        name = urlsplit(request.url).hostname or ""
        for each in [host["host"].strip("[]"), *_addresses(name)]:
            if not self._reach.covers(ipaddress.ip_address(each)):
                raise _Inside
        return host, kinds

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """A pool whose connections the fuse can cut."""
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _cut_by(self._fuse, pool.ConnectionCls)
        return pool


def _cut_by(fuse: "_Fuse", kind: type[Any]) -> type[Any]:
    class Watched(kind):  # type: ignore[misc]
        def _new_conn(self) -> socket.socket:
            made: socket.socket = super()._new_conn()
            fuse.watch(made)
            return made

        def response_class(self, *args: Any, **kwargs: Any) -> HTTPResponse:
            """What http.client makes of a socket: of an answer with an odd head urllib3 loses it, and leaves it open."""
            return fuse.keep(HTTPResponse(*args, **kwargs))

    return Watched


class _Fuse:
    """Cuts connections when the time is over, whatever they wait for: a server may send a byte now and then for ever."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._blown = threading.Event()
        self._timer = threading.Timer(seconds, self._blow)
        self._timer.daemon = True
        self._watched: list[socket.socket] = []
        self._open = ExitStack()

    @property
    def words(self) -> str:
        """What to say where it has blown."""
        return f"took longer than {self._seconds:g} s" if self._blown.is_set() else ""

    def light(self) -> None:
        """The time begins."""
        self._timer.start()

    def put_out(self) -> None:
        """Nothing is cut any more, and nothing stays open."""
        self._timer.cancel()
        self._open.close()

    def keep(self, made: HTTPResponse) -> HTTPResponse:
        """Close it at the end."""
        return self._open.enter_context(made)

    def watch(self, made: socket.socket) -> None:
        """Cut this one too; a second descriptor of it, for TLS takes the first one over."""
        self._watched.append(self._open.enter_context(made.dup()))
        if self._blown.is_set():
            self._blow()

    def check(self) -> None:
        """Raise TimeoutError where it has blown: a body without a length looks complete then."""
        if self._blown.is_set():
            raise TimeoutError

    def _blow(self) -> None:
        self._blown.set()
        for each in list(self._watched):
            with suppress(OSError):  # closed already
                each.shutdown(socket.SHUT_RDWR)


def _session(reach: Reach, fuse: _Fuse) -> _Session:
    """For one call: nothing of this machine's environment, no proxy, no .netrc, and no connection of before."""
    session = _Session(
        Config(
            ip_filter_enable=True,
            ip_filter_allow_loopback_ips=False,
            never_redirect=True,
            default_timeout=(CONNECT_SECONDS, READ_SECONDS),
            user_agent_override=AGENT,
        )
    )
    session.trust_env = False
    session.headers["Accept-Encoding"] = "identity"
    session.mount("https://", _Guard(True, reach, fuse))
    session.mount("http://", _Guard(False, reach, fuse))
    return session


def _addresses(name: str) -> list[str]:
    """Every address of a name, as the resolver of this machine knows it."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise requests.ConnectionError("cannot be resolved") from error
    return [str(each[4][0]).partition("%")[0] for each in found]


def _refuse_answer(shown: str, reply: requests.Response) -> None:
    """Return if the answer brings the whole content as it is."""
    status = reply.status_code
    if status in _GONE:
        raise InputNotFound(f"{shown} does not exist ({status})")
    if status in _REFUSED:
        raise InputForbidden(f"{shown}: its server refuses access ({status}); is the signature still valid?")
    if 400 <= status < 500 and status not in _PASSING:
        raise InputForbidden(f"{shown}: its server does not answer such a question ({status})")
    if status != requests.codes.ok:
        raise SourceUnavailable(f"{shown}: its server answers {status}")
    encoding = reply.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise SourceUnsupported(f"{shown}: its server sends it compressed, though asked for it as it is")


def _refuse_size(shown: str, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise InputTooLarge(f"{shown} has more than {max_bytes:,} bytes (max_input_bytes)")


def _words(error: Exception) -> str:
    """What happened, in words of our own."""
    if isinstance(error, requests.exceptions.SSLError):
        return "has no certificate that can be trusted"
    if isinstance(error, requests.exceptions.Timeout | TimeoutError):
        return "did not answer in time"
    if isinstance(error, requests.ConnectionError):
        return "cannot be reached"
    return "broke off"


def _seconds(retry_after: str) -> float | None:
    """What a Retry-After header means; None where it means nothing."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds())


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskFull(f"{path.name} cannot be written: {error.strerror}; free the disk") from error
