"""A web server of the outside, on loopback: real TLS with a certificate of a test's own CA, and a resolver to command."""

import socket
import ssl
import subprocess
import threading
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

from contract.outside import Outside
from contract.weburl import PORTS, Reach

LOOPBACK = "127.0.0.1"
HOST = "media.example"
REAL = socket.getaddrinfo


@dataclass
class Asked:
    """One request as it came in."""

    method: str
    path: str
    host: str
    headers: dict[str, str]
    body: bytes
    sni: str | None
    at: float


@dataclass
class Site:
    """What it answers, and what it was asked."""

    ca: object
    port: int = 0
    plain_port: int = 0
    answers: dict = field(default_factory=dict)
    """By path: a function of the handler, or the body."""
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    hold: threading.Event = field(default_factory=threading.Event)
    """What a drip waits for at its end."""

    @property
    def reach(self):
        """The strict rule, but for this server."""
        return Reach(ports=PORTS | {self.port}, also=frozenset({ip_address(LOOPBACK)}))

    @property
    def outside(self):
        return Outside(self.reach, self.ca)

    def url(self, path="/", host=HOST):
        return f"https://{host}:{self.port}{path}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def _serve(self):
        length = int(self.headers.get("Content-Length", "0"))
        body = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        sni = getattr(self.connection, "asked_for", None)
        path = self.path
        self.site.asked.append(
            Asked(self.command, path, headers["host"], headers, body, sni, time.monotonic())
        )
        answer = self.site.answers.get(path.partition("?")[0])
        with suppress(OSError):  # a client that had enough
            if callable(answer):
                answer(self)
            elif answer is None:
                self.say(404)
            else:
                self.say(200, answer)

    do_GET = do_POST = _serve  # noqa: N815 - http.server's names

    def say(self, status, body=b"", **headers):
        """A whole answer; of two lengths the one that is given counts."""
        self.send_response(status)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"Content-Length": str(len(body)), **named}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_):
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    site: Site
    context: ssl.SSLContext | None = None

    def get_request(self):
        made, peer = super().get_request()
        self.site.connections += 1
        return made, peer

    def finish_request(self, request, client_address):
        with suppress(OSError):
            if not self.context:
                self.RequestHandlerClass(request, client_address, self)
                return
            request.settimeout(20)
            with self.context.wrap_socket(request, server_side=True) as secured:
                self.RequestHandlerClass(secured, client_address, self)

    def handle_error(self, *_):
        pass


def _remember_name(connection, name, _context):
    connection.asked_for = name


def make_authority(folder):
    """A CA and a certificate for HOST and *.example; their files."""
    ca, key, cert = folder / "ca.pem", folder / "key.pem", folder / "cert.pem"
    config = folder / "names.cnf"
    config.write_text(f"subjectAltName=DNS:{HOST},DNS:*.example\nbasicConstraints=CA:FALSE\n")
    new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj"]
    run = {"check": True, "capture_output": True}
    extra = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign"]
    subprocess.run(
        [*new, "/CN=test ca", "-x509", "-days", "2", *extra, "-keyout", folder / "ca.key", "-out", ca], **run
    )
    request = folder / "request.pem"
    subprocess.run([*new, f"/CN={HOST}", "-keyout", key, "-out", request], **run)
    signing = ["-CA", ca, "-CAkey", folder / "ca.key", "-CAcreateserial", "-extfile", config]
    subprocess.run(["openssl", "x509", "-req", "-in", request, "-days", "2", *signing, "-out", cert], **run)
    return ca, cert, key


class Running:
    """The server for the length of a `with` block."""

    def __init__(self, authority):
        ca, cert, key = authority
        self.site = Site(ca)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        context.sni_callback = _remember_name
        self._servers = [self._server(context), self._server(None)]
        self.site.port, self.site.plain_port = (each.server_port for each in self._servers)

    def _server(self, context):
        server = _Server((LOOPBACK, 0), type("Handler", (_Handler,), {"site": self.site}))
        server.site, server.context = self.site, context
        return server

    def __enter__(self):
        self._threads = [
            threading.Thread(target=each.serve_forever, kwargs={"poll_interval": 0.01})
            for each in self._servers
        ]
        for each in self._threads:
            each.start()
        return self.site

    def __exit__(self, *_):
        self.site.hold.set()
        for each in self._servers:
            each.shutdown()
            each.server_close()
        for each in self._threads:
            each.join()


class Resolver:
    """Answers for names instead of DNS; several answers of one name are given one after the other, the last for ever."""

    def __init__(self):
        self.answers = {HOST: [[LOOPBACK]]}
        self.asked = defaultdict(int)

    def __call__(self, host, port, *args, **kwargs):
        name = host.decode() if isinstance(host, bytes) else host
        if name not in self.answers:
            if _is_of_this_machine(name):
                return REAL(host, port, *args, **kwargs)
            raise socket.gaierror(socket.EAI_NONAME, "no such name in this test")
        answers = self.answers[name]
        addresses = answers[min(self.asked[name], len(answers) - 1)]
        self.asked[name] += 1
        return [found for each in addresses for found in REAL(each, port, *args, **kwargs)]


def _is_of_this_machine(name):
    """An address in any of its forms, or what needs no DNS."""
    with suppress(OSError):
        socket.inet_aton(name)
        return True
    return name in ("localhost", "localhost.", "") or ":" in name
