"""The page in Debian's Chromium: before a real worker, and before rows that were made up; every test looks for errors."""

import os
import shutil
import socket
import threading
import wave
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import sync_playwright

from contract import keys
from contract.job import Job, Row, Source
from producer.api.app import guarded, make_api
from producer.local import LocalStack
from producer.submit import written
from tests.producer.web.visiting import SECONDS, Visit, eventually

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
]
DEMO = Path(__file__).parents[3] / "demo"
SPOKEN_SECONDS = 2.4
"""The sync check needs two."""


@pytest.fixture(scope="session")
def stack(services, weights_folder, tmp_path_factory):
    """Feeder, worker and API on the session's broker and store."""
    own = services.settings.model_copy(update={"namespace": "web", "s3_bucket": "web-real"})
    folder = tmp_path_factory.mktemp("web")
    with LocalStack.start(folder, workers=1, flower=False, api=True, settings=own) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    """Chromium; where it is missing tests are skipped here and fail in CI. Ended with the module: it keeps an event loop."""
    if not shutil.which(CHROMIUM) and not os.environ.get("CI"):
        pytest.skip(f"{CHROMIUM} is not here: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser):
    """Open the page of a server; on the way out: no error was met, and nothing left the origin."""
    visits = []

    def open_page(url, **context):
        made = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **context})
        visits.append((made, Visit(made, url)))
        return visits[-1][1]

    yield open_page
    for context, each in visits:
        context.close()
        each.check()


@pytest.fixture
def live(visit, stack):
    """The page before a real worker."""
    return visit(stack.api_url)


@pytest.fixture
def serve(storage):
    """The API before a store whose rows the test makes up; no worker, no feeder."""
    running = []

    def start(settings, port=0):
        config = uvicorn.Config(
            guarded(make_api(settings)), log_config=None, ws="none", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        listening = socket.create_server(("127.0.0.1", port))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        running.append((server, thread))
        eventually(lambda: server.started)
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    def stop():
        for server, thread in running:
            server.should_exit = True
            thread.join(SECONDS)
            assert not thread.is_alive()
        running.clear()

    start.stop = stop
    yield start
    stop()


@pytest.fixture
def made_up(serve, settings, visit):
    """The page before rows that the test makes up."""
    return visit(serve(settings))


@pytest.fixture
def put_batch(storage):
    """Submit rows of these names, of inputs that nobody will read."""

    def put(batch, names, owner=None):
        rows = [Row(id=name, job=_job(f"{batch} {number}", owner)) for number, name in enumerate(names)]
        storage.put_if_absent(keys.rows(batch), written(rows), "application/jsonl")
        return rows

    return put


def _job(what, owner):
    video, audio = (Source(uri=f"s3://media/{part}.mp4", etag=what) for part in ("face", "voice"))
    return Job(video=video, audio=audio, owner=owner)


@pytest.fixture(scope="session")
def voice(tmp_path_factory):
    """The beginning of one of the demo's voices: a test need not hear it all."""
    path = tmp_path_factory.mktemp("voices") / "voice-short.wav"
    with wave.open(str(DEMO / "voice-short.wav")) as whole, wave.open(str(path), "wb") as part:
        part.setparams(whole.getparams())
        part.writeframes(whole.readframes(int(SPOKEN_SECONDS * whole.getframerate())))
    return path


@pytest.fixture(scope="session")
def portrait():
    """The demo's video."""
    return DEMO / "portrait.mp4"
