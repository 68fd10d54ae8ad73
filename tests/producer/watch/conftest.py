"""A drop folder in a bucket of the test's own, and a watcher whose settling takes no time."""

from datetime import timedelta

import pytest

from contract import keys
from producer.batches import batch_rows
from producer.watch import claims, scan
from producer.watch.folder import Folder
from producer.watch.reports import Report
from producer.watch.watcher import Watcher


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    """Whatever lies there has settled, and a claim without a batch is abandoned at once."""
    monkeypatch.setattr(scan, "SETTLE", timedelta(seconds=-60))
    monkeypatch.setattr(claims, "ABANDONED", timedelta(seconds=-60))


class Drop:
    """What a person does with a drop folder, and what becomes of it."""

    def __init__(self, storage, settings):
        self.storage, self.settings = storage, settings
        self.folder = Folder.parse(f"s3://{storage.bucket}/drop/", storage.bucket)

    def watcher(self, storage=None, archive=False, **changed):
        settings = self.settings.model_copy(update=changed)
        return Watcher(storage or self.storage, settings, self.folder, archive=archive)

    def put(self, *names, body=b"media"):
        for name in names:
            self.storage.put(f"drop/{name}", body if isinstance(body, bytes) else body.encode())

    def pair(self, *stems, body="media"):
        for stem in stems:
            self.put(f"{stem}.mp4", body=f"{body} video {stem}")
            self.put(f"{stem}.wav", body=f"{body} audio {stem}")

    def rows(self):
        """All rows that were ever submitted: batch and row."""
        return [(name, row) for name in self.batches() for row in batch_rows(self.storage, name)]

    def batches(self):
        return sorted(
            each.key.split("/")[1]
            for each in self.storage.list(keys.BATCHES)
            if each.key.endswith("/rows.jsonl")
        )

    def ids(self):
        """Names of the rows that were ever submitted, each as often as it was."""
        return sorted(row.id for _, row in self.rows())

    def there(self):
        """Names in the folder."""
        return {each.key.removeprefix("drop/") for each in self.storage.list("drop/")}

    def told(self, name):
        """Code and message of each fault in a report."""
        report = Report.model_validate_json(self.storage.get(f"drop/{name}.error.json"))
        return [(each.code, each.message) for each in report.faults]

    def claims(self):
        return [each.key for each in self.storage.list(keys.CLAIMS)]


@pytest.fixture
def drop(storage, settings):
    return Drop(storage, settings)
