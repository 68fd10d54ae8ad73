"""What every request works with, made once a process: store, ledger, keys, and threads to wait in."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from contract.ledger import Ledger
from contract.settings import Settings
from contract.storage import Storage
from producer.api.figures import Figures
from producer.api.keyring import Keyring
from producer.api.rate import RateLimit

P = ParamSpec("P")
T = TypeVar("T")

STORE_THREADS = 24
"""Requests that wait for the store at a time; a submission has two questions of its own; boto3's pool has 64 connections."""
LEDGER_THREADS = 4


class Services:
    """The parts of one process, and the threads in which it waits for them: the event loop never does."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.storage = Storage(settings)
        self.ledger = Ledger(settings)
        self.keyring = Keyring(settings.api_keys)
        self.rate = RateLimit(settings)
        self.figures = Figures()
        self.stopping = asyncio.Event()
        """Set when the process is told to end: whoever follows a job is let go."""
        self._store_threads = ThreadPoolExecutor(STORE_THREADS, "store")
        self._ledger_threads = ThreadPoolExecutor(LEDGER_THREADS, "ledger")

    async def store(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a function returns that asks the store."""
        return await self._in(self._store_threads, partial(function, *args, **kwargs))

    async def redis(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a function returns that asks Redis; it does not wait behind the store."""
        return await self._in(self._ledger_threads, partial(function, *args, **kwargs))

    async def _in(self, threads: ThreadPoolExecutor, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, call)

    def close(self) -> None:
        """End the threads; what runs in them goes on to its end."""
        for threads in (self._store_threads, self._ledger_threads):
            threads.shutdown(wait=False, cancel_futures=True)
