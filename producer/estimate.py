"""What a batch would cost, from the little that can be known without decoding anything."""

import wave
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from contract.settings import Settings
from producer.cells import Place
from producer.check import Checked


@dataclass(frozen=True)
class Pace:
    """How fast one worker renders, and where the figure comes from."""

    seconds_per_output_second: float
    seconds_per_job: float
    """Staging, probing, upload: what does not grow with the length."""
    source: str


_ASSUMED = (
    "assumed, not measured on a GPU: 33 TFLOP a second of output, on a card that does 33 of them a second"
)

PACES: dict[str, Pace] = {
    "preview": Pace(2.0, 2.0, "the demo's 720p portrait on 2 CPU cores"),
    # 25 frames of UNet 0.17, VAE decoder 0.62 and twice the VAE encoder 0.27 TFLOP: a source that is not prepared yet
    "musetalk-v15": Pace(1.0, 5.0, _ASSUMED),
    "musetalk-v1": Pace(1.0, 5.0, _ASSUMED),
}


@dataclass(frozen=True)
class Estimate:
    """Of the rows whose length is known."""

    rows: int
    unknown_rows: int
    """Rows whose audio is no local WAV file: only such a header is read here."""
    output_seconds: float
    worker_seconds: float
    cost: float
    currency: str
    assumptions: tuple[str, ...]


def estimate(checked: Checked, settings: Settings) -> Estimate:
    """Output minutes, worker time and cost of the good rows."""
    return estimate_lengths([(_seconds(pair.audio), pair.options.engine) for pair in checked.pairs], settings)


def estimate_lengths(lengths: Sequence[tuple[float | None, str]], settings: Settings) -> Estimate:
    """The same of audios by their length in seconds, None: not known, each with its engine."""
    known = [(seconds, PACES[engine]) for seconds, engine in lengths if seconds is not None]
    work = sum(s * pace.seconds_per_output_second + pace.seconds_per_job for s, pace in known)
    return Estimate(
        rows=len(lengths),
        unknown_rows=len(lengths) - len(known),
        output_seconds=sum(seconds for seconds, _ in known),
        worker_seconds=work,
        cost=work * settings.price_per_second,
        currency=settings.currency,
        assumptions=_assumptions({engine for _, engine in lengths}, settings),
    )


@lru_cache(maxsize=4096)
def _seconds(audio: Place) -> float | None:
    """Length of a local PCM WAV file by its header; None for anything else."""
    if not isinstance(audio, Path):
        return None
    try:
        with wave.open(str(audio), "rb") as file:
            return file.getnframes() / file.getframerate()
    except (wave.Error, EOFError, OSError, ZeroDivisionError):
        return None


def _assumptions(engines: set[str], settings: Settings) -> tuple[str, ...]:
    paces = (
        f"{engine}: {PACES[engine].seconds_per_output_second:g} s of one worker a second of output, and "
        f"{PACES[engine].seconds_per_job:g} s a job ({PACES[engine].source})"
        for engine in sorted(engines)
    )
    return (
        "an output is as long as its audio",
        *paces,
        f"one worker costs {settings.price_per_hour:g} {settings.currency} an hour (price_per_hour)",
    )
