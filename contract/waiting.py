"""Waiting, before the first work, for a service that is away: whoever starts in an outage works when it is over."""

import logging
import threading
from collections.abc import Callable

from contract.errors import TemporaryFailure

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 2.0
"""Between two tries, besides what each of them takes."""


def until_it_passes(check: Callable[[], None], stop: threading.Event | None = None) -> None:
    """Return when the check has passed, or when told to stop; an outage is said once and waited for.

    Raises:
        ConfigurationError: waiting would not help.
    """
    told = stop or threading.Event()
    waiting = False
    while not told.is_set():
        try:
            check()
        except TemporaryFailure as error:
            if not waiting:
                logger.warning("the start waits: %s", error)
            waiting = True
            told.wait(PAUSE_SECONDS)
        else:
            return
