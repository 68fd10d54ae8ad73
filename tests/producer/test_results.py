import json

import pytest

from contract.errors import ConfigurationError, NotFound
from contract.manifest import Manifest
from producer.results import fetch_results


@pytest.fixture
def fetch(storage, submitted, tmp_path):
    return lambda: list(fetch_results(storage, submitted, tmp_path / "out"))


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_videos_manifests_and_curves_come_under_the_names_of_their_rows(
    fetch, rows, commit, submitted, tmp_path
):
    manifest = commit(submitted, rows[0])
    one, two = fetch()
    folder = tmp_path / "out"
    assert files(folder) == ["one.curves.json", "one.manifest.json", "one.mp4"]
    assert (folder / "one.mp4").read_bytes() == b"a video"
    assert Manifest.model_validate_json((folder / "one.manifest.json").read_bytes()) == manifest
    assert json.loads((folder / "one.curves.json").read_bytes())["aperture"] == [0.1, None]
    assert (one.row, one.video, one.problem) == ("one", folder / "one.mp4", None)
    assert one.curves.fps == 25
    assert (two.row, two.status, two.video) == ("two", None, None)


def test_a_failed_row_brings_its_manifest(fetch, rows, commit, submitted, tmp_path):
    commit(submitted, rows[1], "failed")
    _, two = fetch()
    assert files(tmp_path / "out") == ["two.manifest.json"]
    assert two.record() == {
        "row": "two",
        "status": "failed",
        "video": None,
        "problem": "[no_face] no frame of face.MP4 shows a face",
        "lost": False,
    }


def test_what_is_here_is_not_fetched_again_and_what_is_damaged_is(
    fetch, rows, commit, submitted, tmp_path, storage, monkeypatch
):
    commit(submitted, rows[0])
    fetch()
    download = storage.download
    fetched = []
    monkeypatch.setattr(
        storage, "download", lambda *args, **kinds: [fetched.append(args), download(*args, **kinds)][1]
    )
    fetch()
    assert not fetched
    (tmp_path / "out" / "one.mp4").write_bytes(b"A VIDEO")
    fetch()
    assert len(fetched) == 1
    assert (tmp_path / "out" / "one.mp4").read_bytes() == b"a video"


def test_a_lost_video_does_not_hold_back_the_others(fetch, rows, commit, submitted, storage):
    manifest = commit(submitted, rows[0])
    commit(submitted, rows[1])
    storage.delete(manifest.output.key)
    one, two = fetch()
    assert one.lost
    assert "does not exist" in one.problem
    assert two.video.read_bytes() == b"a video"


def test_a_batch_that_is_not_there_and_a_folder_that_cannot_be_are_told(storage, submitted, tmp_path):
    with pytest.raises(NotFound, match="there is no batch 'nightly'"):
        list(fetch_results(storage, "nightly", tmp_path / "out"))
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be made: File exists; choose another folder"):
        list(fetch_results(storage, submitted, tmp_path / "file"))


def test_bytes_that_are_not_the_manifest_s_are_not_taken_for_the_video(
    fetch, rows, commit, submitted, storage, tmp_path
):
    manifest = commit(submitted, rows[0])
    storage.put(manifest.output.key, b"damaged")
    one, _ = fetch()
    assert (one.lost, one.video) == (True, None)
    assert one.problem == "the store has other bytes than the manifest tells of"
    assert not (tmp_path / "out" / "one.mp4").exists()
