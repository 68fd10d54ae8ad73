"""START HERE: the story of one job, from staged inputs to a finished video.

    audio file ──► read_audio ──► Engine.listen ───────────────┐ one feature a frame
    video file ──► VideoSource ─► track, prepare ─► generate ─► blend ─► VideoWriter ─► video.mp4
                   └─ a thread ─┘ └─ a thread ──┘   └a thread┘ └ this ┘ └─ a thread ─┘ └► Gauge ─► sync check
                                                                                          └ a thread ┘
The video is written in segments of 20 s, and an attempt goes on after the last one that another finished (segments/).
What was encoded is decoded again and measured, each segment while the next ones are drawn (evaluation/aperture.py).
All stages run side by side with bounded queues between them: a bounded number of frames is in memory, and none
ever lies on disk. What grows with length is the sound and the points of the faces, about 0.3 GB an hour each.
drawing.py is the middle; preparing.py says what is done once per source frame, and prepared/ keeps it for other jobs.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.errors import NoFace
from contract.job import JobOptions
from contract.manifest import Curves, Frames, MediaFacts, SyncCheck, WarningRecord
from worker.drawing import draw
from worker.engines.base import Engine, EngineJob, Keeping
from worker.evaluation.aperture import Gauge
from worker.evaluation.sync import check, curves, loudness
from worker.faces.track import FaceModels, FaceTracker
from worker.media.audio import Audio, read_audio
from worker.media.encoder import Encoder, x264
from worker.media.frame import Frame
from worker.media.limits import Limits
from worker.media.source import VideoSource
from worker.media.writer import EncodedFacts, VideoWriter
from worker.overlap import WriteBehind, read_ahead
from worker.prepared.entry import Entry, entry_key
from worker.prepared.shelf import Shelf
from worker.preparing import Preparer
from worker.progress import JobProgress
from worker.segments.chain import Chain, Segments
from worker.segments.recording import Recording
from worker.segments.segment import is_long
from worker.segments.witness import Witness
from worker.stopwatch import Stopwatch

QUEUE_FRAMES = 8
"""Frames between two stages: 25 MB at 1080p, 100 MB at 4K."""


@dataclass(frozen=True)
class Tools:
    """What a process sets up once and every job uses, and the job's own place of segments."""

    engine: Engine
    faces: FaceModels
    second_faces: FaceModels
    """The same networks once more: they are used from one thread at a time, and two follow faces."""
    limits: Limits
    threads: int
    encoder: Encoder = field(default_factory=x264)
    """Of pictures that have a size it takes."""
    shelf: Shelf | None = None
    """Where prepared frames are kept for other jobs."""
    segments: Segments | None = None
    """Where finished parts of this job are kept for another attempt."""


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
    with Gauge(output.parent, tools.second_faces, tools.limits, options.face, watch, progress.touch) as gauge:
        with VideoSource(
            video, tools.limits, start=options.start, end=options.end, touch=progress.touch
        ) as source:
            length = source.length(sound.frames, options.sync_mode)
            sound = sound.fitted(length)
            with watch.stage("listen"):
                features = engine.listen(sound.samples_16k, length)
            job = _Job(engine, options, tools, gauge, progress, watch)
            with job.kept(video, source.source_frames or length) as kept:
                encoded, frames, warnings = job.film(source, sound, features, kept, output)
        with watch.stage("sync_check"):
            aperture, loud = gauge.curve(), loudness(sound.samples_16k, encoded.frames)
    return Rendering(
        encoded=encoded,
        frames=frames,
        sync_check=check(aperture, loud),
        curves=curves(aperture, loud),
        video=source.facts,
        audio=sound.facts,
        warnings=warnings + sound.warnings,
    )


