"""The worker's app, for `celery -A tests.tiny_worker`: its registry of weights names the tiny networks of its folder."""

from contract.settings import Settings
from tests.worker.engines.musetalk import tiny_registry
from worker.weights import registry

registry.REGISTRY = tiny_registry.of(Settings.read().weights)

from worker.app import app  # noqa: E402 - it may look at the registry

app.conf.include = ["tests.tiny_worker"]  # its child imports this file, too
