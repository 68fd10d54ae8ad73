"""What the source's own sound is, and whether a given audio is that."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from contract.errors import NoAudio
from contract.job import JobOptions
from contract.manifest import MediaFacts
from worker.evaluation import own_audio as module
from worker.evaluation.own_audio import own_audio
from worker.media.audio import AacTrack, Audio
from worker.media.limits import Limits

SECONDS = 6
VOICE = np.random.default_rng(5).normal(size=SECONDS * 16_000).astype(np.float32)


def audio(samples):
    track = AacTrack(16_000, 1, 0, False, [], b"")
    return Audio(samples, Fraction(len(samples), 16_000), track, MediaFacts(container="wav"))


@pytest.fixture(autouse=True)
def recorded(monkeypatch):
    """What the source holds."""
    monkeypatch.setattr(module, "read_audio", lambda *_: audio(VOICE))


def found(given, **options):
    return own_audio(Path("source.mp4"), JobOptions(**options), audio(given), Limits())


def test_the_sound_is_that_of_the_part_that_is_played():
    own = found(VOICE[2 * 16_000 : 5 * 16_000], start=2, end=5)
    assert own.sound.frames == 75 and np.array_equal(own.sound.samples, VOICE[2 * 16_000 : 5 * 16_000])
    assert own.is_given


def test_an_audio_that_goes_on_while_the_source_plays_backward_is_not_its_own():
    assert not found(VOICE, end=3).is_given
    assert not found(np.concatenate([VOICE, VOICE])).is_given
    assert found(VOICE, end=3, sync_mode="cut").is_given, "nothing plays backward there"


def test_an_audio_that_ends_earlier_or_was_padded_is_its_own():
    assert found(VOICE[: 3 * 16_000]).is_given
    assert found(np.concatenate([VOICE, np.zeros(2000, np.float32)])).is_given


def test_a_source_without_sound_has_none(monkeypatch):
    def silent(*_):
        raise NoAudio("no audio stream")

    monkeypatch.setattr(module, "read_audio", silent)
    assert found(VOICE).sound is None and not found(VOICE).is_given
