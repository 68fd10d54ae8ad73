"""A clip through the real queue and store with MuseTalk's full-size networks, of random weights.

    python -m benchmarks.queue [--video V --audio A --seconds S --engine E --save FILE]

It shows that everything fits together at full size, and what the job's manifest says of it. On two CPU cores a second
of video takes about six minutes, and 10 GB of memory.
"""

import argparse
import sys
import wave
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from contract import keys
from contract.broker import SETUP_SECONDS, make_app
from contract.ledger import Ledger
from contract.manifest import Manifest
from contract.settings import Settings
from contract.storage import Storage
from producer.batches import batch_rows
from producer.check import check
from producer.follow import follow
from producer.local import Command, LocalStack, _environment
from producer.status import BatchView
from producer.submit import submit
from worker.evaluation.bench import stand_ins

ROOT = Path(__file__).parents[1]
MEDIA = ROOT / "shared" / "media"


def main() -> int:
    arguments = _arguments()
    with TemporaryDirectory(prefix="dubline-queue-") as name:
        folder = Path(name)
        stand_ins.write(folder / "weights", arguments.engine, Settings.read().weights)
        settings = Settings(weights=folder / "weights", prepared=folder / "prepared", engine=arguments.engine)
        with LocalStack.start(folder / "stack", workers=0, flower=False, settings=settings) as stack:
            stack._run(_worker(stack))
            stack._await()
            storage = Storage(stack.settings)
            batch = submit(check(_table(arguments, folder), storage, stack.settings), storage).batch
            follow(BatchView(storage, Ledger(stack.settings), batch), Console(stderr=True), stack.check)
            (row,) = batch_rows(storage, batch)
            manifest = Manifest.model_validate_json(storage.get(keys.manifest(row.job.id)) or b"")
            print(manifest.model_dump_json(indent=1, include=_SHOWN))
            if manifest.output and arguments.save:
                storage.download(manifest.output.key, arguments.save)
    return 0 if manifest.status == "succeeded" else 1


_SHOWN = {"status", "engine", "frames", "output", "timings", "software", "device", "cost", "error"}


def _table(arguments: argparse.Namespace, folder: Path) -> Path:
    """A CSV of one row: the video, and the beginning of the voice."""
    with wave.open(str(arguments.audio)) as whole, wave.open(str(folder / "voice.wav"), "wb") as part:
        part.setparams(whole.getparams())
        part.writeframes(whole.readframes(round(arguments.seconds * whole.getframerate())))
    (folder / "jobs.csv").write_text(f"id,video,audio\nfull-size,{arguments.video.absolute()},voice.wav\n")
    return folder / "jobs.csv"


def _worker(stack: LocalStack) -> Command:
    """As `LocalStack` starts it, but of an app that lets the random weights in."""
    inspect = make_app(stack.settings).control.inspect(timeout=0.5)
    argv = [sys.executable, "-m", "celery", "-A", "benchmarks.stand_in_worker", "worker"]
    argv += ["--without-gossip", "--without-mingle", "--loglevel=INFO", "-n", "worker1@%h"]
    environment = {**_environment(stack.settings), "PYTHONPATH": str(ROOT), "REMAP_SIGTERM": "SIGQUIT"}
    folder = stack.folder / "worker1"
    limits = {"stop_seconds": 15, "start_seconds": SETUP_SECONDS}
    return Command("worker1", argv, environment, folder, lambda: bool(inspect.ping()), **limits)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--video", type=Path, default=MEDIA / "sun.mp4")
    parser.add_argument("--audio", type=Path, default=MEDIA / "sun.wav", help="a WAV file")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--engine", default="musetalk-v15", choices=("musetalk-v15", "musetalk-v1"))
    parser.add_argument("--save", type=Path, help="keep the finished video here")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
