import hashlib
import os

import pytest

from contract.errors import InputChanged
from producer import uploads
from producer.uploads import hash_files, upload


@pytest.fixture
def advance():
    """Remembers what it was told."""
    told = []
    return lambda stage, count: told.append((stage, count)), told


def test_a_file_lies_under_its_content_with_its_suffix_in_lower_case(tmp_path, storage, advance):
    path = tmp_path / "Face.MP4"
    path.write_bytes(b"video")
    tell, told = advance
    files = hash_files({path}, tell)
    assert upload(storage, files.values(), tell) == [files[path]]
    assert files[path].key == f"inputs/{hashlib.sha256(b'video').hexdigest()}.mp4"
    assert storage.get(files[path].key) == b"video"
    assert told == [("hashed", 5), ("uploaded", 5)]


@pytest.mark.parametrize("name", ["face", "face.mü4", "face.a b", "face.much-too-long", "face."])
def test_a_suffix_that_is_none_stays_out_of_the_key(tmp_path, name, advance):
    (tmp_path / name).write_bytes(b"x")
    (file,) = hash_files({tmp_path / name}, advance[0]).values()
    assert file.key == f"inputs/{hashlib.sha256(b'x').hexdigest()}"


def test_the_same_content_is_uploaded_once_whatever_names_it(tmp_path, storage, advance):
    paths = {tmp_path / "a.wav", tmp_path / "b.wav"}
    for path in paths:
        path.write_bytes(b"same")
    files = hash_files(paths, advance[0])
    assert len(upload(storage, files.values(), advance[0])) == 1
    assert upload(storage, files.values(), advance[0]) == []


def test_a_file_that_changed_after_it_was_hashed_is_refused_by_the_store_and_told(tmp_path, storage, advance):
    path = tmp_path / "a.wav"
    path.write_bytes(b"before")
    files = hash_files({path}, advance[0])
    path.write_bytes(b"after!")  # as long as before
    os.utime(path, ns=(0, 0))
    with pytest.raises(InputChanged, match=r"a.wav changed while it was submitted; submit it again"):
        upload(storage, files.values(), advance[0])
    assert storage.get(files[path].key) is None


def test_a_file_that_vanishes_is_told(tmp_path, storage, advance):
    path = tmp_path / "a.wav"
    path.write_bytes(b"before")
    files = hash_files({path}, advance[0])
    path.unlink()
    with pytest.raises(InputChanged, match="changed while it was submitted"):
        upload(storage, files.values(), advance[0])
    with pytest.raises(InputChanged, match="cannot now: No such file or directory"):
        hash_files({path}, advance[0])


def test_a_file_in_parts_that_changed_on_its_way_does_not_stay_under_the_wrong_content(
    tmp_path, storage, advance, monkeypatch
):
    monkeypatch.setattr(uploads, "SINGLE_PUT_BYTES", 3)
    path = tmp_path / "a.wav"
    path.write_bytes(b"before")
    files = hash_files({path}, advance[0])
    whole = storage.upload
    monkeypatch.setattr(
        storage, "upload", lambda *args: [whole(*args), path.write_bytes(b"after"), os.utime(path, ns=(0, 0))]
    )
    with pytest.raises(InputChanged, match="changed while it was submitted"):
        upload(storage, files.values(), advance[0])
    assert storage.get(files[path].key) is None
