import pytest
from pydantic import SecretStr

from contract import keys
from contract.ledger import Progress
from contract.summary import Summary
from producer.batches import batch_rows
from producer.check import check
from producer.submit import submit
from tests.producer.api.checks import found, problem

CSV = {"Content-Type": "text/csv"}


@pytest.fixture
def media(storage):
    """Three inputs in our bucket."""
    for name in ("v.mp4", "a.wav", "b.wav"):
        storage.put(name, name.encode())
    return f"s3://{storage.bucket}"


@pytest.fixture
def csv(media):
    return (
        f"id,video,audio,sync_mode\none,{media}/v.mp4,{media}/a.wav,loop\ntwo,{media}/v.mp4,{media}/b.wav,\n"
    )


@pytest.fixture
def two_rows(media):
    return [
        {"id": "one", "video": f"{media}/v.mp4", "audio": f"{media}/a.wav", "sync_mode": "loop"},
        {"id": "two", "video": f"{media}/v.mp4", "audio": f"{media}/b.wav"},
    ]


def test_a_csv_and_the_same_rows_as_json_are_the_same_batch(client, csv, two_rows, storage):
    first = client.post("/batches?name=nightly", content=csv, headers=CSV)
    assert first.status_code == 202
    assert (
        first.json() | {"id": "nightly", "name": "nightly", "rows": 2, "already": False, "skipped": []}
        == first.json()
    )
    again = client.post("/batches", json={"name": "nightly", "rows": two_rows}).json()
    assert (again["id"], again["already"]) == ("nightly", True)
    assert [row.id for row in batch_rows(storage, "nightly")] == ["one", "two"]


def test_a_server_that_cannot_sign_webhooks_takes_none(client, csv, two_rows, storage):
    hook = "https://example.com/hook"
    for body in ({"webhook_url": hook, "rows": two_rows}, {"rows": [two_rows[0] | {"webhook_url": hook}]}):
        said = problem(client.post("/batches", json=body), 422, "bad_request")
        assert "no secret to sign webhooks" in said["detail"]
    problem(client.post(f"/batches?webhook_url={hook}", content=csv, headers=CSV), 422, "bad_request")
    assert not [key for key in found(storage) if key.startswith(keys.BATCHES)]


def test_a_batch_and_its_rows_may_have_webhooks(settings, serve, csv, two_rows, storage):
    signing = settings.model_copy(update={"webhook_secret": SecretStr("whsec_" + "QUJD" * 8)})
    rows = [two_rows[0] | {"webhook_url": "https://example.com/row"}]
    body = {"name": "told", "webhook_url": "https://example.com/batch", "rows": rows}
    inside = {"webhook_url": "https://127.0.0.1/", "rows": two_rows}
    with serve(signing).client() as client:
        assert client.post("/batches", json=body).status_code == 202
        client.post("/batches?name=csv&webhook_url=https://example.com/csv", content=csv, headers=CSV)
        problem(client.post("/batches", json=inside), 422, "bad_request")
    (row,) = batch_rows(storage, "told")
    assert row.webhook_url == "https://example.com/row"
    assert b"https://example.com/batch" in storage.get(keys.webhook("told"))
    assert b"https://example.com/csv" in storage.get(keys.webhook("csv"))


def test_without_a_name_the_same_rows_name_themselves(client, csv, two_rows):
    first = client.post("/batches", content=csv, headers={"Content-Type": "Text/CSV; charset=utf-8"}).json()
    assert first["id"].startswith("batch-")
    assert client.post("/batches", json={"rows": two_rows}).json()["id"] == first["id"]


def test_other_rows_under_a_name_are_a_conflict(client, csv, two_rows):
    client.post("/batches?name=nightly", content=csv, headers=CSV)
    problem(client.post("/batches", json={"name": "nightly", "rows": two_rows[:1]}), 409, "batch_conflict")


def test_bad_rows_stop_all_with_their_lines_unless_they_are_skipped(client, csv, storage):
    bad = csv + "three,s3://nowhere/v.mp4,voice.wav,jazz\n"
    said = problem(client.post("/batches?name=n", content=bad, headers=CSV), 422, "bad_request")
    assert {each["line"] for each in said["errors"]} == {4} and len(said["errors"]) == 3
    assert not [key for key in found(storage) if key.startswith(keys.BATCHES)]
    done = client.post("/batches?name=n&skip_bad=1", content=bad, headers=CSV).json()
    assert (done["rows"], {each["line"] for each in done["skipped"]}) == (2, {4})


