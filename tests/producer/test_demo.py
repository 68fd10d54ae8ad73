"""The demo's road with a worker of paper; `make demo` goes it with a real one."""

import io
import threading
import time
from contextlib import contextmanager

import pytest
from rich.console import Console

from contract.errors import ConfigurationError
from producer import demo, status
from producer.batches import batch_rows
from producer.demo import run_demo


@pytest.fixture
def paper_worker(services, storage, settings, commit, monkeypatch):
    """In place of the embedded stack: the services of the tests, and a thread that commits every row."""

    @contextmanager
    def start(folder, *, flower, api):
        worker = threading.Thread(target=work)
        worker.start()
        yield services_of_this_test
        worker.join()

    def work():
        while not (batches := list(storage.folders("batches/"))):
            time.sleep(0.05)
        for number, row in enumerate(batch_rows(storage, batches[0])):
            commit(batches[0], row, "succeeded" if number == 0 else "failed")

    services_of_this_test = type(services)(services.folder, settings)
    monkeypatch.setattr(status, "SEARCH_SECONDS", 0.1)
    monkeypatch.setattr(demo.LocalStack, "start", start)


def test_a_folder_that_cannot_be_made_is_told_before_anything_starts(jobs, tmp_path, monkeypatch):
    monkeypatch.setattr(demo.LocalStack, "start", None)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be made: Not a directory"):
        run_demo(jobs, tmp_path / "file" / "out", Console(file=io.StringIO()))


def test_a_demo_leaves_videos_manifests_sources_and_a_page(paper_worker, jobs, tmp_path):
    folder = tmp_path / "out"
    shown = run_demo(jobs, folder, Console(file=io.StringIO()))
    assert not shown.status.succeeded
    assert [(each.row, each.status) for each in shown.results] == [("one", "succeeded"), ("two", "failed")]
    assert (folder / "one.mp4").is_file()
    assert (folder / "sources" / "one.MP4").read_bytes() == b"video" * 1000
    page = shown.page.read_text()
    for named in ("one.mp4", "sources/one.MP4", "no_face"):
        assert named in page
