import httpx2
import pytest

from contract import keys
from producer.batches import batch_rows
from tests.producer.api.checks import problem

VIDEO = bytes(range(256)) * 10_000


@pytest.fixture
def waiting(client, pair):
    """A job that has not ended."""
    return client.post("/generate", files=pair).json()


@pytest.fixture
def done(client, waiting, storage, commit, ledger):
    """A job with its video."""
    (row,) = batch_rows(storage, waiting["batch"])
    commit(waiting["batch"], row, video=VIDEO)
    ledger.finish(row.job.id, "done")
    return client.get(waiting["links"]["self"]).json()


def test_the_result_is_a_redirect_to_the_store_which_gives_it_under_its_own_name(client, done):
    answer = client.get(done["links"]["result"])
    assert answer.status_code == 302
    got = httpx2.get(answer.headers["location"], headers={"Range": "bytes=5-9"}, trust_env=False)
    assert (got.status_code, got.content) == (206, VIDEO[5:10])
    assert got.headers["content-type"] == "video/mp4"
    assert "face-voice.mp4" in got.headers["content-disposition"]


def test_an_address_of_the_store_that_was_changed_opens_nothing(client, done):
    url = client.get(done["links"]["result"]).headers["location"]
    for changed in (
        url.replace("video.mp4", "curves.json"),
        url.replace("X-Amz-Expires=3600", "X-Amz-Expires=36000"),
    ):
        assert httpx2.get(changed, trust_env=False).status_code == 403


def test_the_result_streams_from_here_whole(client, done):
    got = client.get(done["links"]["stream"])
    assert (got.status_code, got.content, got.headers["content-type"]) == (200, VIDEO, "video/mp4")
    assert got.headers["etag"] == f'"{done["result"]["sha256"]}"'
    assert got.headers["accept-ranges"] == "bytes"
    assert "sandbox" in got.headers["content-security-policy"]


LAST = len(VIDEO) - 1


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-", 0, LAST),
        ("bytes=1000000-1999999", 1_000_000, 1_999_999),
        (f"bytes={LAST}-", LAST, LAST),
        ("bytes=-7", LAST - 6, LAST),
        ("bytes=5-99999999999", 5, LAST),
        ("bytes=-99999999999", 0, LAST),
    ],
)
def test_a_player_gets_the_range_that_it_asks_for(client, done, asked, first, last):
    got = client.get(done["links"]["stream"], headers={"Range": asked})
    assert (got.status_code, got.content) == (206, VIDEO[first : last + 1])
    assert got.headers["content-range"] == f"bytes {first}-{last}/{len(VIDEO)}"
    assert got.headers["content-length"] == str(last + 1 - first)


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=9-5",
        "bytes=0-1,5-6",
        "frames=0-1",
        "bytes=0-1-2",
        "bytes=" + "9" * 30 + "-",
    ],
)
def test_a_range_that_is_none_is_passed_over(client, done, asked):
    got = client.get(done["links"]["stream"], headers={"Range": asked})
    assert (got.status_code, len(got.content)) == (200, len(VIDEO))


@pytest.mark.parametrize("asked", [f"bytes={LAST + 1}-", "bytes=99999999999-", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(client, done, asked):
    answer = client.get(done["links"]["stream"], headers={"Range": asked})
    problem(answer, 416, "range_unsatisfiable")
    assert answer.headers["content-range"] == f"bytes */{len(VIDEO)}"


def test_a_range_of_another_version_is_the_whole_and_the_same_version_is_not_sent_again(client, done):
    tag = client.get(done["links"]["stream"]).headers["etag"]
    other = client.get(done["links"]["stream"], headers={"Range": "bytes=0-0", "If-Range": '"other"'})
    same = client.get(done["links"]["stream"], headers={"Range": "bytes=0-0", "If-Range": tag})
    kept = client.get(done["links"]["stream"], headers={"If-None-Match": tag})
    assert (other.status_code, same.status_code, kept.status_code, kept.content) == (200, 206, 304, b"")


def test_a_job_without_a_video_has_no_result_and_no_curves(client, waiting):
    for link in ("result", "result?stream=1", "curves"):
        said = problem(client.get(f"/jobs/{waiting['id']}/{link}"), 409, "not_ready")
    assert "no video yet" in said["detail"]


def test_a_video_that_was_removed_from_the_store_is_not_found(client, done, storage):
    storage.delete(keys.attempt(done["id"], "a1", "video.mp4"))
    problem(client.get(done["links"]["stream"]), 404, "not_found")


def test_the_inputs_play_beside_it(client, waiting):
    video, audio = (
        client.get(waiting["links"]["source"]),
        client.get(waiting["links"]["audio"], headers={"Range": "bytes=-5"}),
    )
    assert (video.content, video.headers["content-type"]) == (b"video" * 1000, "video/mp4")
    assert (audio.status_code, audio.content, audio.headers["content-type"]) == (206, b"voice", "audio/wav")
    away = client.get(waiting["links"]["source"] + "&redirect=1").headers["location"]
    assert httpx2.get(away, trust_env=False).content == b"video" * 1000


def test_an_input_that_a_browser_would_run_is_only_bytes(client, storage):
    storage.put("page.html", b"<script>alert(1)</script>")
    storage.put("a.wav", b"sound")
    bucket = storage.bucket
    job = client.post(
        "/jobs", json={"video": f"s3://{bucket}/page.html", "audio": f"s3://{bucket}/a.wav"}
    ).json()
    got = client.get(job["links"]["source"])
    assert got.headers["content-type"] == "application/octet-stream"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in got.headers["content-security-policy"]


def test_an_input_that_is_gone_is_not_found(client, waiting, storage):
    storage.delete(waiting["request"]["video"].removeprefix(f"s3://{storage.bucket}/"))
    problem(client.get(waiting["links"]["source"]), 404, "not_found")


def test_the_curves_are_what_the_sync_check_compared(client, done):
    assert client.get(done["links"]["curves"]).json() == {
        "fps": 25,
        "aperture": [0.1, None],
        "loudness": [-30.0, -20.0],
    }


def test_the_log_is_what_each_attempt_said_without_tracebacks(client, done, storage):
    line = '{"time": "2026-01-01T00:00:00", "level": "WARNING", "message": "no face in frame 7", "traceback": "File x"}\n'
    storage.put(keys.log(done["id"], "a1"), line.encode())
    (attempt,) = client.get(done["links"]["log"]).json()["attempts"]
    assert (attempt["id"], attempt["outcome"], attempt["number"]) == ("a1", "succeeded", 1)
    assert attempt["log"] == [
        {"time": "2026-01-01T00:00:00", "level": "WARNING", "message": "no face in frame 7"}
    ]


def test_whoever_stops_listening_holds_nothing(client, done, served):
    with client.stream("GET", done["links"]["stream"]) as got:
        assert next(got.iter_bytes(10))
    assert client.get(done["links"]["stream"]).content == VIDEO
