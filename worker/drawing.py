"""The middle of a render: frames in, the same frames out, with new mouths. Three stages side by side.

    frames ─► track, prepare ─► generate ─► blend ─►
              └─ a thread ─┘   └ a thread ┘ └ the caller's ─

Frames never overtake each other, and what is drawn into them depends on their order alone, never on timing.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from worker.engines.base import EngineJob, Mouth
from worker.faces.trace import Trace
from worker.media.blend import blend
from worker.media.frame import Frame
from worker.overlap import gathered, read_ahead
from worker.preparing import DELAY_BATCHES, Preparer, Ready
from worker.segments.segment import ends_segment
from worker.stopwatch import Stopwatch


@dataclass(frozen=True)
class Drawn:
    """One finished frame. The last one of a segment has a trace, where faces are followed (`Preparer.trace`)."""

    frame: Frame
    has_mouth: bool
    trace: Trace | None = None


@contextmanager
def draw(
    frames: Iterable[Frame], features: Iterable[Any], engine: EngineJob, preparer: Preparer, watch: Stopwatch
) -> Iterator[Iterator[Drawn]]:
    """The same frames in the same order, each with whether it has a new mouth. One without a face is untouched.

    What is drawn into a segment's frames depends on no other segment's batches. At most some five batches of frames are on their way. An error of a stage is raised where its frame would
    have come; leaving the block ends the stages.
    """
    depth = engine.batch_size
    pairs = zip(frames, features, strict=True)
    with (
        read_ahead(preparer.ready(pairs), depth) as ready,
        read_ahead(_generated(ready, engine, watch), depth) as drawings,
    ):
        yield _blended(drawings, watch)


def _generated(
    ready: Iterable[Ready], engine: EngineJob, watch: Stopwatch
) -> Iterator[tuple[Ready, Iterator[Mouth] | None]]:
    """Each frame, and where its mouth is the next one to be taken. Batches are full: frames without a face are passed over, not waited at."""
    size = engine.batch_size
    for group in gathered(
        ready, _has_face, size, DELAY_BATCHES * size, lambda each: ends_segment(each.frame.index)
    ):
        mouths = _mouths([each for each in group if _has_face(each)], engine, watch)
        for each in group:
            yield each, mouths if _has_face(each) else None


def _mouths(drawn: Sequence[Ready], engine: EngineJob, watch: Stopwatch) -> Iterator[Mouth]:
    if not drawn:
        return iter(())
    with watch.stage("generate"):
        mouths = engine.generate([each.prepared for each in drawn], [each.feature for each in drawn])
    return (mouth for _, mouth in zip(drawn, mouths, strict=True))


def _has_face(ready: Ready) -> bool:
    return ready.prepared is not None


def _blended(drawings: Iterable[tuple[Ready, Iterator[Mouth] | None]], watch: Stopwatch) -> Iterator[Drawn]:
    """Mouths are taken here, and not where they are generated: so a GPU has the next batch meanwhile."""
    for ready, mouths in drawings:
        if mouths is not None:
            with watch.stage("blend"):
                blend(ready.frame, next(mouths))
        yield Drawn(ready.frame, mouths is not None, ready.trace)
