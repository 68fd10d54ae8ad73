"""START HERE for figures: the story of judging the videos that were made of one source.

    source ┐                        ┌► Judge of each video ─► figures, intervals ─┐
    videos ┴► side by side (clip) ──┤                                             ├► Evaluation of each video
    audio ───────────────────────── └► encoded again ─► Judge of the floor ───────┘
                                          with audio moved, shuffled, its own: controls

figures.py makes figures of what was seen here; compare.py sets videos against each other.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from contract.figures import Task
from contract.job import JobOptions
from contract.manifest import MediaFacts
from contract.settings import Settings
from worker import weights
from worker.evaluation.clip import Clip
from worker.evaluation.floor import FloorWriter
from worker.evaluation.metrics.base import Reading, Sound, View
from worker.evaluation.own_audio import OwnAudio, own_audio
from worker.evaluation.panel import Judge, Panel
from worker.faces.track import FaceModels
from worker.media.audio import read_audio
from worker.media.limits import Limits
from worker.scratch import scratch_folder

Views = tuple[View, ...]
"""One frame of every video."""
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
    frames: int
    """Of the video, of which no more were judged than all videos have."""


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
        clip = Clip(source, audio, read_audio(audio, limits, touch), options, limits, self._models, touch)
        own = own_audio(source, options, clip.sound, limits, touch)
        lengths = {name: clip.frames_of(path) for name, path in videos.items()}
        frames = min(lengths.values())
        sound = Sound(clip.sound.samples_16k, min(frames, clip.sound.frames))
        judges = {name: self._panel.judge() for name in videos}
        with scratch_folder(self._settings.scratch) as scratch:
            again = scratch / "floor.mp4"
            writing = FloorWriter(again, clip.sound.fitted(frames), self._threads) if has_controls else None
            with writing or nullcontext():
                for views in self._shown(clip.views(list(videos.values()), frames), "judging", frames, show):
                    for judge, view in zip(judges.values(), views, strict=True):
                        judge.see(view)
                    if writing:
                        writing.write(views[0].source)
            floor = self._floor(clip, again, frames, sound, show) if has_controls else None
        seen = tuple(
            Judged(name, path, judges[name], judges[name].readings(sound), clip.facts_of(path), lengths[name])
            for name, path in videos.items()
        )
        return Judging(clip, self._panel, frames, sound, own, seen, floor, time.perf_counter() - started)

    def task(self, source: Path, audio: Path, options: JobOptions) -> Task:
        """Whether that audio is the source's own."""
        limits = Limits.of(self._settings)
        return _task(own_audio(source, options, read_audio(audio, limits), limits))

    def _floor(self, clip: Clip, again: Path, frames: int, sound: Sound, show: Show) -> Judged:
        judge = self._panel.judge()
        for (view,) in self._shown(clip.views([again], frames), "controls", frames, show):
            judge.see(view)
        return Judged("floor", again, judge, judge.readings(sound), clip.facts_of(again), frames)

    @staticmethod
    def _shown(seen: Iterable[Views], doing: str, frames: int, show: Show) -> Iterator[Views]:
        """The same, and `show` is told of each."""
        for done, views in enumerate(seen, 1):
            yield views
            show(doing, done, frames)

    def _models(self) -> FaceModels:
        return FaceModels.load(self._settings.weights, 1)


def _task(own: OwnAudio) -> Task:
    return "self audio" if own.is_given else "cross audio"
