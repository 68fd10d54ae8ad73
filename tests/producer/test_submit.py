import re

import pytest

from contract import keys
from contract.errors import BadRequest, BatchConflict
from contract.job import Row
from producer.batches import batch_rows
from producer.check import check
from producer.estimate import estimate
from producer.submit import submit


def everything(storage):
    return {each.key for each in storage.list("")}


def test_a_submission_is_one_object_of_rows_beside_its_uploads(jobs, storage, settings):
    done = submit(check(jobs, storage, settings), storage)
    rows = list(batch_rows(storage, done.batch))
    assert (done.rows, done.uploaded_files, done.uploaded_bytes, done.already) == (2, 3, 5800, False)
    assert re.fullmatch(r"Jobs-fur-heute-[0-9a-f]{12}", done.batch)
    assert [row.id for row in rows] == ["one", "two"]
    assert storage.get(rows[0].job.audio.uri) == b"hello" * 100
    assert rows[0].job.audio.uri == f"s3://{storage.bucket}/{keys.uploaded(rows[0].job.audio.sha256, '.wav')}"
    assert everything(storage) == {
        keys.rows(done.batch),
        *(
            source.uri.removeprefix(f"s3://{storage.bucket}/")
            for row in rows
            for source in (row.job.video, row.job.audio)
        ),
    }


def test_the_same_csv_again_is_the_same_batch_and_nothing_is_repeated(jobs, storage, settings):
    first = submit(check(jobs, storage, settings), storage)
    before = everything(storage)
    again = submit(check(jobs, storage, settings), storage)
    assert (again.batch, again.already, again.uploaded_files) == (first.batch, True, 0)
    assert everything(storage) == before


def test_the_same_rows_give_the_same_bytes_whatever_spreadsheet_wrote_them(jobs, storage, settings):
    first = submit(check(jobs, storage, settings), storage)
    jobs.write_bytes(b"\xef\xbb\xbf" + jobs.read_bytes().replace(b"\n", b"\r\n\r\n").replace(b",", b";"))
    assert submit(check(jobs, storage, settings), storage).batch == first.batch


def test_other_rows_under_the_same_name_are_a_conflict_before_anything_is_uploaded(jobs, storage, settings):
    submit(check(jobs, storage, settings), storage, batch="nightly")
    (jobs.parent / "bye.wav").write_bytes(b"something else")
    before = everything(storage)
    with pytest.raises(
        BatchConflict, match=r"batch nightly exists and holds other rows .* choose another --batch"
    ):
        submit(check(jobs, storage, settings), storage, batch="nightly")
    assert everything(storage) == before


def test_a_pinned_input_that_was_replaced_makes_another_batch(tmp_path, storage, settings):
    path = tmp_path / "jobs.csv"
    path.write_text(f"video,audio\ns3://{storage.bucket}/v.mp4,s3://{storage.bucket}/v.mp4\n")
    storage.put("v.mp4", b"first")
    first = submit(check(path, storage, settings), storage)
    storage.put("v.mp4", b"second")
    second = submit(check(path, storage, settings), storage)
    assert first.batch != second.batch
    assert next(batch_rows(storage, second.batch)).job.video.etag == storage.stat("v.mp4").etag


def test_without_pins_the_key_alone_is_the_identity(tmp_path, storage, settings):
    path = tmp_path / "jobs.csv"
    path.write_text("video,audio\ns3://elsewhere/v.mp4,s3://elsewhere/a.wav\n")
    done = submit(check(path, storage, settings.model_copy(update={"pin_limit": 1})), storage)
    assert not done.pinned
    assert next(batch_rows(storage, done.batch)).job.video.identity == "s3://elsewhere/v.mp4#"


def test_bad_rows_submit_nothing(jobs, storage, settings):
    jobs.write_text(jobs.read_text() + "three,gone.mp4,bye.wav\n")
    with pytest.raises(BadRequest):
        submit(check(jobs, storage, settings), storage)
    assert everything(storage) == set()


def test_skipping_bad_rows_submits_the_others_and_lists_them(jobs, storage, settings):
    jobs.write_text(jobs.read_text() + "three,gone.mp4,bye.wav\n")
    done = submit(check(jobs, storage, settings), storage, skip_bad=True)
    assert (done.rows, [fault.line for fault in done.skipped]) == (2, [4])


def test_force_makes_every_job_a_new_one(jobs, storage, settings):
    first = submit(check(jobs, storage, settings), storage)
    forced = submit(check(jobs, storage, settings), storage, force=True)
    known = {row.job.id for row in batch_rows(storage, first.batch)}
    new = {row.job.id for row in batch_rows(storage, forced.batch)}
    assert len(new) == 2
    assert not new & known


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a b", "ü", "a" * 101, "a\n"])
def test_a_name_that_is_no_key_is_refused(jobs, storage, settings, name):
    with pytest.raises(BadRequest, match="must be 1 to 100 letters"):
        submit(check(jobs, storage, settings), storage, batch=name)


def test_a_csv_whose_name_has_no_plain_letter_still_names_a_batch(jobs, storage, settings):
    path = jobs.rename(jobs.with_name("你好.csv"))
    assert submit(check(path, storage, settings), storage).batch.startswith("batch-")


def test_rows_are_written_with_all_that_makes_their_identity(jobs, storage, settings):
    done = submit(check(jobs, storage, settings), storage)
    line = next(storage.lines(keys.rows(done.batch)))
    row = Row.model_validate_json(line)
    for written in (
        row.job.weights,
        f'"pipeline":{row.job.pipeline}',
        '"sync_mode":"bounce"',
        row.job.video.sha256,
    ):
        assert written in line.decode()


def test_a_url_is_submitted_as_it_stands_and_asked_of_nobody(tmp_path, storage, settings):
    (tmp_path / "a.wav").write_bytes(b"voice")
    path = tmp_path / "far.csv"
    path.write_text("id,video,audio\none,https://host.invalid/v.mp4?sig=hunter2,a.wav\n")
    checked = check(path, storage, settings.model_copy(update={"pin_limit": 0}))
    assert (checked.pinned, checked.pins) == (True, {})
    assert estimate(checked, settings).unknown_rows == 1
    done = submit(checked, storage)
    (row,) = batch_rows(storage, done.batch)
    assert (row.job.video.uri, row.job.video.etag) == ("https://host.invalid/v.mp4?sig=hunter2", None)
    assert submit(checked, storage).already
