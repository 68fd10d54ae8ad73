"""Every frame with what is prepared for it: found, cropped and prepared once, however often its picture shows."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

from contract.errors import EngineFailed
from worker.engines.base import Crop, EngineJob, Keeping
from worker.faces.face import Face
from worker.faces.trace import Trace
from worker.faces.track import FaceTracker
from worker.media.frame import Frame
from worker.overlap import gathered
from worker.prepared.entry import Entry
from worker.segments.segment import ends_segment
from worker.stopwatch import Stopwatch

DELAY_BATCHES = 2
"""A frame without a face waits for at most this many batches' worth of frames."""
REMEMBERED_BATCHES = 2
"""Prepared frames in memory: a still or a held picture is one of them for as long as it shows."""


@dataclass(frozen=True)
class Ready:
    """One output frame, its feature, and its source frame prepared; None where there is no mouth to draw.

    The last one of a segment has the trace of the faces that were followed so far, where any were.
    """

    frame: Frame
    feature: Any
    prepared: Any | None
    trace: Trace | None = None


@dataclass(frozen=True)
class _Looked:
    """A frame that was looked at. `crop` is to be prepared; without one, `prepared` says what is known."""

    frame: Frame
    feature: Any
    crop: Crop | None = None
    prepared: Any | None = None
    is_known: bool = True
    trace: Trace | None = None


class Preparer:
    """Tracks and prepares the frames of one job, in output order. Use it from one thread at a time.

    With a `kept` entry that covers all source frames, neither happens. Where it covers a part, faces are tracked
    from the start all the same, for each is found where the last one was; what is prepared of the others stays
    the same, bit for bit. `prepared` and `reused` count source frames with a face.
    """

    def __init__(
        self, engine: EngineJob, tracker: FaceTracker | None, kept: Entry | None, watch: Stopwatch
    ) -> None:
        self._engine, self._tracker, self._watch = engine, tracker, watch
        self._kept = kept
        self._faces: dict[int, Face | None] = {}
        self._recent: OrderedDict[int, Any | None] = OrderedDict()
        self._coming: set[int] = set()
        self._seen = self._traced = 0
        self.prepared = 0
        self.reused = 0

    @property
    def follows(self) -> bool:
        """Whether faces are followed here, each found where the last one was."""
        return self._tracker is not None

    def resume(self, trace: Trace | None) -> None:
        """Take what an earlier attempt saw of the next source frames; only before the first frame, in order."""
        if trace is None:
            return
        self._faces.update(enumerate(trace.faces, trace.first))
        self._seen = self._traced = trace.end
        if self._tracker:
            self._tracker.restore(trace.tracker)

    def trace(self) -> Trace | None:
        """What was seen since the last trace was taken; None where no faces are followed."""
        if self._tracker is None:
            return None
        first, self._traced = self._traced, self._seen
        faces = tuple(self._faces[index] for index in range(first, self._seen))
        return Trace(first, faces, self._tracker.state())

    def ready(self, pairs: Iterable[tuple[Frame, Any]]) -> Iterator[Ready]:
        """The same frames with their features, prepared a batch at a time; no batch is of two segments."""
        size = self._engine.batch_size
        looked = (self._looked(frame, feature) for frame, feature in pairs)
        groups = gathered(
            looked, _has_crop, size, DELAY_BATCHES * size, lambda each: ends_segment(each.frame.index)
        )
        for group in groups:
            fresh = self._prepare([each for each in group if each.crop is not None])
            for each in group:
                prepared = each.prepared if each.is_known else fresh[each.frame.source_index]
                self._remember(each.frame.source_index, prepared)
                yield Ready(each.frame, each.feature, prepared, each.trace)

    def _looked(self, frame: Frame, feature: Any) -> _Looked:
        looked = self._look(frame, feature)
        return replace(looked, trace=self.trace()) if ends_segment(frame.index) else looked

    def _look(self, frame: Frame, feature: Any) -> _Looked:
        """What is known of the frame, or what is to be prepared; follows the face in every new one."""
        index = frame.source_index
        is_new = index >= self._seen
        self._seen = max(self._seen, index + 1)
        if is_new and self._tracker:
            with self._watch.stage("track"):
                self._faces[index] = self._tracker.track(frame)
        if index in self._coming:  # it is in this batch already
            return _Looked(frame, feature, is_known=False)
        if index in self._recent:
            return _Looked(frame, feature, prepared=self._recent[index])
        if self._kept and index in self._kept:
            prepared = self._unpacked(index)
            self.reused += is_new and prepared is not None
            return _Looked(frame, feature, prepared=prepared)
        face = self._face(index)
        if face is None:
            return _Looked(frame, feature)
        self._coming.add(index)
        return _Looked(frame, feature, crop=_crop(frame, face, self._engine), is_known=False)

    def _face(self, index: int) -> Face | None:
        if index not in self._faces:
            raise EngineFailed(
                f"frame {index} of the source was never prepared, and {self._seen} frames were said to be all of it; "
                "empty the cache of prepared frames (DUBLINE_PREPARED, and prepared/ in the bucket)"
            )
        return self._faces[index]

    def _unpacked(self, index: int) -> Any | None:
        with self._watch.stage("reuse"):
            arrays = self._kept.frame(index) if self._kept else None
            return None if arrays is None else cast(Keeping, self._engine).unpack(arrays)

    def _prepare(self, looked: list[_Looked]) -> dict[int, Any | None]:
        """What is prepared, by source frame."""
        if not looked:
            return {}
        with self._watch.stage("prepare"):
            made = self._engine.prepare([each.crop for each in looked if each.crop])
        self._coming.clear()
        self.prepared += len(looked)
        return {each.frame.source_index: done for each, done in zip(looked, made, strict=True)}

    def _remember(self, index: int, prepared: Any | None) -> None:
        """For pictures that show again: the last ones in memory, all of them on the shelf."""
        if self._kept and index == self._kept.reach:
            arrays = None if prepared is None else cast(Keeping, self._engine).pack(prepared)
            with self._watch.stage("keep"):
                self._kept.add(index, arrays)
        self._recent[index] = prepared
        self._recent.move_to_end(index)
        if len(self._recent) > REMEMBERED_BATCHES * self._engine.batch_size:
            self._recent.popitem(last=False)


def _has_crop(looked: _Looked) -> bool:
    return looked.crop is not None


def _crop(frame: Frame, face: Face, engine: EngineJob) -> Crop:
    box = engine.region(face, frame.width, frame.height)
    return Crop(frame.rgb(box), box, face, frame.width, frame.height)
