import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from contract import keys
from contract.broker import make_app
from contract.ledger import Ledger
from producer.feeder import Feeder
from producer.local import _environment
from tests.worker.metadata import serving_metadata
from tests.worker.scripted import Begin, until

CLIPS = Path(__file__).parents[3] / "shared" / "media"


@pytest.fixture(scope="session")
def clip():
    """The path of a real clip by its name. They are for research only and lie beside the checkout, if anywhere."""

    def find(name):
        path = CLIPS / name
        if not path.is_file():
            pytest.skip(f"{name} is not in {CLIPS}")
        return path

    return find


@pytest.fixture
def worker(settings, storage, tmp_path):
    """Start a scripted worker with these settings and variables; in the block it runs. Its log is `NAME.log`."""

    @contextmanager
    def start(name="worker", variables=(), **these):
        environment = _environment(settings.model_copy(update=these)) | dict(variables)
        environment["STARTED"] = str(tmp_path)
        environment.pop("REMAP_SIGTERM", None)  # plain Celery
        words = ["-A", "tests.worker.scripted_worker", "worker", "-n", f"{name}@%h"]
        argv = [sys.executable, "-m", "celery", *words, "--without-gossip", "--without-mingle"]
        log = tmp_path / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(argv, env=environment, stdout=output, stderr=output)
        try:
            yield process
        except BaseException as error:
            error.add_note(log.read_text())
            raise
        finally:
            process.kill()
            process.wait()

    return start


@pytest.fixture
def begun(tmp_path):
    """Wait until so many attempts of that number at the row have begun; the last of them."""

    def wait(row, number=1, times=1):
        path = tmp_path / f"{row}.{number}"
        lines = until(
            lambda: path.exists() and (found := path.read_text().splitlines())[times - 1 :] and found
        )
        return Begin.read(lines[times - 1])

    return wait


@pytest.fixture
def fed(settings, storage):
    """Submit a row as a batch of its name, with a feeder that runs in the block; it submits more of them."""

    def submit(row):
        storage.put(keys.rows(row.id), row.model_dump_json().encode())

    @contextmanager
    def feeding(row, **these):
        mine = settings.model_copy(update=these)
        submit(row)
        stop = threading.Event()
        with make_app(mine) as app, ThreadPoolExecutor(1) as pool:
            running = pool.submit(Feeder(storage, Ledger(mine), app, mine).run, stop)
            try:
                yield submit
            finally:
                stop.set()
                running.result(60)

    return feeding


@pytest.fixture
def metadata():
    with serving_metadata() as server:
        yield server
