"""An attempt on a real store: what is staged, what is uploaded, what the manifest will say."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract import keys
from contract.errors import ConfigurationError, EmptyInput, InputChanged, InputNotFound
from contract.job import Delivery, Job, JobOptions, Row, Source
from contract.manifest import Curves
from worker.attempt import Workshop
from worker.media.writer import EncodedFacts
from worker.progress import JobProgress
from worker.setup import Toolbox
from worker.stage import stage_in, stage_out
from worker.tasks import Findings, Ticket

DEMO = Path(__file__).parents[2] / "demo"


@pytest.fixture
def put(storage):
    """Upload bytes as an input and give its source."""

    def upload(body, suffix=".bin"):
        sha256 = hashlib.sha256(body).hexdigest()
        storage.put(keys.uploaded(sha256, suffix), body)
        return Source(uri=f"s3://{storage.bucket}/{keys.uploaded(sha256, suffix)}", sha256=sha256)

    return upload


def ticket(video, audio, **options):
    row = Row(id="clip", job=Job(video=video, audio=audio, options=JobOptions(**options)))
    return Ticket(Delivery(batch="b", row=row), "attempt", 1, datetime.now(UTC))


def test_an_attempt_uploads_the_video_and_its_curves_and_notes_what_it_found(
    settings, storage, put, weights_folder, tmp_path
):
    settings = settings.model_copy(update={"weights": weights_folder, "scratch": tmp_path})
    workshop = Workshop(settings, storage, Toolbox(settings, storage))
    voice = put((DEMO / "voice-short.wav").read_bytes())
    findings, work = Findings(), ticket(put((DEMO / "portrait.mp4").read_bytes()), voice)
    workshop.perform(work, JobProgress(), findings)

    video = storage.get(findings.output.key)
    assert hashlib.sha256(video).hexdigest() == findings.output.sha256
    assert len(video) == findings.output.bytes
    curves = Curves.model_validate_json(storage.get(findings.sync_check.curves_key))
    assert len(curves.aperture) == len(curves.loudness) == findings.output.frames == 139
    assert findings.audio.sha256 == voice.sha256
    assert findings.video.facts.width == 1280
    assert findings.audio.facts.duration_seconds == pytest.approx(5.56, abs=0.04)
    assert {weight.name for weight in findings.engine.weights} == {"face-detection", "face-mesh"}
    assert {"stage_in", "stream", "sync_check", "stage_out"} <= set(findings.timings)
    assert list(tmp_path.iterdir()) == []  # nothing is left in the scratch folder


def test_a_failed_attempt_notes_its_inputs_and_leaves_the_scratch_folder_empty(
    settings, storage, put, weights_folder, tmp_path
):
    settings = settings.model_copy(update={"weights": weights_folder, "scratch": tmp_path})
    workshop = Workshop(settings, storage, Toolbox(settings, storage))
    findings = Findings()
    work = ticket(put(b"text, not video"), put((DEMO / "voice-short.wav").read_bytes()))
    with pytest.raises(Exception, match="media"):
        workshop.perform(work, JobProgress(), findings)
    assert findings.video.bytes == len(b"text, not video")
    assert "stage_in" in findings.timings
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_folder_that_cannot_be_made_is_the_worker_s_fault_and_not_the_job_s(
    settings, storage, put, tmp_path
):
    (tmp_path / "file").write_bytes(b"")
    settings = settings.model_copy(update={"scratch": tmp_path / "file" / "scratch"})
    workshop = Workshop(settings, storage, Toolbox(settings, storage))
    with pytest.raises(ConfigurationError, match="DUBLINE_SCRATCH"):
        workshop.perform(ticket(put(b"video"), put(b"audio")), JobProgress(), Findings())


def test_bytes_on_their_way_in_and_out_are_progress(storage, put, tmp_path):
    class Told(JobProgress):
        touched = 0

        def touch(self):
            self.touched += 1

    coming, going = Told(), Told()
    stage_in(storage, Job(video=put(b"video"), audio=put(b"audio")), tmp_path, 1 << 20, coming)
    assert coming.touched == 2
    made = b"made" * 100_000
    (tmp_path / "video.mp4").write_bytes(made)
    encoded = EncodedFacts(1, len(made), hashlib.sha256(made).hexdigest(), 2, 2, 0.04)
    stage_out(
        storage, "job", "a", tmp_path / "video.mp4", encoded, Curves(fps=25, aperture=(), loudness=()), going
    )
    assert going.touched > 2


def test_inputs_that_are_missing_empty_or_changed_are_told_apart(storage, put, tmp_path):
    good = put(b"content")
    missing = Source(uri=f"s3://{storage.bucket}/inputs/none.mp4")
    empty = put(b"")
    swapped = good.model_copy(update={"sha256": "0" * 64})
    for source, error in ((missing, InputNotFound), (empty, EmptyInput), (swapped, InputChanged)):
        with pytest.raises(error):
            stage_in(storage, Job(video=source, audio=good), tmp_path, 1 << 20, JobProgress())


def test_one_file_that_is_video_and_audio_is_staged_once(storage, put, tmp_path):
    source = put(b"content")
    video, audio = stage_in(storage, Job(video=source, audio=source), tmp_path, 1 << 20, JobProgress())
    assert video == audio
    assert [path.name for path in tmp_path.iterdir()] == ["video"]