BAD_CSVS = {
    "nothing": b"",
    "a header alone": b"id,video,audio\n",
    "UTF-16": "id,video,audio\na,b,c\n".encode("utf-16"),
    "Latin-1": b"id,video,audio\n\xfc,s3://bbb/b,s3://bbb/c\n",
    "no header": b"a,b,c\n",
    "an unknown column": b"id,video,audio,colour\na,s3://bbb/b,s3://bbb/c,red\n",
    "binary": bytes(range(256)),
    "open quotes": b'id,video,audio\n"a,b,c\n',
    "paths": b"video,audio\n/etc/passwd,/etc/shadow\n",
}


@pytest.mark.parametrize("what", BAD_CSVS)
def test_a_csv_that_is_none_is_refused_and_no_folder_of_the_server_is_told(asker, what):
    answer = asker.post("/batches", content=BAD_CSVS[what], headers=CSV)
    problem(answer, 422, "bad_request")
    assert "/tmp" not in answer.text and "upload.csv" not in answer.text


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"rows": []},
        {"rows": {}},
        {"rows": [1]},
        {"rows": [{}], "more": 1},
        {"rows": [{}]},
        {"rows": [{"video": []}]},
        {"name": "a/b", "rows": [{}]},
        {"name": "x" * 61, "rows": [{}]},
        {"rows": [{"id": "a" * 9999}]},
    ],
)
def test_rows_that_are_none_are_refused(asker, body):
    problem(asker.post("/batches", json=body), 422, "bad_request")


@pytest.mark.parametrize("kind", ["", "text/plain", "multipart/form-data; boundary=x"])
def test_a_batch_is_a_csv_or_json(asker, kind):
    problem(asker.post("/batches", content=b"x", headers={"Content-Type": kind}), 422, "bad_request")


@pytest.mark.parametrize("name", ["a/b", "", "-a", "x" * 61, "ü", "../up"])
def test_a_name_that_could_be_no_key_is_refused(client, csv, name):
    problem(client.post("/batches", params={"name": name}, content=csv, headers=CSV), 422, "bad_request")


def test_a_csv_that_is_too_long_is_refused_while_it_comes_in(asker):
    problem(
        asker.post("/batches", content=(bytes(2**20) for _ in range(20)), headers=CSV),
        413,
        "input_too_large",
    )


@pytest.fixture
def five(client, media):
    """A batch of five rows."""
    rows = [
        {"id": f"row {n}", "video": f"{media}/v.mp4", "audio": f"{media}/a.wav", "end": n}
        for n in range(1, 6)
    ]
    return client.post("/batches", json={"name": "five", "rows": rows}).json()


@pytest.fixture
def rows(five, storage):
    return list(batch_rows(storage, "five"))


def test_a_batch_shows_its_rows_page_by_page_and_links_to_the_next(client, five):
    seen, link = [], five["links"]["self"] + "?limit=2"
    while link:
        page = client.get(link).json()
        assert (page["rows"], page["matching"], page["ended"], page["live"]) == (5, 5, False, True)
        seen += [each["row"] for each in page["items"]]
        link = page["next"]
    assert seen == [f"row {n}" for n in range(1, 6)]
    assert client.get("/batches/five?offset=5").json()["items"] == []


def test_rows_are_filtered_by_state_and_counted_in_totals(client, rows, commit, ledger):
    for row, status in zip(rows, ("succeeded", "failed", "cancelled"), strict=False):
        commit("five", row, status)
        ledger.finish(row.job.id, {"succeeded": "done"}.get(status, status))
    ledger.claim(rows[3].job.id, "w", 30)
    ledger.beat(rows[3].job.id, "w", 30, "tag", Progress("generating", 10, 50, 25.0))
    batch = client.get("/batches/five").json()
    assert batch["counts"] == {"waiting": 1, "generating": 1, "done": 1, "failed": 1, "cancelled": 1}
    assert batch["totals"] == {
        "done": 1,
        "failed": 1,
        "cancelled": 1,
        "minutes": 0.033,
        "cost": 0.006,
        "currency": "USD",
    }
    some = client.get("/batches/five?state=failed&state=generating&limit=1").json()
    assert (some["matching"], [each["row"] for each in some["items"]]) == (2, ["row 2"])
    (next_one,) = client.get(some["next"]).json()["items"]
    assert (next_one["row"], next_one["frames"], next_one["error"]) == ("row 4", 10, None)
    (failed,) = client.get("/batches/five?state=failed").json()["items"]
    assert failed["error"] == "no_face"
    assert client.get(failed["links"]["self"]).json()["row"] == "row 2"


