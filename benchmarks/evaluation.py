"""What evaluation costs: seconds of it for a second of 720p, and memory at two lengths. Without networks, on the CPU.

    python -m benchmarks.evaluation [SECONDS]

Renders the demo's portrait with the demo's voice, over and over, for 20 s and for SECONDS (60), and evaluates both
with all controls, each in a process of its own.
"""

import json
import resource
import subprocess
import sys
import time
import wave
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from contract.job import JobOptions
from contract.settings import Settings
from worker.media.audio import read_audio
from worker.media.clock import SAMPLE_RATE
from worker.media.limits import Limits

ROOT = Path(__file__).parents[1]
SOURCE, VOICE = ROOT / "demo/portrait.mp4", ROOT / "demo/voice-long.m4a"
SHORT = 20


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["evaluate"]:
        evaluate(Path(sys.argv[2]))
        return
    lengths = SHORT, int(sys.argv[1]) if len(sys.argv) > 1 else 60
    for seconds in lengths:
        with TemporaryDirectory() as name:
            folder = Path(name)
            render(folder, seconds)
            run = [sys.executable, "-m", "benchmarks.evaluation", "evaluate", str(folder)]
            took, peak = json.loads(
                subprocess.run(run, check=True, capture_output=True).stdout.splitlines()[-1]
            )
        print(
            f"{seconds} s of 720p: {took:.1f} s, {took / seconds:.2f} times its length; at most {peak:.0f} MB"
        )


def render(folder: Path, seconds: int) -> None:
    """A preview video of that length and its audio, in the folder."""
    from worker.progress import JobProgress
    from worker.render import render as rendered
    from worker.setup import set_up
    from worker.stopwatch import Stopwatch

    samples = np.resize(read_audio(VOICE, Limits()).samples_16k, seconds * SAMPLE_RATE)
    with wave.open(str(folder / "voice.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    tools, watch = set_up(Settings.read()), Stopwatch()
    rendered(SOURCE, folder / "voice.wav", folder / "video.mp4", JobOptions(), tools, JobProgress(), watch)


def evaluate(folder: Path) -> None:
    """Evaluate the folder's video; print seconds and the peak of resident memory, of this process and its largest child, in MB."""
    from worker.evaluation.evaluate import Evaluator
    from worker.evaluation.figures import evaluation_of

    evaluator = Evaluator(Settings.read(), threads=2)
    started = time.perf_counter()
    videos = {"video": folder / "video.mp4"}
    judging = evaluator.judge(SOURCE, folder / "voice.wav", videos, JobOptions(), lambda *_: None)
    found = evaluation_of(judging, judging.videos[0])
    took = time.perf_counter() - started
    assert found.sync.verdict == "in sync", found.sync
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps([took, sum(peaks) / 1024]))


if __name__ == "__main__":
    main()
