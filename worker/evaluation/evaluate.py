"""START HERE for figures: the story of judging the videos that were made of one source.

    source ┐                        ┌► Judge of each video ─► figures, intervals ─┐
    videos ┴► side by side (clip) ──┤                                             ├► Evaluation of each video
    audio ───────────────────────── └► encoded again ─► Judge of the floor ───────┘
                                          with audio moved, shuffled, its own: controls

figures.py makes figures of what was seen here; compare.py sets videos against each other.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from contract.figures import Task
from contract.job import JobOptions
from contract.manifest import MediaFacts
from contract.settings import Settings
from worker import weights
from worker.evaluation.clip import Clip, read_clip
from worker.evaluation.floor import FloorWriter
from worker.evaluation.metrics.base import Reading, Sound
from worker.evaluation.own_audio import OwnAudio, own_audio
from worker.evaluation.panel import Judge, Panel
from worker.faces.track import FaceModels
from worker.media.audio import read_audio
from worker.media.limits import Limits
from worker.scratch import scratch_folder

Show = Callable[[str, int, int], None]
"""Told what is done, how many frames of it, and of how many."""


@dataclass(frozen=True)
class Judged:
    """One video with its judge, and what was read from it."""

    name: str
    path: Path
    judge: Judge
    readings: Mapping[str, Reading]
    facts: MediaFacts


@dataclass(frozen=True)
class Judging:
    """All that was seen of one source and its videos."""

    clip: Clip
    panel: Panel
    frames: int
    sound: Sound
    own: OwnAudio
    videos: tuple[Judged, ...]
    floor: Judged | None
    """The source encoded again; None where no controls were wanted."""
    seconds: float

    @property
    def task(self) -> Task:
        """Whether the audio is the source's own."""
        return _task(self.own)


class Evaluator:
    """Judges videos with the networks loaded once."""

    def __init__(self, settings: Settings, threads: int) -> None:
        self._settings, self._threads = settings, threads
        weights.fetch(weights.ENGINES["preview"], settings.weights)
        self._panel = Panel.load(settings.weights, threads)

    def judge(
        self,
        source: Path,
        audio: Path,
        videos: Mapping[str, Path],
        options: JobOptions,
        show: Show,
        has_controls: bool = True,
        touch: Callable[[], None] = lambda: None,
    ) -> Judging:
        """See all videos of one source, over the same frames of each.

        `touch` is called while anything moves, before the first frame and after the last one, too.

        Raises:
            InputRejected: a file cannot be read, or the source shows no face.
        """
        started = time.perf_counter()
        limits = Limits.of(self._settings)
        clip = read_clip(source, audio, options, limits, self._models, touch)
        own = own_audio(source, options, clip.sound, limits, touch)
        frames = min(clip.frames_of(each) for each in videos.values())
        sound = Sound(clip.sound.samples_16k, min(frames, clip.sound.frames))
        judges = {name: self._panel.judge() for name in videos}
        with scratch_folder(self._settings.scratch) as scratch:
            again = scratch / "floor.mp4"
            self._see(clip, videos, judges, frames, again if has_controls else None, show)
            floor = self._floor(clip, again, frames, sound, show) if has_controls else None
        seen = tuple(
            Judged(name, path, judges[name], judges[name].readings(sound), clip.facts_of(path))
            for name, path in videos.items()
        )
        return Judging(clip, self._panel, frames, sound, own, seen, floor, time.perf_counter() - started)

    def task(self, source: Path, audio: Path, options: JobOptions) -> Task:
        """Whether that audio is the source's own."""
        limits = Limits.of(self._settings)
        return _task(own_audio(source, options, read_audio(audio, limits), limits))

    def _see(
        self,
        clip: Clip,
        videos: Mapping[str, Path],
        judges: Mapping[str, Judge],
        frames: int,
        again: Path | None,
        show: Show,
    ) -> None:
        """Every video by its judge, and the source encoded again on the way."""
        with FloorWriter(again or Path(), clip.sound.fitted(frames), self._threads) as floor:
            for done, views in enumerate(clip.views(list(videos.values()), frames), 1):
                for judge, view in zip(judges.values(), views, strict=True):
                    judge.see(view)
                if again is not None:
                    floor.write(views[0].source)
                show("judging", done, frames)

    def _floor(self, clip: Clip, again: Path, frames: int, sound: Sound, show: Show) -> Judged:
        judge = self._panel.judge()
        for done, (view,) in enumerate(clip.views([again], frames), 1):
            judge.see(view)
            show("controls", done, frames)
        return Judged("floor", again, judge, judge.readings(sound), clip.facts_of(again))

    def _models(self) -> FaceModels:
        return FaceModels.load(self._settings.weights, 1)


def _task(own: OwnAudio) -> Task:
    return "self audio" if own.is_given else "cross audio"
