from producer.watch.batching import Submitted


def test_pairs_that_are_seen_together_become_one_batch_with_pinned_inputs(drop, storage):
    drop.pair("clip01", "clip02")
    scan = drop.watcher().scan()
    (batch,) = drop.batches()
    assert scan.submitted == [Submitted(batch, 2)]
    assert batch.startswith("drop-")
    assert drop.ids() == ["clip01", "clip02"]
    (_, row), _ = drop.rows()
    assert row.job.video.uri == f"s3://{storage.bucket}/drop/clip01.mp4"
    assert row.job.video.etag == storage.stat("drop/clip01.mp4").etag
    assert row.job.audio.etag == storage.stat("drop/clip01.wav").etag
    assert drop.there() == {"clip01.mp4", "clip01.wav", "clip02.mp4", "clip02.wav"}


def test_looking_again_and_after_a_restart_changes_nothing(drop):
    drop.pair("clip01", "clip02")
    watcher = drop.watcher()
    watcher.scan()
    before = drop.rows()
    assert watcher.scan().submitted == []
    again = drop.watcher().scan()
    assert (again.submitted, again.pairs) == ([], 2)
    assert drop.rows() == before
