import secrets

import pytest

from contract.errors import BadRequest
from producer.check import check, refuse_faults


@pytest.fixture
def csv(tmp_path, storage):
    """A CSV of rows whose cells may name {here}, a stored object, and {bucket}."""
    storage.put("given/v.mp4", b"video", "video/mp4")
    storage.put("given/empty.wav", b"", "audio/wav")
    here = f"s3://{storage.bucket}/given"

    def csv(*rows):
        path = tmp_path / "jobs.csv"
        path.write_text("\n".join(["id,video,audio", *(row.replace("{here}", here) for row in rows)]))
        return path

    return csv


def test_stored_inputs_are_pinned_to_what_they_are_now(csv, storage, settings):
    checked = check(csv("one,{here}/v.mp4,{here}/v.mp4"), storage, settings)
    address = f"s3://{storage.bucket}/given/v.mp4"
    assert checked.pinned
    assert {address: pin.etag for address, pin in checked.pins.items()} == {
        address: storage.stat("given/v.mp4").etag
    }


def test_stored_inputs_that_cannot_be_rendered_are_faults_of_every_row_that_names_them(
    csv, storage, settings
):
    nowhere = f"s3://no-such-bucket-{secrets.token_hex(4)}/v.mp4"
    path = csv(
        "good,{here}/v.mp4,{here}/v.mp4",
        "one,{here}/gone.mp4,{here}/empty.wav",
        f"two,{nowhere},{{here}}/gone.mp4",
        "th/ree,{here}/v.mp4,{here}/gone.mp4",
    )
    checked = check(path, storage, settings)
    here = f"s3://{storage.bucket}/given"
    assert [(fault.line, fault.code, fault.message.split(";")[0]) for fault in checked.faults] == [
        (3, "input_not_found", f"video {here}/gone.mp4 does not exist"),
        (3, "input_empty", f"audio {here}/empty.wav is empty (0 bytes)"),
        (4, "input_not_found", f"video {nowhere} does not exist"),
        (4, "input_not_found", f"audio {here}/gone.mp4 does not exist"),
        (5, "bad_request", "id 'th/ree' must be 1 to 200 characters without slashes and control characters"),
        (5, "input_not_found", f"audio {here}/gone.mp4 does not exist"),
    ]
    assert [pair.id for pair in checked.pairs] == ["good"]


def test_a_stored_input_over_the_limit_is_a_fault(csv, storage, settings):
    small = settings.model_copy(update={"max_input_bytes": 4})
    faults = check(csv("one,{here}/v.mp4,{here}/v.mp4"), storage, small).faults
    assert [fault.code for fault in faults] == ["input_too_large", "input_too_large"]


def test_above_the_limit_no_stored_input_is_looked_at(csv, storage, settings):
    rows = "one,{here}/gone.mp4,{here}/v.mp4", "two,{here}/v.mp4,{here}/v.mp4"
    two = check(csv(*rows), storage, settings.model_copy(update={"pin_limit": 2}))
    one = check(csv(*rows), storage, settings.model_copy(update={"pin_limit": 1}))
    assert (two.pinned, len(two.pairs), len(two.faults)) == (True, 1, 1)
    assert (one.pinned, len(one.pairs), one.pins, one.faults) == (False, 2, {}, [])


def test_bad_rows_stop_everything_unless_they_are_skipped_and_good_ones_are_left(csv, storage, settings):
    some = check(csv("one,{here}/v.mp4,{here}/v.mp4", "two,,", "three,,x"), storage, settings)
    none = check(csv("two,,"), storage, settings)
    refuse_faults(some, skip_bad=True)
    with pytest.raises(BadRequest, match=r"^2 of 3 rows cannot become jobs; .* --skip-bad$") as caught:
        refuse_faults(some, skip_bad=False)
    assert [fault.line for fault in caught.value.faults] == [3, 3, 4, 4]
    with pytest.raises(BadRequest, match=r"^1 of 1 rows cannot become jobs; correct them$"):
        refuse_faults(none, skip_bad=True)
