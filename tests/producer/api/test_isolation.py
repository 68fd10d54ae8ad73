"""A key sees its own and nothing else: on every endpoint, by every name, and also of what lies in the bucket."""

import re

import pytest

from contract.ledger import Progress
from producer.api.app import make_api
from producer.batches import batch_rows
from producer.check import check
from producer.submit import submit
from tests.producer.api.checks import found, problem

OF_A_JOB = [
    ("GET", "/jobs/{job}"),
    ("DELETE", "/jobs/{job}"),
    ("POST", "/jobs/{job}/retry"),
    ("GET", "/jobs/{job}/events"),
    ("GET", "/jobs/{job}/result"),
    ("GET", "/jobs/{job}/source"),
    ("GET", "/jobs/{job}/audio"),
    ("GET", "/jobs/{job}/curves"),
    ("GET", "/jobs/{job}/log"),
    ("GET", "/jobs/{job}/manifest"),
]
OF_A_BATCH = [("GET", "/batches/{batch}"), ("DELETE", "/batches/{batch}"), ("POST", "/batches/{batch}/retry")]
OF_NOBODY = {
    "/generate",
    "/jobs",
    "/uploads",
    "/batches",
    "/estimate",
    "/metrics",
    "/options",
    "/version",
    "/health/live",
    "/health/ready",
}


@pytest.fixture
def hers(two, pair, storage, commit, ledger):
    """A job of Ann's that is done."""
    ann, _ = two
    job = ann.post("/generate", files=pair).json()
    (row,) = batch_rows(storage, job["batch"])
    commit(job["batch"], row)
    ledger.finish(row.job.id, "done")
    return ann.get(job["links"]["self"]).json()


def test_the_lists_of_this_file_hold_every_endpoint(settings):
    paths = make_api(settings).openapi()["paths"]
    told = {path for _, path in (*OF_A_JOB, *OF_A_BATCH)} | OF_NOBODY
    assert set(paths) == told


@pytest.mark.parametrize(("method", "path"), OF_A_JOB)
@pytest.mark.parametrize("query", ["", "?batch={batch}"])
def test_anothers_job_is_not_there(two, hers, storage, method, path, query):
    ann, bob = two
    before = found(storage)
    link = (path + query).format(job=hers["id"], batch=hers["batch"])
    problem(bob.request(method, link), 404, "not_found")
    assert found(storage) == before
    if method == "GET":
        assert ann.get(link).status_code in (200, 302)


@pytest.mark.parametrize(("method", "path"), OF_A_BATCH)
def test_anothers_batch_is_not_there(two, hers, storage, method, path):
    _, bob = two
    before = found(storage)
    problem(bob.request(method, path.format(batch=hers["batch"])), 404, "not_found")
    assert found(storage) == before
    assert bob.get("/batches").json() == {"batches": [], "total": 0, "next": None}


@pytest.mark.parametrize("link", ["events", "result", "stream", "source", "audio"])
def test_a_token_opens_its_job_without_a_key_and_no_other(two, hers, pair, link):
    ann, _ = two
    stranger = type(ann)(base_url=ann.base_url, trust_env=False)
    assert stranger.get(hers["links"][link]).status_code in (200, 302)
    without = re.sub(r"token=[^&]*", "", hers["links"][link])
    problem(stranger.get(without), 401, "unauthenticated")
    other = ann.post("/generate", files=pair, data={"sync_mode": "loop"}).json()
    problem(stranger.get(hers["links"][link].replace(hers["id"], other["id"])), 401, "unauthenticated")
    token = re.search(r"token=([^&]*)", hers["links"][link])[1]
    problem(stranger.delete(f"/jobs/{hers['id']}?token={token}"), 401, "unauthenticated")
    problem(stranger.get(f"/jobs/{hers['id']}?token={token}"), 401, "unauthenticated")
    stranger.close()


