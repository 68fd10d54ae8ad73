"""The jobs of one run: planned from a seed, put into the bucket, submitted as a person would, again until acknowledged."""

import math
import random
import time
import wave
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from contract.errors import TemporaryFailure
from contract.ledger import Ledger
from contract.settings import Settings
from contract.storage import Storage
from producer.batches import batch_rows
from producer.cancel import cancel_rows
from producer.check import check
from producer.submit import submit
from tests.chaos.checker import Expected
from tests.chaos.history import History
from tests.chaos.script import Kind, Script

DEMO = Path(__file__).parents[2] / "demo"
SHARES: dict[Kind, float] = {
    "long": 0.02,
    "flaky": 0.04,
    "crashing": 0.01,
    "bad": 0.03,
    "poison": 0.005,
    "hung": 0.003,
    "pausing": 0.015,
    "doomed": 0.01,
    "withdrawn": 0.02,
    "render": 0.03,
}
"""Of all jobs, rounded up: none of them is missing in a small run. The others are short."""
MAY: dict[Kind, frozenset[str]] = {
    "bad": frozenset({"failed"}),
    "poison": frozenset({"failed"}),
    "hung": frozenset({"failed"}),
    "doomed": frozenset({"cancelled"}),
    "withdrawn": frozenset({"cancelled", "succeeded"}),
}
SUCCEEDS = frozenset({"succeeded"})
HUNG_MINUTES = 0.05
"""Time limit of hung jobs."""
CANCEL_SECONDS = 3.0
"""Longest wait before the next row is cancelled."""
ROWS_PER_BATCH = 200
VOICES = 3
VOICE_SECONDS = 0.2
FACE = "media/face.mp4"


@dataclass(frozen=True)
class Batch:
    """Rows that are submitted together."""

    name: str
    scripts: Sequence[Script]


def kinds(seed: int, jobs: int) -> tuple[Kind, ...]:
    """So many jobs by their shares, shuffled."""
    planted: list[Kind] = [kind for kind, share in SHARES.items() for _ in range(math.ceil(share * jobs))]
    mixed = [*planted, *["short"] * (jobs - len(planted))][:jobs]
    random.Random(f"kinds {seed}").shuffle(mixed)
    return tuple(mixed)


def plan(seed: int, planned: Sequence[Kind], lease_seconds: float) -> list[Batch]:
    """What to submit: the same for the same seed."""
    dice = random.Random(f"plan {seed}")
    scripts = [_script(dice, number, kind, lease_seconds) for number, kind in enumerate(planned)]
    size = min(ROWS_PER_BATCH, math.ceil(len(scripts) / 2))
    return [
        Batch(f"chaos-{start // size}", scripts[start : start + size])
        for start in range(0, len(scripts), size)
    ]


def _script(dice: random.Random, number: int, kind: Kind, lease_seconds: float) -> Script:
    seconds = {"long": lease_seconds * dice.uniform(1.5, 3), "doomed": 3600.0}.get(
        kind, dice.uniform(0.02, 0.3)
    )
    failures = dice.choice((1, 2)) if kind in ("flaky", "crashing") else 0
    return Script(f"{kind}-{number:05}", kind, round(seconds, 2), failures)


def furnish(storage: Storage, batches: Sequence[Batch], folder: Path) -> None:
    """Put everything that the jobs read into the bucket."""
    storage.put(FACE, (DEMO / "portrait.mp4").read_bytes(), "video/mp4")
    for batch in batches:
        for number, script in enumerate(batch.scripts):
            is_render = script.kind == "render"
            body = voice(folder, number % VOICES) if is_render else script.to_bytes()
            storage.put(_audio(script), body, "audio/wav")


def send(batch: Batch, storage: Storage, settings: Settings, folder: Path, history: History) -> None:
    """Submit a batch by its CSV until it is acknowledged, as a person would: the same rows are the same batch."""
    csv = folder / f"{batch.name}.csv"
    dice = random.Random(batch.name)
    lines = [_line(script, storage.bucket, dice) for script in batch.scripts]
    csv.write_text("\n".join(["id,video,audio,end,time_limit,priority", *lines]) + "\n")
    while True:
        try:
            submit(check(csv, storage, settings), storage, batch=batch.name)
        except TemporaryFailure:
            continue
        history.note("submitted", note=batch.name)
        return


def cancel(batch: Batch, storage: Storage, ledger: Ledger) -> None:
    """Cancel the rows that are to be, one after the other, each until it is acknowledged."""
    dice = random.Random(f"cancel {batch.name}")
    for script in batch.scripts:
        if script.kind not in ("doomed", "withdrawn"):
            continue
        time.sleep(dice.uniform(0, CANCEL_SECONDS))
        while True:
            with suppress(TemporaryFailure):
                cancel_rows(storage, ledger, batch.name, [script.name])
                break


def expected(storage: Storage, batches: Sequence[Batch]) -> list[Expected]:
    """How each row may end. The jobs' ids are those of the submission as it lies in the store."""
    return [each for batch in batches for each in _expected(storage, batch)]


def _expected(storage: Storage, batch: Batch) -> Iterator[Expected]:
    scripts = {script.name: (number, script) for number, script in enumerate(batch.scripts)}
    for row in batch_rows(storage, batch.name):
        number, script = scripts.pop(row.id)
        is_render = script.kind == "render"
        yield Expected(
            batch=batch.name,
            row=row.id,
            job=row.job.id,
            may=MAY.get(script.kind, SUCCEEDS),
            sha256=None if is_render else script.sha256,
            same_as=f"voice {number % VOICES}" if is_render else "",
        )
    if scripts:
        raise AssertionError(f"{batch.name} was acknowledged and lacks {sorted(scripts)}")


def _line(script: Script, bucket: str, dice: random.Random) -> str:
    end = "0.2" if script.kind == "render" else ""
    limit = f"{HUNG_MINUTES}" if script.kind == "hung" else ""
    priority = dice.choice(("low", "normal", "normal", "normal", "high"))
    return f"{script.name},s3://{bucket}/{FACE},s3://{bucket}/{_audio(script)},{end},{limit},{priority}"


def _audio(script: Script) -> str:
    return f"media/{script.name}.wav"


def voice(folder: Path, number: int) -> bytes:
    """A fifth of a second of speech."""
    path = folder / f"voice-{number}.wav"
    if not path.exists():
        with wave.open(str(DEMO / "voice-short.wav")) as long, wave.open(str(path), "wb") as short:
            short.setparams(long.getparams())
            long.setpos((number + 1) * long.getframerate())
            short.writeframes(long.readframes(int(VOICE_SECONDS * long.getframerate())))
    return path.read_bytes()
