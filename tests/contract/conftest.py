"""A network that loses things."""

import socket
import threading
from contextlib import suppress

import pytest


class Proxy:
    """A TCP proxy on loopback to one port.

    `drop_reply` sees the start of each request and says whether to cut its connection instead of passing the reply
    on; `cut_after` bytes of replies the connection breaks.
    """

    def __init__(self, port, drop_reply=lambda request: False, cut_after=None):
        self._target, self._drop_reply, self._cut_after = port, drop_reply, cut_after
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open = [self._server]
        self.port = self._server.getsockname()[1]
        self.dropped = 0
        self.cut = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._open += [client, server]
                drop = threading.Event()
                threading.Thread(target=self._pass_requests, args=(client, server, drop), daemon=True).start()
                threading.Thread(target=self._pass_replies, args=(client, server, drop), daemon=True).start()

    def _pass_requests(self, client, server, drop):
        with suppress(OSError):
            while data := client.recv(65536):
                if self._drop_reply(data):
                    drop.set()
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _pass_replies(self, client, server, drop):
        passed = 0
        with suppress(OSError):
            while data := server.recv(65536):
                passed += len(data)
                if drop.is_set() and not data.startswith(b"HTTP/1.1 100"):
                    self.dropped += 1
                    break
                if self._cut_after and passed > self._cut_after:
                    self.cut += 1
                    break
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy():
    """Make proxies that end with the test."""
    made = []

    def make(port, **kinds):
        made.append(Proxy(port, **kinds))
        return made[-1]

    yield make
    for each in made:
        each.close()
