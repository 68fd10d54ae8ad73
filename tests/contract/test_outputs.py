from datetime import UTC, datetime

import pytest

from contract import keys
from contract.deadletter import DeadLetter
from contract.errors import EngineFailed, InputNotFound
from contract.job import Job, Source
from contract.manifest import Attempt, ErrorRecord, Manifest, OutputRecord
from contract.outputs import publish_output

JOB = Job(video=Source(uri="s3://b/v", etag="1"), audio=Source(uri="s3://b/a", etag="2"))
VIDEO = keys.attempt(JOB.id, "a1", "video.mp4")


def manifest(status="succeeded"):
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    return Manifest(
        status=status,
        job_id=JOB.id,
        batch="batch",
        row="row",
        job=JOB,
        attempt=Attempt(id="a1", number=1, host="worker", started=moment, ended=moment),
        output=OutputRecord(
            key=VIDEO,
            bytes=5,
            sha256="0" * 64,
            frames=25,
            fps="25",
            duration_seconds=1.0,
            width=64,
            height=64,
            video_codec="h264",
            audio_codec="aac",
        ),
    )


def test_a_success_is_shown_under_the_row_s_name_with_its_manifest(storage):
    storage.put(VIDEO, b"video")
    publish_output(storage, "batch", "Zoë", manifest())
    assert storage.get("outputs/batch/Zoë.mp4") == b"video"
    assert Manifest.model_validate_json(storage.get("outputs/batch/Zoë.json")) == manifest()


def test_publishing_twice_writes_once(storage):
    storage.put(VIDEO, b"video")
    publish_output(storage, "batch", "row", manifest())
    storage.put(VIDEO, b"touched")
    publish_output(storage, "batch", "row", manifest())
    assert storage.get("outputs/batch/row.mp4") == b"video"


def test_what_broke_off_between_video_and_manifest_is_finished(storage):
    storage.put(VIDEO, b"video")
    storage.copy(VIDEO, "outputs/batch/row.mp4")
    publish_output(storage, "batch", "row", manifest())
    assert storage.stat("outputs/batch/row.json")


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_only_a_success_is_shown(storage, status):
    storage.put(VIDEO, b"video")
    publish_output(storage, "batch", "row", manifest(status))
    assert list(storage.list("outputs/")) == []


def test_a_video_that_is_gone_is_said_and_no_manifest_claims_it(storage):
    with pytest.raises(InputNotFound, match="video"):
        publish_output(storage, "batch", "row", manifest())
    assert list(storage.list("outputs/")) == []


def failed(**more):
    error = ErrorRecord.of(EngineFailed("a driver"))
    return manifest("failed").model_copy(update={"output": None, "error": error, **more})


def test_a_failure_is_in_the_index_of_the_batch_with_the_logs_of_all_attempts(storage):
    logs = (keys.log(JOB.id, "a1"), keys.log(JOB.id, "a2"))
    publish_output(storage, "batch", "Zoë", failed(logs=logs))
    assert [each.key for each in storage.list("dead/")] == ["dead/batch/Zoë"]
    letter = DeadLetter.model_validate_json(storage.get("dead/batch/Zoë"))
    assert letter == DeadLetter(job=JOB.id, code="engine_failed", message="a driver", attempts=logs)


def test_a_cancelled_row_is_in_no_index(storage):
    publish_output(storage, "batch", "row", failed(status="cancelled"))
    assert list(storage.list("dead/")) == []


def test_a_failure_that_was_asked_for_again_and_succeeded_leaves_the_index(storage):
    publish_output(storage, "batch", "row", failed())
    publish_output(storage, "batch", "other", failed())
    storage.put(VIDEO, b"video")
    publish_output(storage, "batch", "row", manifest())
    assert [each.key for each in storage.list("dead/")] == ["dead/batch/other"]
