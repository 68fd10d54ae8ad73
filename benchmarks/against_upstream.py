"""How many times as fast as upstream: its offline script and its realtime mode, and our jobs, in the same run.

    python -m benchmarks.against_upstream --upstream DIR [--video V --audio A --frames N --variant v15|v1]

DIR is a checkout of github TMElyralab/MuseTalk (0a89dec). Both sides have the same random full-size networks, the same
clip and the same device, and end with a video that has sound. Each runs in a process of its own, one after the other;
the clocks start when its networks are loaded.

    new source       ours: detect, prepare, generate, encode, check the sync      upstream: the offline script
    prepared source  ours: the same without detecting and preparing               upstream: realtime mode's `inference`, with
                                                                                  saving; the offline script keeps nothing

What does not install beside a present torch is replaced in upstream's runs, in its favour; it is printed.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import scene, upstream
from benchmarks.parity import ENGINES, MEDIA, apart
from contract.job import JobOptions
from contract.settings import Settings
from worker.evaluation.bench import jobs, stand_ins
from worker.evaluation.bench.jobs import Done, Ground, Pair
from worker.evaluation.bench.machine import machine
from worker.evaluation.bench.report import percentile
from worker.evaluation.bench.stand_ins import StandIns

AIM_OFFLINE, AIM_REALTIME = 10.0, 3.0
"""On one GPU; on a CPU all of the arithmetic is the same, and little can be gained."""


PREPARED_BYTES = 20 * 2**30
"""Of our side, whatever the settings say: without it there is no prepared source to measure."""


@dataclass(frozen=True)
class Flow:
    """One way to make the video: seconds are medians, frames those of the result."""

    name: str
    source: str
    frames: int
    seconds: float

    @property
    def fps(self) -> float:
        """Of the whole flow."""
        return self.frames / self.seconds


def main() -> int:
    """Exit code 0 where both sides made a video, whatever the ratios are."""
    options = arguments()
    job = JobOptions(engine=ENGINES[options.variant])
    with TemporaryDirectory(prefix="dubline-upstream-") as name:
        folder = options.work or Path(name)
        folder.mkdir(exist_ok=True)
        print("looking at the clip, writing random weights", file=sys.stderr)
        shot = scene.look(options.video, options.frames, job, Settings.read().weights)
        video = scene.write_video(shot, folder / "clip.mp4")
        voice = scene.write_voice(options.audio, options.frames, folder / "voice.wav")
        weights = stand_ins.write(folder / "weights", job.engine, Settings.read().weights)
        print("our side", file=sys.stderr)
        flows = apart(ours, Pair(video, voice, job), weights, folder, options.runs)
        print("upstream's side", file=sys.stderr)
        clip = upstream.Scene(video, voice, shot.points, shot.classes)
        theirs, substitutes = apart(their, options.upstream.resolve(), folder, clip, weights, options.variant)
    report([*flows, *theirs], options, substitutes)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--upstream", type=Path, required=True, help="checkout of TMElyralab/MuseTalk")
    parser.add_argument("--video", type=Path, default=MEDIA / "sun.mp4")
    parser.add_argument("--audio", type=Path, default=MEDIA / "sun.wav")
    parser.add_argument("--frames", type=int, default=250)
    parser.add_argument("--variant", choices=ENGINES, default="v15")
    parser.add_argument("--runs", type=int, default=1, help="of ours, of each kind")
    parser.add_argument("--work", type=Path, help="a folder to work in, left as it is at the end")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def ours(pair: Pair, weights: StandIns, folder: Path, runs: int) -> list[Flow]:
    """Jobs of the new source, then of the prepared one."""
    with TemporaryDirectory(prefix="prepared-", dir=folder) as name:
        own = {"weights": weights.folder, "prepared": Path(name), "prepared_bytes": PREPARED_BYTES}
        ground = Ground(pair, Settings.read().model_copy(update=own), folder, weights)
        new, prepared = jobs.new_and_prepared(ground, ground.set_up(), runs)
    return [flow("Dubline", "new", new), flow("Dubline", "prepared", prepared)]


def flow(name: str, source: str, done: Sequence[Done]) -> Flow:
    return Flow(name, source, done[0].frames, percentile([each.seconds for each in done], 0.5))


def their(
    checkout: Path, folder: Path, clip: upstream.Scene, weights: StandIns, version: str
) -> tuple[list[Flow], tuple[str, ...]]:
    """The offline script, then the realtime mode."""
    models = upstream.write_models(weights.files, folder / "upstream")
    off = upstream.offline(checkout, models, clip, version, watch=upstream.Watch())
    live = upstream.realtime(checkout, models, clip, version, watch=upstream.Watch())
    return [
        Flow("upstream, offline script", "new", off.frames, off.seconds),
        Flow("upstream, realtime mode", "new", live.frames, live.prepare_seconds + live.seconds),
        Flow("upstream, realtime mode", "prepared", live.frames, live.seconds),
    ], off.substitutes


def report(flows: Sequence[Flow], options: argparse.Namespace, substitutes: Sequence[str]) -> None:
    new, prepared, offline, _, realtime = flows
    ratios = {
        "new source: Dubline over the offline script": new.fps / offline.fps,
        "prepared source: Dubline over the offline script": prepared.fps / offline.fps,
        "prepared source: Dubline over the realtime mode with saving": prepared.fps / realtime.fps,
    }
    where = machine(on_gpu=upstream.on_gpu())
    if options.json:
        record = {"flows": [asdict(each) | {"fps": each.fps} for each in flows], "ratios": ratios}
        print(json.dumps(record | {"machine": where.model_dump(), "substitutes": substitutes}))
        return
    print(
        f"MuseTalk {options.variant}, {options.frames} frames of {options.video.name}, random weights, ",
        end="",
    )
    print(f"{where.dtype} on {where.device}, {where.cores} cores")
    print(f"{'':<28}{'source':<10}{'frames':>8}{'s':>10}{'fps':>10}")
    for each in flows:
        print(f"{each.name:<28}{each.source:<10}{each.frames:>8}{each.seconds:>10.2f}{each.fps:>10.3f}")
    for name, ratio in ratios.items():
        print(f"{ratio:6.2f} x  {name}")
    print(f"aims on one GPU: {AIM_OFFLINE:g} x the offline script, {AIM_REALTIME:g} x the realtime mode")
    print("in upstream's runs, what does not install here was replaced, in its favour:")
    for each in substitutes:
        print(f"  {each}")


if __name__ == "__main__":
    sys.exit(main())
