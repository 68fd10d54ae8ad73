"""Our frames against upstream's, before video encoding: the same random full-size networks, clip, boxes and masks.

    python -m benchmarks.parity --upstream DIR [--video V --audio A --frames N --variant v15|v1]

DIR is a checkout of github TMElyralab/MuseTalk (0a89dec). Its offline script runs there unchanged, its sampling
"seeded" to the mean; what else is replaced is printed. Exit code 1 where a pixel differs by more than 2/255 inside the
mask, or at all outside of it, or where one side has not drawn all frames.

Each side runs in a process of its own, one after the other; on a CPU without a GPU that takes 12 GB of memory and
about a minute a frame on two cores.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import scene, upstream
from benchmarks.scene import Shot
from contract.job import JobOptions
from contract.settings import Settings
from worker.engines.base import Crop, Mouth
from worker.evaluation.bench import stand_ins
from worker.evaluation.bench.machine import machine
from worker.evaluation.bench.stand_ins import StandIns
from worker.media.audio import read_audio
from worker.media.blend import blend
from worker.media.limits import Limits
from worker.setup import set_up

MOST_INSIDE, MOST_OUTSIDE = 2, 0
"""Of 255."""
ENGINES = {"v15": "musetalk-v15", "v1": "musetalk-v1"}
MEDIA = Path(__file__).parents[1] / "shared" / "media"

Pixels = NDArray[np.uint8]
Planes = tuple[Pixels, Pixels, Pixels]


@dataclass(frozen=True)
class Drawn:
    """One of our frames, (H, W, 3) uint8 RGB, and where anything may have changed, (H, W) bool.

    `planes` are what goes to the encoder, (H, W), (H/2, W/2) and (H/2, W/2) uint8; `planes_moved` counts samples of
    them that changed outside of the mask.
    """

    rgb: Pixels
    mask: NDArray[np.bool_]
    planes: Planes
    planes_moved: int


@dataclass(frozen=True)
class Difference:
    """Of 255, over all frames that both sides made; `missing` are those that one side did not."""

    frames: int
    missing: int
    inside: int
    inside_mean: float
    outside: int
    planes_outside: int
    drawn_mean: float
    """Inside the mask, ours against the source: how much there was to differ in."""
    luma: int
    luma_mean: float
    """The planes that go to the encoder, inside the mask, against those of upstream's frame."""
    chroma: int
    chroma_mean: float
    """Likewise; no aim. Upstream mixes colours at each pixel, and its encoder halves them afterwards; ours are halved
    from the start, and a sample takes the least alpha of its four pixels. They differ where the mask is soft."""

    @property
    def holds(self) -> bool:
        """Whether the two sides draw the same."""
        alike = self.inside <= MOST_INSIDE and self.outside <= MOST_OUTSIDE and self.planes_outside == 0
        return alike and self.missing == 0


