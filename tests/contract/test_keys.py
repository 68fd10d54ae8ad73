import pytest

from contract import keys


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (keys.rows("b"), "batches/b/rows.jsonl"),
        (keys.summary("b"), "batches/b/summary.json"),
        (keys.manifest("j"), "jobs/j/manifest.json"),
        (keys.attempt("j", "a", "video.mp4"), "jobs/j/attempts/a/video.mp4"),
        (keys.uploaded("5" * 64, ".wav"), f"inputs/{'5' * 64}.wav"),
        (keys.output("b", "Zoë"), "outputs/b/Zoë.mp4"),
        (keys.output("b", "r.1", ".json"), "outputs/b/r.1.json"),
    ],
)
def test_a_key_lies_where_buckets_in_use_have_it(key, expected):
    assert key == expected
