"""What a person types for a batch, a row or a job."""

import pytest

from contract import keys
from contract.errors import NotFound
from producer.names import find_batch, find_job, find_rows


@pytest.fixture
def batches(storage):
    for name in ("nightly", "nightly-2", "trial-a1", "trial-b2"):
        storage.put(keys.rows(name), b"")
    storage.put(f"{keys.BATCHES}ghost/summary.json", b"{}")  # without rows it is no batch


@pytest.fixture
def jobs_begun(storage):
    for job in ("abc123" + "0" * 58, "abc124" + "0" * 58):
        storage.put(keys.log(job, "a1"), b"")


@pytest.mark.parametrize(
    ("text", "found"), [("nightly", "nightly"), ("nightly-", "nightly-2"), ("trial-a", "trial-a1")]
)
def test_a_batch_is_found_by_its_name_or_by_a_beginning_that_no_other_has(storage, batches, text, found):
    assert find_batch(storage, text) == found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("trial", "batch 'trial' is short for 2: trial-a1, trial-b2; write more of it"),
        (
            "nihgtly",
            "there is no batch 'nihgtly'; did you mean 'nightly' or 'nightly-2'? `dubline status` lists them",
        ),
        ("ghost", "there is no batch 'ghost'; `dubline status` lists them"),
        ("", "there is no batch ''; `dubline status` lists them"),
        ("../x", "there is no batch '../x'; `dubline status` lists them"),
    ],
)
def test_what_names_no_batch_or_several_is_told_with_what_is_near(storage, batches, text, told):
    with pytest.raises(NotFound) as caught:
        find_batch(storage, text)
    assert caught.value.message == told


def test_of_many_batches_that_begin_so_a_few_are_named(storage):
    for number in range(7):
        storage.put(keys.rows(f"b{number}"), b"")
    with pytest.raises(NotFound, match=r"is short for 7: b0, b1, b2, b3, b4, \.\.\.; write more of it"):
        find_batch(storage, "b")


def test_rows_come_in_the_order_of_the_batch(storage, submitted):
    assert [row.id for row in find_rows(storage, submitted, ["two", "one", "two"])] == ["one", "two"]


def test_a_row_that_is_not_there_is_told_with_what_is_near(storage, submitted):
    with pytest.raises(NotFound) as caught:
        find_rows(storage, submitted, ["one", "twoo"])
    told = f"there is no row 'twoo' in batch {submitted}; did you mean 'two'? `dubline status {submitted}` lists them"
    assert caught.value.message == told


def test_a_job_is_found_by_its_first_digits(storage, jobs_begun):
    assert find_job(storage, "abc123") == "abc123" + "0" * 58
    assert find_job(storage, "abc124" + "0" * 58).startswith("abc124")


@pytest.mark.parametrize("text", ["abc12", "abc999", "nightly", "", "abc123/..", "ABC123"])
def test_what_names_no_job_is_told(storage, jobs_begun, text):
    with pytest.raises(NotFound, match="no worker has begun a job of that id"):
        find_job(storage, text)


def test_digits_of_two_jobs_are_told(storage):
    for job in ("abcdef1" + "0" * 57, "abcdef2" + "0" * 57):
        storage.put(keys.log(job, "a1"), b"")
    with pytest.raises(NotFound, match="job 'abcdef' is short for 2: abcdef10"):
        find_job(storage, "abcdef")
