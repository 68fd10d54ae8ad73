"""Reading backward and again in bounded memory. In this process: the clips are our own, and the budget is set."""

import zlib
from itertools import chain

import numpy as np
import pytest

from worker.media.child import film
from worker.media.child.film import Film
from worker.media.child.order import in_order
from worker.media.limits import Limits

CODECS = {
    "a.mkv": ("libx265", {"x265-params": "keyint=20:bframes=3:open-gop=1:log-level=none"}),
    "a.webm": ("libvpx-vp9", {"g": "30"}),
    "a.avi": ("mpeg4", {"g": "12", "bf": "2"}),
    "a.ts": ("mpeg2video", {"g": "12", "bf": "2"}),
}
CONTAINERS = {
    "a.mp4": {"g": "40", "bf": "2"},
    "open-gop.mp4": {"g": "15", "bf": "3", "x264-params": "open-gop=1"},
    "a.mkv": {"g": "40", "bf": "2"},
    "a.ts": {"g": "25", "bf": "2"},
}


def shown(clips, source, placed) -> list[int]:
    width, height = source.shown
    return [clips.number_of(picture[: width * height].reshape(height, width)) for _, picture in placed]


def opened(path, monkeypatch, kept: int, **part) -> Film:
    """A film that keeps that many 160x120 pictures."""
    monkeypatch.setattr(film, "KEPT_BYTES", kept * 160 * 120 * 3 // 2)
    return Film(path, Limits(), beat=lambda: None, **part)


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_window_at_a_time_gives_the_same_mirror_as_keeping_all(clips, monkeypatch, name):
    path = clips.video(name, 100, options=CONTAINERS[name])
    mirrored = [*range(100), *range(99, -1, -1), *range(100), *range(99, 89, -1)]
    source = opened(path, monkeypatch, kept=16)
    assert shown(clips, source, in_order(source, "bounce", 310)) == mirrored


@pytest.mark.parametrize("name", CODECS)
def test_every_codec_can_be_read_backward(clips, monkeypatch, name):
    codec, options = CODECS[name]
    source = opened(clips.video(name, 60, codec=codec, options=options), monkeypatch, kept=16)
    assert shown(clips, source, in_order(source, "bounce", 120)) == [*range(60), *range(59, -1, -1)]


def test_pictures_read_again_are_the_same_to_the_bit(clips, monkeypatch):
    path = clips.video("a.mp4", 60, 30, options={"g": "40", "bf": "2"})
    source = opened(path, monkeypatch, kept=8)
    first, back, again = (list(one_pass()) for one_pass in (source.forward, source.backward, source.forward))
    for (k, picture), (k_back, backward), (k_again, repeated) in zip(
        first, reversed(back), again, strict=True
    ):
        assert k == k_back == k_again
        assert np.array_equal(picture, backward) and np.array_equal(picture, repeated)


def test_a_source_that_fits_the_budget_is_decoded_once(clips, monkeypatch):
    source = opened(clips.video("a.mp4", 10), monkeypatch, kept=10)
    list(source.forward())
    source._reader.container.close()
    assert shown(clips, source, chain(source.backward(), source.forward())) == [*range(9, -1, -1), *range(10)]


def test_the_kept_pictures_never_exceed_the_budget(clips, monkeypatch):
    source = opened(clips.video("a.mp4", 60), monkeypatch, kept=7)
    held = []
    for _ in source.forward():
        held.append(len(source._recent))
    assert max(held) == 7


def test_a_part_with_a_variable_rate_is_mirrored_too(clips, monkeypatch):
    times = [0.0, 0.04, 0.2, 0.24, 0.28, 0.6, 0.64]
    source = opened(clips.video("a.mkv", 7, times=times), monkeypatch, kept=3, start=0.04, end=0.64)
    forward = [1, 1, 1, 1, 2, 3, *[4] * 8, 5]
    assert shown(clips, source, in_order(source, "bounce", 30)) == forward + forward[::-1]


def test_interlaced_pictures_are_the_same_in_a_window_as_in_one_go(clips, monkeypatch):
    options = {"g": "10", "x264-params": "tff=1"}
    source = opened(clips.video("a.mp4", 40, options=options), monkeypatch, kept=6)
    first = [picture for _, picture in source.forward()]
    back = [picture for _, picture in source.backward()]
    assert all(np.array_equal(a, b) for a, b in zip(first, reversed(back), strict=True))


SEEKS = {
    "a.mp4": ("libx264", {"g": "40", "bf": "2"}, True),
    "open-gop.mp4": ("libx264", {"g": "15", "bf": "3", "x264-params": "open-gop=1"}, True),
    "a.mkv": ("libx265", {"x265-params": "keyint=20:bframes=3:open-gop=1:log-level=none"}, True),
    "a.ts": ("mpeg2video", {"g": "12", "bf": "2"}, True),
    "a.webm": ("libvpx-vp9", {"g": "30"}, True),
    "a.avi": ("mpeg4", {"g": "12", "bf": "2"}, None),  # without times of its own: it may go either way
}


@pytest.mark.parametrize("name", SEEKS)
def test_a_reading_that_begins_later_shows_the_same_to_the_bit_and_back(clips, monkeypatch, name):
    codec, options, expected = SEEKS[name]
    path = clips.video(name, 100, codec=codec, options=options)
    whole = list(in_order(opened(path, monkeypatch, kept=16), "bounce", 210))
    prints = [zlib.crc32(picture.data) for _, picture in whole]
    source = opened(path, monkeypatch, kept=16)
    went = source.go_to(77, prints[61:77])
    assert went == expected or expected is None
    begin = 77 if went else 0
    again = list(in_order(source, "bounce", 210 - begin))
    assert source.frames == 100
    assert [(index, zlib.crc32(picture.data)) for index, picture in again] == [
        (index, each) for (index, _), each in zip(whole[begin:], prints[begin:], strict=True)
    ]


@pytest.mark.parametrize("position", [50, 100])
def test_where_the_pictures_before_are_others_all_is_read(clips, monkeypatch, position):
    """The last of the prints is wrong; or nothing comes after them."""
    path = clips.video("a.mp4", 100)
    prints = [zlib.crc32(picture.data) for _, picture in opened(path, monkeypatch, kept=16).forward()]
    if position == 50:
        prints[49] ^= 1
    source = opened(path, monkeypatch, kept=16)
    assert not source.go_to(position, prints[position - 16 : position])
    assert [zlib.crc32(picture.data) for _, picture in source.forward()][:49] == prints[:49]
    assert source.frames == 100


def test_a_part_is_entered_where_it_lies_in_the_whole(clips, monkeypatch):
    path = clips.video("a.mp4", 100, options={"g": "25"})
    prints = [zlib.crc32(p.data) for _, p in opened(path, monkeypatch, kept=16, start=1.0, end=3.0).forward()]
    source = opened(path, monkeypatch, kept=16, start=1.0, end=3.0)
    assert source.go_to(30, prints[14:30])
    assert shown(clips, source, source.forward()) == [*range(55, 75)]
    assert shown(clips, source, source.backward()) == [*range(74, 24, -1)]
