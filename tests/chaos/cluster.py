"""The embedded stack in pieces: broker, store behind the hostile proxy, feeder, workers. Any piece may be killed, paused
and started again, in its folder and on its ports. All of them die with this process; at the end none may be left.
"""

import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from contract.settings import Settings
from producer.local import SOFT_STOP_SECONDS, Command, LocalStack, Service, _environment
from tests.chaos.proxy import LOOPBACK, Proxy

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 20.0
"""After SIGTERM, a process that still runs is killed."""
MARK = "CHAOS_MARK"
"""Every process of a run has it in its environment, to be found by."""

Mutant = Literal["", "unconditional"]


@dataclass
class _Piece:
    """One process and what it takes to start it again."""

    command: Command
    service: Service
    generation: int = 0
    start_at: float = 0.0
    """When it may come back."""
    kill_at: float | None = None
    """It was asked to end, and has until then."""
    resume_at: float | None = None
    """It is paused, its children too."""


@dataclass
class Cluster:
    """Pieces by name: `broker`, `store`, `feeder`, `worker1` and so on."""

    folder: Path
    settings: Settings
    """Of clients behind the proxy."""
    direct: Settings
    """Of the harness: past the proxy."""
    proxy: Proxy
    mark: str
    pieces: dict[str, _Piece] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def start(
        cls, folder: Path, settings: Settings, *, workers: int, seed: int, mutant: Mutant = ""
    ) -> Iterator["Cluster"]:
        """A cluster whose workers are on their way. `settings` name the lease, weights and so on.

        Call it on a thread that outlives it: Linux ends the processes with the thread that started them.
        """
        mark = secrets.token_hex(8)
        stack = LocalStack.start(folder / "stack", workers=0, feeder=False, flower=False, settings=settings)
        with stack as servers, Proxy(int(servers.settings.s3_endpoint.rpartition(":")[2]), seed) as proxy:
            direct = servers.settings
            behind = direct.model_copy(
                update={"s3_endpoint": f"http://{LOOPBACK}:{proxy.port}", "fleet_size": workers}
            )
            cluster = cls(folder, behind, direct, proxy, mark)
            for service in servers.services:
                cluster.pieces[service.name] = _Piece(service._command, service)
            try:
                cluster._start_processes(workers, mutant)
                yield cluster
            finally:
                cluster._end_processes()
                servers.services[:] = [each.service for each in cluster.pieces.values()]

    def kill(self, name: str, away_seconds: float = 0.0) -> None:
        """`kill -9`; it comes back after so long."""
        piece = self.pieces[name]
        piece.start_at = time.monotonic() + away_seconds
        _signal(piece.service.pid, signal.SIGKILL)

    def kill_child(self, name: str) -> bool:
        """`kill -9` of the process that runs jobs; False where the worker has none now."""
        children = _children(self.pieces[name].service.pid)
        for pid in children:
            _signal(pid, signal.SIGKILL)
        return bool(children)

    def terminate(self, name: str) -> None:
        """SIGTERM, as a deploy would; it comes back when it has ended."""
        piece = self.pieces[name]
        if piece.kill_at is None:
            piece.kill_at = time.monotonic() + STOP_SECONDS
            _signal(piece.service.pid, signal.SIGTERM)

    def pause(self, name: str, seconds: float) -> None:
        """SIGSTOP of the process and all its children, and SIGCONT after so long."""
        piece = self.pieces[name]
        piece.resume_at = time.monotonic() + seconds
        for pid in (piece.service.pid, *_children(piece.service.pid)):
            _signal(pid, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT to the process and its children."""
        piece = self.pieces[name]
        piece.resume_at = None
        for pid in (*_children(piece.service.pid), piece.service.pid):
            _signal(pid, signal.SIGCONT)

    def resume_child(self, pid: int) -> None:
        """SIGCONT, if that is a child of ours: a process id from the history may be another's by now."""
        if any(pid in _children(piece.service.pid) for piece in self.pieces.values()):
            _signal(pid, signal.SIGCONT)

    def tend(self) -> None:
        """Start again what has ended, go on with what was paused, end what does not end. Call it often."""
        now = time.monotonic()
        for name, piece in self.pieces.items():
            if piece.service._process.poll() is not None:
                if now >= piece.start_at:
                    self._revive(piece)
                continue
            if piece.resume_at is not None and now >= piece.resume_at:
                self.resume(name)
            if piece.kill_at is not None and now >= piece.kill_at:
                _signal(piece.service.pid, signal.SIGKILL)

    def calm(self) -> None:
        """Everything that is away or paused may come back at once."""
        for name, piece in self.pieces.items():
            piece.start_at = 0.0
            if piece.resume_at is not None:
                self.resume(name)

    def retire(self, names: list[str]) -> None:
        """Ask these to end, wait for it, and do not start them again."""
        retired = [self.pieces.pop(name) for name in names if name in self.pieces]
        for piece in retired:
            _signal(piece.service.pid, signal.SIGCONT)
            piece.service.ask()
        for piece in retired:
            piece.service.end()

    def living(self) -> list[str]:
        """Processes of this run that live: command lines, by the mark in their environment."""
        return [_command(pid) for pid in _marked(f"{MARK}={self.mark}".encode())]

    @property
    def workers(self) -> list[str]:
        """Their names."""
        return [name for name in self.pieces if name.startswith("worker")]

    def _start_processes(self, workers: int, mutant: Mutant) -> None:
        environment = {
            **_environment(self.settings),
            "PYTHONPATH": str(ROOT),
            "CHAOS_FOLDER": str(self.folder),
            "CHAOS_MUTANT": mutant,
            MARK: self.mark,
            "OMP_NUM_THREADS": "1",
        }
        self._add("feeder", environment, "producer.cli", "feeder")
        for number in range(1, workers + 1):
            self._add_worker(number, environment)

    def _add_worker(self, number: int, environment: dict[str, str]) -> None:
        """Odd ones stop as a deployed worker does, within the grace period; even ones as in `dubline up`, at once."""
        name = f"worker{number}"
        words = ["celery", "-A", "tests.chaos.app", "worker", "-n", f"{name}@%h", "-E", "--loglevel=INFO"]
        quick = ["--without-gossip", "--without-mingle"]
        if number % 2:
            self._add(name, environment, *words, *quick)
        else:
            at_once = ["--", f"worker.soft_shutdown_timeout={SOFT_STOP_SECONDS}"]
            self._add(name, environment | {"REMAP_SIGTERM": "SIGQUIT"}, *words, *quick, *at_once)

    def _add(self, name: str, environment: dict[str, str], module: str, *arguments: str) -> None:
        argv = [sys.executable, "-m", module, *arguments]
        command = Command(name, argv, environment, self.folder / "stack" / name, stop_seconds=STOP_SECONDS)
        self.pieces[name] = _Piece(command, Service(command, self._log(name, 0)))

    def _revive(self, piece: _Piece) -> None:
        with suppress(ProcessLookupError):  # what a killed parent may have left in its session
            os.killpg(piece.service.pid, signal.SIGKILL)
        piece.generation += 1
        piece.kill_at = piece.resume_at = None
        piece.service = Service(piece.command, self._log(piece.command.name, piece.generation))

    def _log(self, name: str, generation: int) -> Path:
        logs = self.folder / "stack" / "logs"
        logs.mkdir(exist_ok=True)
        return logs / f"{name}.{generation}.log"

    def _end_processes(self) -> None:
        self.retire([*self.workers, "feeder"])


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _marked(mark: bytes) -> Iterator[int]:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with suppress(OSError):
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name)


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return str(pid)