@dataclass(frozen=True)
class _Job:
    """One render's companions, which every step of it needs."""

    engine: EngineJob
    options: JobOptions
    tools: Tools
    gauge: Gauge
    progress: JobProgress
    watch: Stopwatch

    @contextmanager
    def kept(self, video: Path, source_frames: int) -> Iterator[Entry | None]:
        """What earlier jobs left of the first so many source frames; None for an engine that keeps nothing."""
        shelf = self.tools.shelf
        if shelf is None or not isinstance(self.engine, Keeping):
            yield None
            return
        with ExitStack() as stack:
            with self.watch.stage("gather"):
                key = entry_key(_sha256(video), self.options, self.engine.depends_on())
                entry = stack.enter_context(shelf.entry(key, source_frames, self.progress.touch))
            yield entry

    def film(
        self, source: VideoSource, sound: Audio, features: Sequence[Any], kept: Entry | None, output: Path
    ) -> tuple[EncodedFacts, Frames, tuple[WarningRecord, ...]]:
        """The finished file, how many of its frames have a new mouth, and the source's warnings."""
        watch, total = self.watch, len(features)
        encoder, threads = self.tools.encoder.suited(source.width, source.height), self.tools.threads
        is_covered = kept is not None and kept.covers(source.source_frames or total)
        tracker = None if is_covered else FaceTracker(self.tools.faces, self.options.face)
        preparer = Preparer(self.engine, tracker, kept, watch)
        with (
            watch.stage("stream"),
            VideoWriter(
                output, source.width, source.height, sound, threads=threads, encoder=encoder
            ) as writer,
            self._chain(source, total, encoder) as chain,
        ):
            witness = Witness(source)
            recording = Recording(writer, chain, self.gauge if is_long(total) else None, witness)
            with watch.stage("resume"):
                first = recording.resume(preparer)
                if recording.prints:
                    source.go_to(first, recording.prints)
            self.progress.enter("generating", total=total, done=first)
            if first < total:
                frames = witness.watched(source.frames(total, self.options.sync_mode, first))
                self._draw(frames, (features[index] for index in range(first, total)), preparer, recording)
            warnings = source.warnings if first < total else recording.warnings
            encoded = recording.finish(preparer.trace(), warnings)
        if kept is not None:
            kept.finish(source.source_frames)
        counted = self._counted(recording, preparer)
        if not is_long(total):
            self.gauge.measure(output, total)
        return encoded, counted, warnings

    def _draw(
        self, frames: Iterable[Frame], features: Iterable[Any], preparer: Preparer, recording: Recording
    ) -> None:
        """All stages side by side, until the frames end."""
        with (
            read_ahead(frames, QUEUE_FRAMES) as ahead,
            draw(ahead, features, self.engine, preparer, self.watch) as drawn,
            WriteBehind(recording.write, QUEUE_FRAMES) as behind,
        ):
            for each in drawn:
                behind.put(each)
                self.progress.advance()

    def _chain(
        self, source: VideoSource, total: int, encoder: Encoder
    ) -> AbstractContextManager[Chain | None]:
        """The job's segments in the bucket; None where it is too short to have several, or has no bucket."""
        segments = self.tools.segments
        if segments is None or not is_long(total):
            return nullcontext()
        engine = self.engine.depends_on() if isinstance(self.engine, Keeping) else {}
        return segments.chain(
            {
                "frames": total,
                "size": [source.width, source.height],
                "threads": self.tools.threads,
                "encoder": encoder.identity,
                "engine": dict(engine),
            }
        )

    def _counted(self, recording: Recording, preparer: Preparer) -> Frames:
        """The counts. Raises NoFace where no mouth was drawn."""
        total, with_face = recording.frames, recording.with_face
        if with_face == 0:
            face = self.options.face
            sought = f"{face + 1} usable faces" if isinstance(face, int) else "a usable face"
            raise NoFace(
                f"none of the {total} frames shows {sought} (face={face}); choose another face, video "
                "or part of it"
            )
        return Frames(
            total=total,
            with_face=with_face,
            without_face=total - with_face,
            prepared=preparer.prepared,
            reused=preparer.reused,
            resumed=recording.resumed,
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
