import time

import pytest

from contract.errors import BY_CODE, ConfigurationError, TemporaryFailure
from producer.api.problems import status_of
from tests.producer.api.checks import problem


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_every_code_has_a_status_that_says_whose_fault_it_is(code):
    error = BY_CODE[code]("the fact")
    status = int(status_of(error))
    assert 400 <= status < 600
    if isinstance(error, TemporaryFailure):
        assert status in (408, 429, 503)
    if isinstance(error, ConfigurationError):
        assert status == 500


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/jobs", 405, "method_not_allowed"),
        ("PUT", "/batches/x", 405, "method_not_allowed"),
        ("TRACE", "/version", 405, "method_not_allowed"),
        ("GET", "/estimate", 422, "bad_request"),
        ("GET", "/estimate?seconds=nan", 422, "bad_request"),
        ("GET", "/estimate?seconds=1&engine=magic", 422, "bad_request"),
        ("GET", "/estimate?seconds=1&jobs=0", 422, "bad_request"),
        ("GET", "/batches?limit=x", 422, "bad_request"),
        ("GET", "/docs", 404, "not_found"),
        ("GET", "/%00", 404, "not_found"),
        ("POST", "/jobs/", 404, "not_found"),
    ],
)
def test_what_the_framework_refuses_is_a_problem_like_any_other(asker, method, path, status, code):
    answer = asker.request(method, path)
    problem(answer, status, code)
    if status == 405:
        assert answer.headers["allow"]


def test_a_service_that_is_away_is_temporary(serve, settings):
    away = settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:1"})
    with serve(away).client(headers={}) as client:
        answer = client.get("/batches", timeout=60)
        problem(answer, 503, "store_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert client.get("/health/live").status_code == 200


def test_what_a_person_must_mend_is_logged_and_not_told(serve, settings, caplog):
    lost = settings.model_copy(update={"s3_bucket": "no-such-bucket-here"})
    with serve(lost).client() as client:
        said = problem(client.get("/batches"), 500, "configuration")
    assert "no-such-bucket" not in said["detail"]
    assert any("no-such-bucket-here" in each.message for each in caplog.records)


def test_a_defect_is_told_as_one_and_logged_with_its_traceback(client, served, monkeypatch, caplog):
    def broken(self, owner):
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr("producer.api.totals.Batches.of", broken)
    answer = client.get("/batches")
    assert "secret" not in answer.text
    problem(answer, 500, "dubline")
    assert answer.headers["x-content-type-options"] == "nosniff"
    deadline = time.monotonic() + 20  # it is logged after it is answered
    while not any(each.exc_info and "a secret" in str(each.exc_info[1]) for each in caplog.records):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_estimate_rests_on_what_it_says(asker):
    told = asker.get("/estimate?seconds=60&jobs=3").json()
    assert (told["jobs"], told["output_seconds"], told["currency"]) == (3, pytest.approx(60), "USD")
    assert told["worker_seconds"] == pytest.approx(2 * 60 + 3 * 2)
    assert "preview: 2 s" in told["assumptions"][1]


def test_the_page_is_served_where_there_is_one(asker):
    answer = asker.get("/")
    assert answer.status_code in (200, 404)
    if answer.status_code == 200:
        assert "script-src" in answer.headers["content-security-policy"]
