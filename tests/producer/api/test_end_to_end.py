"""From a form to a video that plays, on the stack that `dubline up` starts, with a real worker."""

import time
import wave
from pathlib import Path

import httpx2
import pytest

from contract.settings import Settings
from producer.local import LocalStack

DEMO = Path(__file__).parents[3] / "demo"
SECONDS = 120


@pytest.fixture(scope="module")
def client(programs, weights_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stack")
    settings = Settings(weights=weights_folder, scratch=folder / "scratch", pin_limit=0)
    with (
        LocalStack.start(folder, workers=1, flower=False, api=True, settings=settings) as stack,
        httpx2.Client(base_url=stack.api_url, timeout=SECONDS, trust_env=False) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    """One second of the demo's."""
    path = tmp_path_factory.mktemp("voice") / "voice.wav"
    with wave.open(str(DEMO / "voice-short.wav")) as long, wave.open(str(path), "wb") as short:
        short.setparams(long.getparams())
        short.writeframes(long.readframes(long.getframerate()))
    return path.read_bytes()


def ended(client, job):
    """The job when its events have ended, and the states that it went through."""
    states = []
    with client.stream("GET", job["links"]["events"]) as following:
        for line in following.iter_lines():
            if line.startswith("data: "):
                last = line.removeprefix("data: ")
                states.append(httpx2.Response(200, content=last).json()["state"])
    return httpx2.Response(200, content=last).json(), states


def test_files_of_a_form_become_a_video_with_curves_a_log_and_figures(client, voice):
    files = {"video": ("portrait.mp4", (DEMO / "portrait.mp4").read_bytes()), "audio": ("voice.wav", voice)}
    submitted = client.post("/generate", files=files, data={"end": "0.5"})
    assert submitted.status_code == 202
    job, states = ended(client, submitted.json())
    assert (job["state"], job["frames"], job["error"]) == ("done", 25, None)
    assert states[-1] == "done" and len(set(states)) > 1
    streamed = client.get(job["links"]["stream"])
    redirected = httpx2.get(client.get(job["links"]["result"]).headers["location"], trust_env=False)
    assert streamed.content == redirected.content
    assert len(streamed.content) == job["result"]["bytes"]
    assert streamed.content[4:8] == b"ftyp"
    curves = client.get(job["links"]["curves"]).json()
    assert (curves["fps"], len(curves["aperture"]), len(curves["loudness"])) == (25, 25, 25)
    (attempt,) = client.get(job["links"]["log"]).json()["attempts"]
    assert attempt["outcome"] == "succeeded"
    assert client.get(job["links"]["source"]).content == files["video"][1]
    head = client.get("/batches").json()["batches"][0]
    assert (head["id"], head["totals"]["done"], head["totals"]["minutes"]) == (job["batch"], 1, 0.017)
    assert head["totals"]["cost"] > 0


def test_what_is_no_media_fails_by_its_code_and_is_retried_when_asked(client, voice):
    files = {"video": ("text.mp4", b"This is not a video.\n" * 50), "audio": ("voice.wav", voice)}
    job, _ = ended(client, client.post("/generate", files=files).json())
    assert (job["state"], job["error"]["code"], job["result"]) == ("failed", "not_media", None)
    again = client.post(job["links"]["retry"]).json()
    assert again["state"] != "failed"
    job, _ = ended(client, again)
    assert (job["state"], job["error"]["code"]) == ("failed", "not_media")
    assert len(client.get(job["links"]["log"]).json()["attempts"]) == 2


def test_a_job_that_runs_is_cancelled(client):
    files = {
        "video": ("portrait.mp4", (DEMO / "portrait.mp4").read_bytes()),
        "audio": ("voice.wav", (DEMO / "voice-short.wav").read_bytes()),
    }
    job = client.post("/generate", files=files).json()
    deadline = time.monotonic() + SECONDS
    while client.get(job["links"]["self"]).json()["state"] in ("waiting", "queued"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert client.delete(job["links"]["cancel"]).status_code == 202
    job, _ = ended(client, job)
    assert job["state"] == "cancelled"
