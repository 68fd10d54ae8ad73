import json
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from contract.errors import NoFace, StoreUnavailable
from contract.job import Job, Source
from contract.manifest import Attempt, ErrorRecord, Findings, Manifest

JOB = Job(video=Source(uri="s3://b/v", etag="1"), audio=Source(uri="s3://b/a", etag="2"))
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def manifest():
    attempt = Attempt(id="a1", number=1, host="worker", started=MOMENT, ended=MOMENT)
    return Manifest(status="failed", job_id=JOB.id, batch="b", row="Zoë", job=JOB, attempt=attempt)


def test_a_manifest_survives_its_json(manifest):
    assert Manifest.model_validate_json(manifest.model_dump_json(indent=1)) == manifest


def test_a_field_of_another_version_is_refused(manifest):
    fields = json.loads(manifest.model_dump_json())
    with pytest.raises(ValidationError, match="mood"):
        Manifest.model_validate(fields | {"mood": "good"})
    with pytest.raises(ValidationError, match="schema_version"):
        Manifest.model_validate(fields | {"schema_version": 2})


@pytest.mark.parametrize(
    ("error", "retryable"), [(NoFace("no face"), False), (StoreUnavailable("away"), True)]
)
def test_an_error_is_recorded_with_what_a_script_needs(error, retryable):
    record = ErrorRecord.of(error)
    assert record == ErrorRecord(code=error.code, message=error.message, retryable=retryable)


def test_it_begins_with_what_became_of_which_job_and_does_not_change(manifest):
    assert list(manifest.model_dump())[:3] == ["schema_version", "status", "job_id"]
    with pytest.raises(ValidationError, match="frozen"):
        manifest.device = "another"


def test_all_that_an_attempt_finds_is_in_it(manifest):
    findings = Findings()
    findings.device = "cpu"
    assert Manifest(
        **dict(findings), **{k: v for k, v in dict(manifest).items() if k not in dict(findings)}
    ) == (manifest.model_copy(update={"device": "cpu"}))
