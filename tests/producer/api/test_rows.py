"""Which rows of a batch are shown, in which order; and the little that a page needs beside: first rows and manifests."""

import pytest

from producer.api.rows import Wanted
from producer.status import RowStatus
from tests.producer.api.checks import problem

ROWS = [
    RowStatus("Straße", "a" * 64, "done", 50, 50, attempts=1),
    RowStatus("beta", "b" * 64, "failed", error="no_face", attempts=3),
    RowStatus("Alpha", "c" * 64, "generating", 20, 50),
]


@pytest.mark.parametrize(
    ("states", "text", "order", "expected"),
    [
        ((), "", None, ["Straße", "beta", "Alpha"]),
        (("done", "failed"), "", None, ["Straße", "beta"]),
        ((), "STRASSE", None, ["Straße"]),
        ((), "no_f", None, ["beta"]),
        ((), "cccc", None, ["Alpha"]),
        (("done",), "beta", None, []),
        ((), "", "row", ["Alpha", "beta", "Straße"]),
        ((), "", "-row", ["Straße", "beta", "Alpha"]),
        ((), "", "state", ["Alpha", "Straße", "beta"]),
        ((), "", "-frames", ["Straße", "Alpha", "beta"]),
        ((), "", "-attempts", ["beta", "Straße", "Alpha"]),
        ((), "", "-error", ["beta", "Straße", "Alpha"]),
    ],
)
def test_rows_are_those_that_are_wanted_in_the_order_that_is_wanted(states, text, order, expected):
    assert [row.id for row in Wanted(frozenset(states), text, order).of(ROWS)] == expected


def test_the_next_page_is_of_the_same_rows(client, submitted):
    first = client.get(f"/batches/{submitted}?text=O&sort=-row&limit=1").json()
    assert ([row["row"] for row in first["items"]], first["matching"]) == (["two"], 2)
    second = client.get(first["next"]).json()
    assert ([row["row"] for row in second["items"]], second["next"]) == (["one"], None)


@pytest.mark.parametrize("query", ["sort=size", "sort=--row", "text=" + "x" * 201])
def test_an_order_that_there_is_not_is_refused(client, submitted, query):
    problem(client.get(f"/batches/{submitted}?{query}"), 422, "bad_request")


def test_a_batch_names_its_first_row(client, rows, submitted):
    (listed,) = client.get("/batches").json()["batches"]
    assert listed["first"] == {"id": rows[0].job.id, "row": "one"}
    assert client.get(f"/batches/{submitted}").json()["first"] == listed["first"]


def test_a_job_that_has_ended_shows_its_manifest(client, rows, submitted, commit):
    waiting, ended = (f"/jobs/{row.job.id}" for row in rows)
    assert client.get(f"{waiting}?batch={submitted}").json()["links"]["manifest"] is None
    problem(client.get(f"{waiting}/manifest?batch={submitted}"), 409, "not_ready")
    manifest = commit(submitted, rows[1], "failed")
    link = client.get(f"{ended}?batch={submitted}").json()["links"]["manifest"]
    assert client.get(link).json() == manifest.model_dump(mode="json")


def test_a_manifest_is_its_owner_s_alone(two, rows, submitted, commit):
    ann, _ = two
    commit(submitted, rows[0])
    problem(ann.get(f"/jobs/{rows[0].job.id}/manifest?batch={submitted}"), 404, "not_found")