def test_the_same_pair_is_another_job_for_another_key_and_cancelling_touches_nobody_elses(
    two, pair, storage, ledger
):
    ann, bob = two
    first, second = ann.post("/generate", files=pair).json(), bob.post("/generate", files=pair).json()
    assert first["id"] != second["id"]
    assert (first["batch"].startswith("ann--job-"), second["batch"].startswith("bob--job-")) == (True, True)
    assert first["request"]["video"] == second["request"]["video"], "the bytes lie there once"
    for job in (first, second):
        ledger.claim(job["id"], "w", 30)
    assert ann.delete(first["links"]["cancel"]).json()["state"] == "stopping"
    assert ledger.beat(second["id"], "w", 30, "tag", Progress("generating")) == "held"


def test_a_batch_may_be_called_alike_by_two_keys(two, storage):
    storage.put("inputs/x.mp4", b"video")
    row = {"video": f"s3://{storage.bucket}/inputs/x.mp4", "audio": f"s3://{storage.bucket}/inputs/x.mp4"}
    ids = [each.post("/batches", json={"name": "nightly", "rows": [row]}).json()["id"] for each in two]
    assert ids == ["ann--nightly", "bob--nightly"]
    for each, mine in zip(two, ids, strict=True):
        (head,) = each.get("/batches").json()["batches"]
        assert (head["id"], head["name"]) == (mine, "nightly")
    unnamed = two[0].post("/batches", json={"rows": [row]}).json()
    assert unnamed["id"].startswith("ann--batch-")


def test_a_batch_of_the_command_line_that_is_called_as_if_it_were_a_keys_is_not_that_keys(
    two, jobs, storage, settings
):
    name = submit(check(jobs, storage, settings), storage, batch="ann--mine").batch
    (one, _) = batch_rows(storage, name)
    ann, _ = two
    assert ann.get("/batches").json()["total"] == 0
    problem(ann.get(f"/batches/{name}"), 404, "not_found")
    problem(ann.get(f"/jobs/{one.job.id}?batch={name}"), 404, "not_found")


def test_whoever_sits_at_the_machine_does_not_see_what_keys_asked_for(two, hers, serve, settings):
    with serve(settings).client() as client:
        assert client.get("/batches").json()["total"] == 0
        problem(client.get(f"/jobs/{hers['id']}?batch={hers['batch']}"), 404, "not_found")
        problem(client.get(f"/batches/{hers['batch']}"), 404, "not_found")


@pytest.mark.parametrize(
    "key",
    [
        "jobs/{job}/attempts/a1/video.mp4",
        "outputs/ann--nightly/one.mp4",
        "batches/{batch}/rows.jsonl",
        "prepared/x",
    ],
)
def test_a_key_names_no_object_of_our_bucket_but_inputs(two, hers, storage, key):
    _, bob = two
    address = f"s3://{storage.bucket}/{key.format(job=hers['id'], batch=hers['batch'])}"
    storage.put(address.removeprefix(f"s3://{storage.bucket}/"), b"secret")
    problem(bob.post("/jobs", json={"video": address, "audio": address}), 422, "bad_request")
    said = bob.post("/batches", json={"rows": [{"video": address, "audio": hers["request"]["audio"]}]}).json()
    assert [each["code"] for each in said["errors"]] == ["input_forbidden"]


def test_a_key_names_objects_of_other_buckets_where_that_is_allowed(serve, guarded_settings, storage):
    from producer.api.keyring import add_key

    key = add_key(guarded_settings.api_keys, "ann")
    storage.put("v.mp4", b"video")
    address = f"s3://{storage.bucket}/v.mp4"
    opened = guarded_settings.model_copy(update={"api_buckets": (storage.bucket,)})
    with serve(guarded_settings).client(key) as closed, serve(opened).client(key) as open_:
        problem(
            closed.post("/jobs", json={"video": address, "audio": "s3://elsewhere/a.wav"}), 422, "bad_request"
        )
        assert open_.post("/jobs", json={"video": address, "audio": address}).status_code == 202


def test_an_idempotency_key_is_each_keys_own(two, pair):
    ids = {each.post("/generate", files=pair, headers={"Idempotency-Key": "1"}).json()["id"] for each in two}
    assert len(ids) == 2
