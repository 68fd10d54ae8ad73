import wave

import pytest

from contract.job import ENGINES
from contract.settings import Settings
from producer.check import check
from producer.estimate import PACES, estimate


@pytest.fixture
def expect(tmp_path):
    """The estimate of a CSV of those audios, one after the other, each with the same video."""
    (tmp_path / "v.mp4").write_bytes(b"video")

    def expect(*audios, **settings):
        path = tmp_path / "jobs.csv"
        path.write_text(
            "\n".join(["id,video,audio", *(f"{n},v.mp4,{name}" for n, name in enumerate(audios))])
        )
        chosen = Settings(**settings)
        return estimate(check(path, None, chosen), chosen)  # type: ignore[arg-type]  # no row needs the store

    return expect


def write_wav(path, seconds, rate=8000):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(2 * rate * seconds))


def test_wav_headers_give_output_worker_time_and_cost(expect, tmp_path):
    write_wav(tmp_path / "a.wav", 30)
    write_wav(tmp_path / "b.wav", 90, rate=16000)
    pace = PACES["preview"]
    expected = expect("a.wav", "b.wav", price_per_hour=3.6)
    work = 120 * pace.seconds_per_output_second + 2 * pace.seconds_per_job
    assert (expected.rows, expected.unknown_rows, expected.output_seconds) == (2, 0, 120)
    assert expected.worker_seconds == pytest.approx(work)
    assert expected.cost == pytest.approx(work / 1000)


@pytest.mark.parametrize("content", [b"RIFF", b"not a wave file at all", b"RIFF\x04\0\0\0WAVE", b"ID3"])
def test_what_has_no_simple_header_is_of_unknown_length(expect, tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    expected = expect("a.wav")
    assert (expected.unknown_rows, expected.output_seconds, expected.cost) == (1, 0, 0)


def test_the_assumptions_name_the_pace_its_source_and_the_price(expect, tmp_path):
    write_wav(tmp_path / "a.wav", 1)
    text = " ".join(expect("a.wav", price_per_hour=2.5, currency="EUR").assumptions)
    assert PACES["preview"].source in text
    assert "2.5 EUR an hour" in text


def test_every_engine_has_a_pace_and_musetalks_says_that_nobody_measured_it():
    assert set(PACES) == set(ENGINES)
    assert all(
        "assumed, not measured on a GPU" in PACES[engine].source for engine in ENGINES if "musetalk" in engine
    )
