import socket

import pytest

from worker.weights import registry


@pytest.fixture
def use(monkeypatch):
    """Puts entries in place of the registry's of the same name."""

    def use(*entries):
        others = [each for each in registry.REGISTRY if each.name not in {made.name for made in entries}]
        monkeypatch.setattr(registry, "REGISTRY", (*others, *entries))

    return use


@pytest.fixture(autouse=True)
def no_network(monkeypatch, request):
    """Whoever connects anywhere fails: nothing that is measured needs the network, but for a test's own store."""
    if "storage" in request.fixturenames:
        return

    def refused(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
