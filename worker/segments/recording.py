"""A video that is written segment by segment, the first of them perhaps by an earlier attempt."""

from collections.abc import Sequence

from contract.manifest import WarningRecord
from worker.drawing import Drawn
from worker.evaluation.aperture import Gauge
from worker.faces.trace import Trace
from worker.media.writer import Encoded, EncodedFacts, VideoWriter
from worker.preparing import Preparer
from worker.segments.chain import Chain
from worker.segments.segment import Segment, ends_segment
from worker.segments.witness import Witness


class Recording:
    """Puts drawn frames into a writer, and finished segments on a chain and before a gauge; None: nothing is kept, or measured.

    `frames` of the output are written, `with_face` of them have a new mouth, and `resumed` were taken from the chain.
    `witness` has watched the frames.
    """

    def __init__(
        self, writer: VideoWriter, chain: Chain | None, gauge: Gauge | None, witness: Witness
    ) -> None:
        self._writer, self._chain, self._gauge, self._witness = writer, chain, gauge, witness
        self._pictures: list[Encoded] = []  # of the segment that is being written
        self._first = self._with_face = 0  # where it begins, and its frames with a new mouth
        self.frames = self.with_face = self.resumed = 0
        self.prints: tuple[int, ...] = ()
        """Of the source, where this attempt goes on."""
        self.warnings: tuple[WarningRecord, ...] = ()
        """Of the source, where all of it was drawn before."""

    def resume(self, preparer: Preparer) -> int:
        """Take what earlier attempts finished; the first frame that is to be drawn."""
        if self._chain:
            for segment in self._chain.finished(traced=preparer.follows):
                self._writer.take(segment.pictures)
                self._measure(segment.first, segment.pictures)
                preparer.resume(segment.trace)
                self.with_face += segment.with_face
                self.frames = self.resumed = self._first = segment.end
                self.prints, self.warnings = segment.prints, segment.warnings
        return self.frames

    def write(self, drawn: Drawn) -> None:
        """The next frame. One that ends its segment has that kept."""
        self._collect(self._writer.write(drawn.frame))
        self.frames += 1
        self.with_face += drawn.has_mouth
        self._with_face += drawn.has_mouth
        if ends_segment(drawn.frame.index):
            self._end_segment(drawn.trace)

    def finish(self, trace: Trace | None, warnings: tuple[WarningRecord, ...]) -> EncodedFacts:
        """The whole file. Its last segment is kept too: what follows may be interrupted as well."""
        if self.frames > self._first:
            self._end_segment(trace, warnings)
        return self._writer.close()

    def _end_segment(self, trace: Trace | None, warnings: tuple[WarningRecord, ...] = ()) -> None:
        self._collect(self._writer.cut())
        prints, pictures = self._witness.before(self.frames), tuple(self._pictures)
        self._measure(self._first, pictures)
        if self._chain:
            count = self.frames - self._first
            self._chain.keep(Segment(self._first, count, self._with_face, pictures, trace, prints, warnings))
        self._first, self._with_face, self._pictures = self.frames, 0, []

    def _measure(self, first: int, pictures: Sequence[Encoded]) -> None:
        if self._gauge:
            part = self._gauge.folder / f"{first:08}.mp4"
            self._writer.clip(part, pictures)
            self._gauge.measure(part, len(pictures))

    def _collect(self, pictures: list[Encoded]) -> None:
        if self._chain or self._gauge:
            self._pictures += pictures
