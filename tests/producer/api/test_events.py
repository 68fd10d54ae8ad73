import json
import threading
import time

import pytest

from contract.ledger import Progress
from producer.api import events
from producer.batches import batch_rows


@pytest.fixture
def row(client, pair, storage):
    """The row of a job that waits."""
    job = client.post("/generate", files=pair).json()
    (only,) = batch_rows(storage, job["batch"])
    return only


def follow(client, row, **headers):
    """Names and data of events until the server ends them; comments as they are."""
    with client.stream("GET", f"/jobs/{row.job.id}/events", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        fields = {}
        for line in answer.iter_lines():
            if line.startswith(":"):
                yield "comment", line
            elif line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                yield fields["event"], json.loads(fields["data"])
                fields = {}


def test_events_tell_every_change_and_end_with_the_job(client, row, ledger, commit):
    seen = follow(client, row)
    assert next(seen)[1]["state"] == "waiting"
    ledger.claim(row.job.id, "w", 30)
    ledger.beat(row.job.id, "w", 30, "tag", Progress("generating", 10, 50, 25.0))
    name, job = next(seen)
    assert (name, job["state"], job["frames"]) == ("progress", "generating", 10)
    commit(f"job-{row.job.id[:40]}", row)
    ledger.finish(row.job.id, "done")
    rest = list(seen)
    assert [(name, job["state"]) for name, job in rest] == [("end", "done")]
    assert rest[0][1]["links"]["stream"]


def test_whoever_comes_back_begins_with_the_job_as_it_stands(client, row, ledger, commit):
    commit(f"job-{row.job.id[:40]}", row, "failed")
    ledger.finish(row.job.id, "failed")
    for last in ("", "7", "nonsense", "9" * 500):
        ((name, job),) = follow(client, row, **{"Last-Event-ID": last})
        assert (name, job["error"]["code"]) == ("end", "no_face")


def test_in_silence_a_comment_keeps_the_connection(client, row, monkeypatch):
    monkeypatch.setattr(events, "BEAT_SECONDS", 0.2)
    seen = follow(client, row)
    assert next(seen)[0] == "progress"
    assert next(seen)[0] == next(seen)[0] == "comment"
    seen.close()


def test_a_server_that_ends_lets_its_followers_go(client, row, served):
    seen = follow(client, row)
    next(seen)
    services = served.api.state.desk.services
    began = time.monotonic()
    services.stopping.set()
    assert list(seen) == []
    assert time.monotonic() - began < 2
    services.stopping.clear()


def test_many_follow_one_job_with_one_question_at_a_time(served, client, row, monkeypatch):
    asked = []
    ledger = served.api.state.desk.services.ledger
    progress = type(ledger).progress

    def slow(self, jobs):
        asked.append(len(jobs))
        time.sleep(0.05)
        return progress(self, jobs)

    monkeypatch.setattr(type(ledger), "progress", slow)

    def look():
        with served.client() as one:
            for _ in range(5):
                assert one.get(f"/jobs/{row.job.id}").status_code == 200

    threads = [threading.Thread(target=look) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(asked) <= 20, "forty requests were answered by so many questions"


def test_followers_are_counted_and_counted_off(client, row):
    seen = follow(client, row)
    next(seen)
    assert "dubline_api_followers 1.0" in client.get("/metrics").text
    seen.close()
    deadline = time.monotonic() + 10
    while "dubline_api_followers 0.0" not in client.get("/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.1)
