"""CSVs beside their media, and manifests as a worker would commit them."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from contract import keys
from contract.errors import Cancelled, NoFace
from contract.figures import Figure, Figures, Sync
from contract.manifest import Attempt, Cost, Curves, ErrorRecord, Manifest, OutputRecord, SyncCheck
from producer.batches import batch_rows
from producer.check import check
from producer.cli import app as commands
from producer.submit import submit

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
ERRORS = {
    "failed": NoFace("no frame of face.MP4 shows a face"),
    "cancelled": Cancelled("a person cancelled the job"),
}


@pytest.fixture
def jobs(tmp_path):
    """A CSV of two rows with local files: one video, two audios."""
    (tmp_path / "face.MP4").write_bytes(b"video" * 1000)
    (tmp_path / "hello.wav").write_bytes(b"hello" * 100)
    (tmp_path / "bye.wav").write_bytes(b"bye" * 100)
    path = tmp_path / "Jobs für heute.csv"
    path.write_text("id,video,audio\none,face.MP4,hello.wav\ntwo,face.MP4,bye.wav\n")
    return path


@pytest.fixture
def submitted(jobs, storage, settings):
    """The batch of `jobs`, submitted."""
    return submit(check(jobs, storage, settings), storage).batch


@pytest.fixture
def rows(storage, submitted):
    """The two rows of the batch."""
    return list(batch_rows(storage, submitted))


@pytest.fixture
def commit(storage):
    """Commit a row's job as a worker would; without announcing it."""

    def commit(batch, row, status="succeeded", video=b"a video", attempt="a1", evaluation=None):
        key = keys.attempt(row.job.id, attempt, "video.mp4")
        curves = keys.attempt(row.job.id, attempt, "curves.json")
        manifest = Manifest(
            status=status,
            job_id=row.job.id,
            batch=batch,
            row=row.id,
            job=row.job.without_secrets(),
            attempt=Attempt(
                id=attempt, number=1, host="here", started=STARTED, ended=STARTED + timedelta(seconds=2)
            ),
            cost=Cost(seconds=2, price_per_hour=3.6, currency="USD", amount=0.002),
        )
        if status == "succeeded":
            storage.put(key, video, "video/mp4")
            storage.put(
                curves, Curves(fps=25, aperture=(0.1, None), loudness=(-30, -20)).model_dump_json().encode()
            )
            output = OutputRecord(
                key=key,
                bytes=len(video),
                sha256=hashlib.sha256(video).hexdigest(),
                frames=50,
                fps="25/1",
                duration_seconds=2,
                width=64,
                height=64,
                video_codec="h264",
                audio_codec="aac",
            )
            sync = SyncCheck(status="ok", frames=50, correlation=0.61, lag_frames=0, curves_key=curves)
            made = {"output": output, "sync_check": sync, "evaluation": evaluation}
            manifest = manifest.model_copy(update=made)
        if status in ERRORS:
            manifest = manifest.model_copy(update={"error": ErrorRecord.of(ERRORS[status])})
        storage.put_if_absent(keys.manifest(row.job.id), manifest.model_dump_json().encode())
        return manifest

    return commit


@pytest.fixture
def figures():
    """What a worker measured of a video whose row asked for it."""
    drawn = {"unit": "of 255", "ci95": (0.91, 0.99), "hint": "where no new mouth may be"}
    error = Figure(title="error outside the mask", value=0.951, better="lower", status="ok", n=50, **drawn)
    lse = Figure(
        title="LSE-C", value=None, better="higher", status="unavailable", reason="lse needs weights", n=0
    )
    sync = Sync(verdict="audio late", offset_frames=-5, by="lip_lag")
    metrics = {"outside_error": error, "lse_c": lse}
    return Figures(task="cross audio", frames=50, sync=sync, metrics=metrics, seconds=3.0)


@pytest.fixture
def dubline(monkeypatch):
    """Run a command; wide enough that no line breaks."""
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *words: CliRunner().invoke(commands, [str(word) for word in words])


@pytest.fixture
def here(settings, storage, monkeypatch):
    """The running services, as the environment names them."""
    for name in ("redis_url", "namespace", "s3_endpoint", "s3_bucket", "s3_access_key", "s3_secret_key"):
        value = getattr(settings, name)
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        monkeypatch.setenv(f"DUBLINE_{name.upper()}", text)