def main() -> int:
    """Exit code 0 where parity holds."""
    options = arguments()
    job = JobOptions(engine=ENGINES[options.variant], mask="bisenet", bbox_shift=options.bbox_shift)
    with TemporaryDirectory(prefix="dubline-parity-") as name:
        folder = options.work or Path(name)
        folder.mkdir(exist_ok=True)
        print("looking at the clip", file=sys.stderr)
        shot = scene.look(options.video, options.frames, job, Settings.read().weights)
        voice = scene.write_voice(options.audio, options.frames, folder / "voice.wav")
        pictures = scene.write_pictures(shot, folder / f"frames-{options.variant}")
        print("writing random weights", file=sys.stderr)
        weights = stand_ins.write(folder / "weights", job.engine, Settings.read().weights)
        print("our side", file=sys.stderr)
        mine = apart(ours, shot, voice, weights, job)
        print("upstream's side", file=sys.stderr)
        clip = upstream.Scene(pictures, voice, shot.points, shot.classes, job.bbox_shift)
        theirs, substitutes = apart(their, options.upstream.resolve(), folder, clip, weights, options.variant)
    return report(compare(shot, mine, theirs), options, substitutes)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--upstream", type=Path, required=True, help="checkout of TMElyralab/MuseTalk")
    parser.add_argument("--video", type=Path, default=MEDIA / "sun.mp4")
    parser.add_argument("--audio", type=Path, default=MEDIA / "sun.wav")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--variant", choices=ENGINES, default="v15")
    parser.add_argument("--bbox-shift", type=int, default=0, help="of v1")
    parser.add_argument("--work", type=Path, help="an empty folder to work in, left as it is at the end")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def apart(function: Any, *given: Any) -> Any:
    """What the function gives in a process of its own, whose memory is free again afterwards."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *given).result()


def ours(shot: Shot, voice: Path, weights: StandIns, options: JobOptions) -> list[Drawn]:
    """Our engine, as `render` calls it, with the scene's class maps for BiSeNet's."""
    weights.let_in()
    settings = Settings.read().model_copy(update={"weights": weights.folder, "prepared_bytes": 0})
    engine: Any = set_up(settings, engine=options.engine).engine
    maps = iter(shot.classes)
    engine.bisenet = SimpleNamespace(labels=lambda _: next(maps))
    job = engine.for_job(options)
    sound = read_audio(voice, Limits()).fitted(len(shot.frames))
    features = job.listen(sound.samples_16k, len(shot.frames))
    drawn: list[Drawn] = []
    for start in range(0, len(shot.frames), job.batch_size):
        here = slice(start, start + job.batch_size)
        prepared = job.prepare(crops(shot, job, here))
        drawn += map(pasted, shot.frames[here], job.generate(prepared, features[here]))
        print(f"{len(drawn)} of {len(shot.frames)} frames", file=sys.stderr)
    return drawn


def crops(shot: Shot, job: Any, here: slice) -> list[Crop]:
    made = []
    for frame, face in zip(shot.frames[here], shot.faces[here], strict=True):
        box = job.region(face, frame.width, frame.height)
        made.append(Crop(frame.rgb(box), box, face, frame.width, frame.height))
    return made


def pasted(frame: Any, mouth: Mouth) -> Drawn:
    """The whole frame in RGB with the mouth in it, as upstream pastes; and into the planes, as we do."""
    rgb, mask = frame.rgb(), np.zeros((frame.height, frame.width), bool)
    box = mouth.box
    area = np.s_[box.top : min(box.bottom, frame.height), box.left : min(box.right, frame.width)]
    height, width = rgb[area].shape[:2]
    alpha, drawing = mouth.alpha[:height, :width, None].astype(np.float64), mouth.rgb[:height, :width]
    rgb[area] = np.rint(rgb[area] + alpha * (drawing.astype(np.float64) - rgb[area]))
    mask[area] = alpha[:, :, 0] > 0
    before = [each.copy() for each in (frame.y, frame.u, frame.v)]
    blend(frame, mouth)
    all_of_four = mask.reshape(frame.height // 2, 2, frame.width // 2, 2).all(axis=(1, 3))
    outside = [~mask, ~all_of_four, ~all_of_four]
    moved = sum(
        int(np.count_nonzero((now != then)[where]))
        for now, then, where in zip((frame.y, frame.u, frame.v), before, outside, strict=True)
    )
    return Drawn(rgb, mask, (frame.y, frame.u, frame.v), moved)


def their(
    checkout: Path, folder: Path, clip: upstream.Scene, weights: StandIns, version: str
) -> tuple[list[Pixels], tuple[str, ...]]:
    """Upstream's offline script up to its PNG files."""
    models = upstream.write_models(weights.files, folder / "upstream")
    watch = upstream.Watch(keep_pictures=True)
    run = upstream.offline(checkout, models, clip, version, watch=watch)
    return watch.pictures, run.substitutes


