"""The rows of a batch that failed."""

from contract import keys
from contract.outputs import publish_output
from producer.failed import FailedRow, failed_rows
from producer.requeue import requeue_rows


def announce(storage, batch, row, manifest):
    publish_output(storage, batch, row.id, manifest)


def test_failed_rows_are_listed_with_their_reason(storage, submitted, rows, commit):
    announce(storage, submitted, rows[0], commit(submitted, rows[0]))
    announce(storage, submitted, rows[1], commit(submitted, rows[1], "failed"))
    assert list(failed_rows(storage, submitted)) == [
        FailedRow(
            row="two",
            job=rows[1].job.id,
            code="no_face",
            message="no frame of face.MP4 shows a face",
            retryable=False,
            attempts=1,
            logs=(),
        )
    ]


def test_cancelled_rows_did_not_fail(storage, submitted, rows, commit):
    announce(storage, submitted, rows[0], commit(submitted, rows[0], "cancelled"))
    assert list(failed_rows(storage, submitted)) == []


def test_a_note_that_outlived_its_failure_is_not_believed(storage, ledger, submitted, rows, commit):
    failure = commit(submitted, rows[0], "failed")
    announce(storage, submitted, rows[0], failure)
    requeue_rows(storage, ledger, submitted)
    announce(storage, submitted, rows[0], failure)  # by a worker that was slow
    assert list(failed_rows(storage, submitted)) == []


def test_a_failure_of_another_batch_with_the_same_job_is_listed_in_both(storage, submitted, rows, commit):
    failure = commit(submitted, rows[0], "failed")
    announce(storage, submitted, rows[0], failure)
    announce(storage, "other", rows[0], failure)
    assert [each.row for each in failed_rows(storage, "other")] == ["one"]
    assert {each.key for each in storage.list(keys.DEAD)} == {
        keys.dead(submitted, "one"),
        keys.dead("other", "one"),
    }
