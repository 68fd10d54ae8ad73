from dataclasses import replace

import pytest

from contract.errors import BadRequest, ConfigurationError, InputNotFound
from producer.ab.make import draw_study, make
from producer.ab.study import System, read_study
from tests.producer.ab.conftest import NAMES, ROWS, A, B


@pytest.fixture
def again(storage, order):
    """Make it once more, with changes to the order."""

    def again(**changes):
        changed = replace(order, **changes)
        return make(storage, changed, draw_study(storage, changed))

    return again


def test_the_folder_holds_a_page_and_the_videos_and_nothing_else(made, order, study):
    assert {each.name for each in order.folder.iterdir()} == {"index.html", "videos"}
    names = {take.name for pair in study.pairs for take in pair.takes}
    assert {f"videos/{each.name}" for each in (order.folder / "videos").iterdir()} == names
    assert len(names) == 2 * len(ROWS)


def test_the_key_tells_what_made_each_video(made, order):
    study = read_study(order.key)
    assert (study.a, study.b, study.seed) == (order.a, order.b, 1)
    for pair in study.pairs:
        for system, take in enumerate((pair.a, pair.b)):
            assert (order.folder / take.name).read_bytes() == f"{system} {pair.row}".encode()


def test_neither_system_nor_batch_is_named_in_any_file_for_raters(made, order):
    paths = [path for path in order.folder.rglob("*") if path.is_file()]
    assert len(paths) == 1 + 2 * len(ROWS)
    for path in paths:
        text = path.name.encode() + path.read_bytes()
        assert [name for name in (*NAMES, A, B) if name.encode() in text] == []


def test_the_page_holds_nothing_by_which_the_store_could_be_asked(made, study):
    page, takes = made.page.read_text(), [take for pair in study.pairs for take in pair.takes]
    assert [each for take in takes for each in (take.key, take.sha256) if each in page] == []
    assert str(study.seed) not in page.partition('id="study">')[2].partition("<")[0].split('"')


def test_files_of_one_system_cannot_be_told_from_the_others_by_their_dates(made, order):
    assert len({each.stat().st_mtime for each in (order.folder / "videos").iterdir()}) == 1


def test_the_same_order_again_keeps_the_study_and_fetches_only_what_is_missing(
    made, study, order, again, storage, monkeypatch
):
    (order.folder / study.pairs[0].a.name).unlink()
    (order.folder / "index.html").unlink()
    fetched, download = [], storage.download
    monkeypatch.setattr(
        storage,
        "download",
        lambda key, *args, **kinds: [fetched.append(key), download(key, *args, **kinds)][1],
    )
    once_more = again(seed=None)
    assert once_more.drawn.before
    assert once_more.drawn.study == study
    assert fetched == [study.pairs[0].a.key]
    assert once_more.page.is_file()


@pytest.mark.parametrize(
    "changes",
    [{"seed": 2}, {"limit": 3}, {"a": System(name="Another", batch=A)}],
    ids=lambda each: str(*each),
)
def test_another_study_does_not_take_the_place_of_one_that_may_have_votes(made, order, again, changes):
    before = order.key.read_bytes()
    with pytest.raises(
        BadRequest, match="is the key of another study: System One against System Two, 4 pairs"
    ):
        again(**changes)
    assert order.key.read_bytes() == before


def test_what_a_desktop_leaves_in_a_folder_is_no_hindrance(made, order, again):
    (order.folder / ".DS_Store").touch()
    assert again().drawn.before


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_kept(batches, order, again):
    order.folder.touch()
    with pytest.raises(ConfigurationError, match="cannot be made: File exists"):
        again()
    assert not order.key.exists()


def test_a_folder_of_something_else_is_left_alone(storage, batches, order):
    order.folder.mkdir()
    (order.folder / "letters.txt").write_text("dear")
    with pytest.raises(BadRequest, match="holds files, and no key beside it tells of them"):
        draw_study(storage, order)
    assert [each.name for each in order.folder.iterdir()] == ["letters.txt"]
    assert not order.key.exists()


@pytest.mark.parametrize(("name", "text"), [("letters.txt", "dear"), ("index.html", "somebody's own")])
def test_a_key_makes_no_folder_of_something_else_ours(made, order, again, tmp_path, name, text):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / name).write_text(text)
    with pytest.raises(BadRequest, match="holds other files than those of this study"):
        again(folder=tmp_path / "theirs")
    assert (tmp_path / "theirs" / name).read_text() == text


def test_a_key_that_raters_would_get_is_refused(batches, order, again):
    with pytest.raises(BadRequest, match="and go to the raters with it"):
        again(key=order.folder / "key.json")


def test_a_batch_is_not_compared_with_itself(batches, order, again):
    with pytest.raises(BadRequest, match="both batches are batch-of-ours"):
        again(b=System(name="x", batch=A))
    with pytest.raises(BadRequest, match="both systems are called System One; tell them apart with --name-a"):
        again(b=System(name="System One", batch=B))


def test_a_pair_of_which_the_store_lost_a_video_leaves_the_study(storage, batches, order):
    drawn = draw_study(storage, order)
    lost, damaged = drawn.study.pairs[:2]
    storage.delete(lost.a.key)
    storage.put(damaged.b.key, b"other bytes")
    made = make(storage, order, drawn)
    assert made.drawn.left_out == {"whose video the store has lost": [lost.row, damaged.row]}
    assert read_study(order.key).pairs == drawn.study.pairs[2:]
    names = {take.name for pair in drawn.study.pairs[2:] for take in pair.takes}
    assert {f"videos/{each.name}" for each in (order.folder / "videos").iterdir()} == names
    assert lost.id not in made.page.read_text()


def test_a_store_that_lost_all_of_them_is_told(storage, batches, order):
    drawn = draw_study(storage, order)
    for pair in drawn.study.pairs:
        storage.delete(pair.a.key)
    with pytest.raises(InputNotFound, match="has lost a video of every pair"):
        make(storage, order, drawn)


def test_rows_beyond_the_limit_are_told(storage, batches, order):
    drawn = draw_study(storage, replace(order, limit=3))
    (left,) = drawn.left_out["beyond --limit"]
    assert {left} | {pair.row for pair in drawn.study.pairs} == set(ROWS)


def test_all_bytes_are_told_to_the_bar(storage, batches, order):
    drawn, told = draw_study(storage, order), []
    make(storage, order, drawn, told.append)
    assert sum(told) == drawn.bytes > 0


@pytest.mark.parametrize("text", ["", "{}", '{"schema_version": 2}'])
def test_a_key_that_is_none_is_told_and_kept(order, text):
    order.key.write_text(text)
    with pytest.raises(ConfigurationError, match="is no key that this version of `dubline ab make` wrote"):
        read_study(order.key)
    assert order.key.read_text() == text


def test_a_key_that_is_not_there_is_told(tmp_path):
    with pytest.raises(
        InputNotFound, match="cannot be read: No such file or directory; `dubline ab make` wrote"
    ):
        read_study(tmp_path / "gone.json")
