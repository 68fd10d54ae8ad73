import threading

import pytest

from contract import keys
from tests.producer.api.checks import found, problem

ONCE = {"Idempotency-Key": "order-17"}
CSV = {"Content-Type": "text/csv"}


@pytest.fixture
def address(storage):
    storage.put("v.mp4", b"video")
    return f"s3://{storage.bucket}/v.mp4"


def requests(client, address, pair):
    """Every POST that creates, as it is sent once and with another body."""
    row = {"video": address, "audio": address}
    csv = f"video,audio\n{address},{address}\n"
    return {
        "/generate": (
            lambda: client.post("/generate", files=pair, headers=ONCE),
            lambda: client.post("/generate", files=pair, data={"sync_mode": "loop"}, headers=ONCE),
        ),
        "/jobs": (
            lambda: client.post("/jobs", json=row, headers=ONCE),
            lambda: client.post("/jobs", json={**row, "sync_mode": "loop"}, headers=ONCE),
        ),
        "/batches": (
            lambda: client.post("/batches", json={"rows": [row]}, headers=ONCE),
            lambda: client.post("/batches", json={"name": "x", "rows": [row]}, headers=ONCE),
        ),
        "/batches by csv": (
            lambda: client.post("/batches", content=csv, headers=ONCE | CSV),
            lambda: client.post("/batches", content=csv + "\n\n", headers=ONCE | CSV),
        ),
        "/uploads": (
            lambda: client.post("/uploads", json={"filename": "a.mp4", "bytes": 5}, headers=ONCE),
            lambda: client.post("/uploads", json={"filename": "a.mp4", "bytes": 6}, headers=ONCE),
        ),
    }


@pytest.mark.parametrize("what", ["/generate", "/jobs", "/batches", "/batches by csv", "/uploads"])
def test_the_same_key_and_request_get_the_same_answer_and_another_request_none(
    client, address, pair, storage, what
):
    same, other = requests(client, address, pair)[what]
    first, again = same(), same()
    assert first.status_code in (201, 202)
    assert (again.status_code, again.text) == (first.status_code, first.text)
    assert ("idempotency-replayed" in first.headers, again.headers["idempotency-replayed"]) == (False, "true")
    before = {key for key in found(storage) if key.startswith(keys.BATCHES)}
    problem(other(), 422, "repeat_differs")
    assert {key for key in found(storage) if key.startswith(keys.BATCHES)} == before, "it was not done either"


def test_a_key_that_came_with_one_address_is_refused_at_another(client, address, pair):
    every = requests(client, address, pair)
    every["/jobs"][0]()
    problem(every["/batches"][0](), 422, "repeat_differs")


def test_what_was_refused_is_refused_again_and_may_be_put_right_under_another_key(client, address):
    bad = {"video": address, "audio": "nowhere.wav"}
    for _ in range(2):
        problem(client.post("/jobs", json=bad, headers=ONCE), 422, "bad_request")


def test_what_died_before_its_answer_is_done_when_it_is_asked_again(client, address, storage, monkeypatch):
    row = {"video": address, "audio": address}
    put = type(storage).put

    def die(self, key, *rest, **more):
        if key.startswith(keys.REPEATS):
            raise RuntimeError("killed")
        put(self, key, *rest, **more)

    monkeypatch.setattr(type(storage), "put", die)
    assert client.post("/jobs", json=row, headers=ONCE).status_code == 500
    monkeypatch.undo()
    again = client.post("/jobs", json=row, headers=ONCE)
    assert (again.status_code, "idempotency-replayed" in again.headers) == (202, False)


def test_of_two_at_once_with_the_same_key_both_get_the_same_job(served, address):
    ids = []

    def send():
        with served.client() as client:
            ids.append(
                client.post("/jobs", json={"video": address, "audio": address}, headers=ONCE).json()["id"]
            )

    threads = [threading.Thread(target=send) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert (len(ids), len(set(ids))) == (6, 1)


@pytest.mark.parametrize("key", [b"", b"x" * 256, b"\xff\x80"])
def test_a_key_that_is_none_is_refused(client, address, key):
    answer = client.post("/jobs", json={"video": address, "audio": address}, headers={"Idempotency-Key": key})
    problem(answer, 422, "bad_request")