def compare(shot: Shot, mine: Sequence[Drawn], theirs: Sequence[Pixels]) -> Difference:
    inside, outside, drawn, planes = [], 0, [], []
    for frame, our, their_rgb in zip(shot.frames, mine, theirs, strict=False):
        step = np.abs(our.rgb.astype(int) - their_rgb).max(axis=2)
        inside.append(step[our.mask])
        outside = max(outside, int(step[~our.mask].max()))
        drawn.append(np.abs(our.rgb.astype(int) - frame.rgb()).max(axis=2)[our.mask])
        planes.append(plane_steps(our, their_rgb))
    steps = np.concatenate(inside)
    luma, chroma = (np.concatenate(each) for each in zip(*planes, strict=True))
    return Difference(
        frames=len(inside),
        missing=max(len(shot.frames), len(mine), len(theirs)) - len(inside),
        inside=int(steps.max()),
        inside_mean=round(float(steps.mean()), 4),
        outside=outside,
        planes_outside=sum(each.planes_moved for each in mine),
        drawn_mean=round(float(np.concatenate(drawn).mean()), 2),
        luma=int(luma.max()),
        luma_mean=round(float(luma.mean()), 4),
        chroma=int(chroma.max()),
        chroma_mean=round(float(chroma.mean()), 4),
    )


def plane_steps(our: Drawn, their_rgb: Pixels) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Differences of luma samples inside the mask, and of chroma samples with a pixel inside it."""
    touched = our.mask[::2, ::2] | our.mask[1::2, ::2] | our.mask[::2, 1::2] | our.mask[1::2, 1::2]
    y, u, v = (
        np.abs(mine.astype(int) - theirs)[where]
        for mine, theirs, where in zip(
            our.planes, planes_of(their_rgb), (our.mask, touched, touched), strict=True
        )
    )
    return y, np.concatenate([u, v])


def planes_of(rgb: Pixels) -> Planes:
    """8-bit 4:2:0, BT.709, limited range (ITU-R BT.709-6, 3.2 to 3.5); a chroma sample is the mean of its four pixels."""
    unit = rgb.astype(np.float64) / 255
    luma = unit @ (0.2126, 0.7152, 0.0722)
    blue, red = (unit[:, :, 2] - luma) / 1.8556, (unit[:, :, 0] - luma) / 1.5748
    halved = (each.reshape(len(each) // 2, 2, -1, 2).mean(axis=(1, 3)) for each in (blue, red))
    u, v = (np.rint(128 + 224 * each).astype(np.uint8) for each in halved)
    return np.rint(16 + 219 * luma).astype(np.uint8), u, v


def report(found: Difference, options: argparse.Namespace, substitutes: Sequence[str]) -> int:
    where = machine(on_gpu=upstream.on_gpu())
    if options.json:
        record = asdict(found) | {
            "holds": found.holds,
            "variant": options.variant,
            "machine": where.model_dump(),
        }
        print(json.dumps(record | {"substitutes": substitutes}))
        return 0 if found.holds else 1
    print(
        f"MuseTalk {options.variant}, {found.frames} frames of {options.video.name}, random weights, ", end=""
    )
    print(f"{where.dtype} on {where.device}")
    print(
        f"largest difference inside the mask:  {found.inside}/255 (mean {found.inside_mean}; goal {MOST_INSIDE})"
    )
    print(f"largest difference outside of it:    {found.outside}/255 (goal {MOST_OUTSIDE})")
    print(
        f"our planes against those of upstream's frame, inside: luma {found.luma}/255 (mean {found.luma_mean}),"
    )
    print(f"  chroma {found.chroma}/255 (mean {found.chroma_mean}), which upstream mixes before it is halved")
    print(f"samples of our planes moved outside: {found.planes_outside}")
    print(f"frames that one side did not draw:   {found.missing}")
    print(f"ours against the source, inside:     {found.drawn_mean}/255 on average")
    print("in upstream's run, what does not install here was replaced:")
    for each in substitutes:
        print(f"  {each}")
    print("parity holds" if found.holds else "parity does NOT hold")
    return 0 if found.holds else 1


if __name__ == "__main__":
    sys.exit(main())
