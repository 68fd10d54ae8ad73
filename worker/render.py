"""START HERE: the story of one job, from staged inputs to a finished video.

    audio file ──► read_audio ──► Engine.listen ─────────────┐ one feature a frame
    video file ──► VideoSource ─► FaceTracker ─► Engine ─► blend ─► VideoWriter ─► video.mp4
                   └ read ahead ┘ └────── this thread ─────┘ └ write behind ┘

Decode, draw and encode run side by side with bounded queues between them: a bounded number of frames is in
memory, and none ever lies on disk. What grows with length is the sound and the points of the faces, about 0.3 GB
an hour each.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from contract.errors import NoFace
from contract.job import JobOptions
from contract.manifest import Curves, Frames, MediaFacts, SyncCheck, WarningRecord
from worker.engines.base import Crop, Engine, EngineJob
from worker.evaluation.aperture import apertures
from worker.evaluation.sync import check, curves, loudness
from worker.faces.face import Face
from worker.faces.track import FaceModels, FaceTracker
from worker.media.audio import read_audio
from worker.media.blend import blend
from worker.media.frame import Frame
from worker.media.limits import Limits
from worker.media.source import VideoSource
from worker.media.writer import EncodedFacts, VideoWriter
from worker.overlap import WriteBehind, read_ahead
from worker.progress import JobProgress
from worker.stopwatch import Stopwatch

QUEUE_FRAMES = 8
"""Frames between two stages: 25 MB at 1080p, 100 MB at 4K."""


@dataclass(frozen=True)
class Tools:
    """What a process sets up once and every job uses."""

    engine: Engine
    faces: FaceModels
    limits: Limits
    threads: int


@dataclass(frozen=True)
class Rendering:
    """What a render made and measured."""

    encoded: EncodedFacts
    frames: Frames
    sync_check: SyncCheck
    curves: Curves
    video: MediaFacts
    audio: MediaFacts
    warnings: tuple[WarningRecord, ...]


def render(
    video: Path,
    audio: Path,
    output: Path,
    options: JobOptions,
    tools: Tools,
    progress: JobProgress,
    watch: Stopwatch,
) -> Rendering:
    """The pair's lip-synced video in `output`, and what is known of it.

    Raises:
        InputRejected: the media cannot be rendered; `output` may hold a part and is of no use.
        TemporaryFailure: it is worth another attempt.
        LeaseLost: the job is another worker's by now.
    """
    progress.enter("preparing")
    engine = tools.engine.for_job(options)
    with watch.stage("listen"):
        sound = read_audio(audio, tools.limits, progress.touch)
    with VideoSource(
        video, tools.limits, start=options.start, end=options.end, touch=progress.touch
    ) as source:
        length = source.length(sound.frames, options.sync_mode)
        sound = sound.fitted(length)
        with watch.stage("listen"):
            features = engine.listen(sound.samples_16k, length)
        progress.enter("generating", total=length)
        cast = Cast(FaceTracker(tools.faces, options.face))
        with (
            watch.stage("stream"),
            VideoWriter(output, source.width, source.height, sound, threads=tools.threads) as writer,
        ):
            with (
                read_ahead(source.frames(length, options.sync_mode), QUEUE_FRAMES) as frames,
                WriteBehind(writer.write, QUEUE_FRAMES) as behind,
            ):
                for frame in draw(frames, features, engine, cast, watch):
                    behind.put(frame)
                    progress.advance()
            encoded = writer.close()
    if cast.with_face == 0:
        sought = f"{options.face + 1} usable faces" if isinstance(options.face, int) else "a usable face"
        raise NoFace(
            f"none of the {cast.total} frames shows {sought} (face={options.face}); choose another face, video "
            "or part of it"
        )
    with watch.stage("sync_check"):
        aperture = apertures(output, encoded.frames, tools.faces, tools.limits, options.face, progress.touch)
        loud = loudness(sound.samples_16k, encoded.frames)
    return Rendering(
        encoded=encoded,
        frames=cast.frames,
        sync_check=check(aperture, loud),
        curves=curves(aperture, loud),
        video=source.facts,
        audio=sound.facts,
        warnings=source.warnings + sound.warnings,
    )


class Cast:
    """The face to draw on in every frame: found once per source frame, for it may show again, and remembered."""

    def __init__(self, tracker: FaceTracker) -> None:
        self._tracker = tracker
        self._seen: dict[int, Face | None] = {}
        self.total = 0
        self.with_face = 0

    @property
    def frames(self) -> Frames:
        """The frames so far, with and without a face."""
        return Frames(total=self.total, with_face=self.with_face, without_face=self.total - self.with_face)

    def find(self, frame: Frame) -> Face | None:
        """The frame's face, or None; counts the frame."""
        if frame.source_index not in self._seen:
            self._seen[frame.source_index] = self._tracker.track(frame)
        face = self._seen[frame.source_index]
        self.total += 1
        self.with_face += face is not None
        return face


def draw(
    frames: Iterable[Frame], features: Iterable[Any], engine: EngineJob, cast: Cast, watch: Stopwatch
) -> Iterator[Frame]:
    """The same frames in the same order, with new mouths. Frames without a face keep their place, untouched."""
    pairs = zip(frames, features, strict=True)
    while batch := list(islice(pairs, engine.batch_size)):
        with watch.stage("track"):
            faces = [cast.find(frame) for frame, _ in batch]
        drawn = [
            (frame, face, feature)
            for (frame, feature), face in zip(batch, faces, strict=True)
            if face is not None
        ]
        with watch.stage("prepare"):
            prepared = engine.prepare([_crop(frame, face, engine) for frame, face, _ in drawn])
        with watch.stage("generate"):
            mouths = engine.generate(prepared, [feature for _, _, feature in drawn])
        with watch.stage("blend"):
            for (frame, _, _), mouth in zip(drawn, mouths, strict=True):
                blend(frame, mouth)
        yield from (frame for frame, _ in batch)


def _crop(frame: Frame, face: Face, engine: EngineJob) -> Crop:
    box = engine.region(face, frame.width, frame.height)
    return Crop(frame.rgb(box), box, face, frame.width, frame.height)
