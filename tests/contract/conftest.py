"""A network that loses things."""

import socket
import threading
from contextlib import contextmanager, suppress

import pytest


class Proxy:
    """A TCP proxy on loopback to one port; `edit` sees each request's first bytes, `drop_reply` loses replies."""

    def __init__(self, port, edit=bytes, drop_reply=lambda head: False):
        self._target, self._edit, self._drop_reply = port, edit, drop_reply
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.dropped = 0
        self._open = [self._server]
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
                threading.Thread(target=self._send, args=(client, server, drop), daemon=True).start()
                threading.Thread(target=self._reply, args=(client, server, drop), daemon=True).start()

    def _send(self, client, server, drop):
        with suppress(OSError):
            while data := client.recv(65536):
                if self._drop_reply(data):
                    drop.set()
                server.sendall(self._edit(data))
            server.shutdown(socket.SHUT_WR)

    def _reply(self, client, server, drop):
        with suppress(OSError):
            while data := server.recv(65536):
                if drop.is_set() and not data.startswith(b"HTTP/1.1 100"):
                    self.dropped += 1
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