def test_an_ended_batch_is_told_by_its_summary_until_rows_are_requeued(client, rows, storage, commit, ledger):
    for row in rows:
        commit("five", row, "failed")
        ledger.finish(row.job.id, "failed")
    summary = Summary(
        batch="five",
        rows=5,
        succeeded=0,
        failed=5,
        cancelled=0,
        reused=0,
        output_minutes=7,
        cost=3,
        currency="EUR",
    )
    storage.put(keys.summary("five"), summary.model_dump_json().encode())
    (head,) = client.get("/batches").json()["batches"]
    assert (head["ended"], head["totals"]["minutes"], head["totals"]["currency"]) == (True, 7, "EUR")
    answer = client.post("/batches/five/retry?code=no_video")
    assert (answer.status_code, answer.json()) == (202, {"id": "five", "requeued": []})
    assert len(client.post("/batches/five/retry").json()["requeued"]) == 5
    (head,) = client.get("/batches").json()["batches"]
    assert (head["ended"], head["counts"]) == (False, {"waiting": 5})
    assert client.get("/batches/five").json()["counts"] == {"waiting": 5}


def test_a_batch_is_cancelled_whole(client, five, rows, ledger, storage):
    ledger.claim(rows[0].job.id, "w", 30)
    answer = client.delete(five["links"]["cancel"])
    assert answer.status_code == 202
    assert answer.json() == {"id": "five", "running": 1, "waiting": 4, "ended": 0, "told": True}
    assert storage.get(keys.cancelled("five"))


def test_batches_are_listed_newest_first_page_by_page(client, five, csv, pair):
    import time

    for name in ("b", "a"):
        time.sleep(1.1)  # the store dates objects by the second
        client.post(f"/batches?name={name}", content=csv, headers=CSV)
    client.post("/generate", files=pair)
    first = client.get("/batches?limit=3&jobs=false").json()
    assert ([each["id"] for each in first["batches"]], first["total"], first["next"]) == (
        ["a", "b", "five"],
        3,
        None,
    )
    page = client.get("/batches?limit=1").json()
    assert (page["total"], page["batches"][0]["rows"]) == (4, 1)
    assert client.get(client.get(page["next"]).json()["next"]).json()["batches"][0]["id"] == "b"


@pytest.mark.parametrize(
    "query", ["offset=-1", "limit=0", "limit=1001", "state=jazz", "offset=x", "offset=" + "9" * 40]
)
def test_a_page_that_is_none_is_refused(client, five, query):
    problem(client.get(f"/batches/five?{query}"), 422, "bad_request")


@pytest.mark.parametrize("name", ["none", "a%2Fb", "%00", "ü", "x" * 300])
@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("POST", "/retry")])
def test_a_batch_that_is_none_is_not_found(asker, method, path, name):
    problem(asker.request(method, f"/batches/{name}{path}"), 404, "not_found")


def test_batches_of_the_command_line_are_seen_at_this_machine(client, jobs, storage, settings):
    name = submit(check(jobs, storage, settings), storage, batch="with--hyphens").batch
    assert [each["id"] for each in client.get("/batches").json()["batches"]] == [name]


def test_while_redis_is_away_what_has_ended_is_told_all_the_same(serve, settings, storage, jobs, commit):
    from pydantic import SecretStr

    name = submit(check(jobs, storage, settings), storage).batch
    one, _ = batch_rows(storage, name)
    commit(name, one)
    away = settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")})
    with serve(away).client() as client:
        batch = client.get(f"/batches/{name}").json()
        assert (batch["live"], batch["counts"]) == (False, {"waiting": 1, "done": 1})
        job = client.get(f"/jobs/{one.job.id}?batch={name}").json()
        assert (job["live"], job["state"]) == (False, "done")
        answer = client.get("/health/ready")
        problem(answer, 503, "broker_unavailable")
        assert answer.headers["retry-after"]
