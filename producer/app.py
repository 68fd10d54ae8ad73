"""The Celery app for Flower: `celery -A producer.app flower`. Importing it reads the settings."""

from contract.broker import make_app
from contract.settings import Settings

app = make_app(Settings.read_or_exit())
