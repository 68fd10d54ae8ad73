"""The processes that serve the API."""

import logging
import os
import socket
import tempfile
from contextlib import ExitStack, suppress
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from contract import traces
from contract.errors import ConfigurationError
from contract.journal import log_as
from contract.scrape import exposed
from contract.settings import Settings
from producer.api.app import guarded, make_api
from producer.api.figures import MULTIPROCESS, of_all_processes
from producer.api.gate import is_loopback
from producer.api.keyring import Keyring

logger = logging.getLogger(__name__)

APP = "producer.api.app:app_of_environment"
BACKLOG = 2048
HUNG_SECONDS = 60
"""A process that says nothing for so long is replaced; uvicorn's own 5 are passed on a machine that is merely busy."""
GRACE_SECONDS = 20
"""For requests that are being answered when the server is told to end."""
CONFIG: dict[str, Any] = {
    "log_config": None,
    "access_log": False,  # addresses carry tokens
    "server_header": False,
    "proxy_headers": False,  # who asks is decided by the connection, not by what it says of itself
    "ws": "none",
    "timeout_graceful_shutdown": GRACE_SECONDS,
    "timeout_worker_healthcheck": HUNG_SECONDS,
}


def serve(settings: Settings, host: str, port: int, processes: int) -> None:
    """Serve until SIGTERM or Ctrl-C; what is being answered then is answered first.

    Raises:
        ConfigurationError: without keys it would be open to others, it cannot listen there, or traces cannot be sent.
    """
    is_open = not is_loopback(host) and not settings.api_trusted
    if is_open and Keyring(settings.api_keys).is_empty:
        raise ConfigurationError(
            f"without keys the API serves this machine alone, and {host} is open to others; "
            "set DUBLINE_API_KEYS to a file and make a key by `dubline keys add NAME`, or use --host 127.0.0.1"
        )
    traces.require(settings)
    log_as(settings.log_format)
    with ExitStack() as exits:
        listening = exits.enter_context(_listen(host, port))
        logger.info("serving http://%s:%d", host, listening.getsockname()[1])
        if processes == 1:
            exits.enter_context(suppress(KeyboardInterrupt))  # uvicorn raises it again when all is done
            api = make_api(settings)
            exits.enter_context(exposed(settings, api.state.desk.services.figures))
            uvicorn.Server(uvicorn.Config(guarded(api), **CONFIG)).run([listening])
            return
        os.environ[MULTIPROCESS] = exits.enter_context(tempfile.TemporaryDirectory(prefix="dubline-metrics-"))
        exits.enter_context(exposed(settings, of_all_processes()))
        Multiprocess(uvicorn.Config(APP, factory=True, workers=processes, **CONFIG), [listening]).run()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"{host}:{port} cannot be listened on: {error.strerror}; choose another"
        ) from error
    listening.set_inheritable(True)
    return listening
