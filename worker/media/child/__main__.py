"""`python -m worker.media.child PARENT_PID`: serves requests on stdin, answers on stdout (worker.media.wire)."""

import json
import os
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from contract.errors import DecodeLimit, DublineError
from worker.media import wire
from worker.media.child import fence
from worker.media.child.container import audio_facts, audio_stream, open_media, video_stream
from worker.media.child.film import Film
from worker.media.child.order import in_order
from worker.media.child.sound import Sound
from worker.media.child.still import Still, is_still
from worker.media.limits import Limits

_BEAT_SECONDS = 1.0


class Child:
    """One file's requests, one after another: open, then video, count, frames; or audio."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._last_sent = time.monotonic()
        self._path = Path()
        self._limits = Limits()
        self._source: Film | Still
        self._begin = 0  # where in the output the source's first picture is

    def serve(self, requests: BinaryIO) -> None:
        """Answer every request until the parent hangs up."""
        self.send("ready")
        for line in requests:
            request = json.loads(line)
            answer: Callable[..., None] = getattr(self, "do_" + request.pop("do"))
            try:
                answer(**request)
            except DublineError as error:
                self.send("error", code=error.code, message=error.message)
            except MemoryError:
                self.send(
                    "error", code=DecodeLimit.code, message="decoding needs more memory than it may have"
                )

    def do_open(self, path: str, limits: dict[str, Any]) -> None:
        """Take the bounds before anything is opened; no answer."""
        self._path, self._limits = Path(path), Limits(**limits)
        fence.confine(self._limits)

    def do_video(self, start: float, end: float | None) -> None:
        """Answer with the facts of the video or still."""
        if is_still(self._path):
            self._source = Still(self._path, self._limits)
        else:
            self._source = Film(self._path, self._limits, self.beat, start, end)
        width, height = self._source.shown
        still = isinstance(self._source, Still)
        self.send("facts", facts=self._source.facts(), width=width, height=height, is_still=still)

    def do_probe(self) -> None:
        """Answer with the facts of whatever it is: a still, a video, or audio alone."""
        self.send("facts", facts=self._facts())

    def do_count(self, most: int | None) -> None:
        """Answer with the pictures of the part."""
        self.send("end", frames=self._source.count(most))

    def do_go_to(self, position: int, prints: list[int]) -> None:
        """Answer whether the frames asked for next begin there without reading what is before."""
        went = isinstance(self._source, Film) and self._source.go_to(position, prints)
        self._begin = position if went else 0
        self.send("end", went=went)

    def do_frames(self, length: int, sync_mode: Any, first: int) -> None:
        """Answer with the pictures in output order, without those before `first`."""
        begin = self._begin
        for source_index, picture in islice(
            in_order(self._source, sync_mode, length - begin), first - begin, None
        ):
            self.send("frame", [picture.data], source_index=source_index, is_damaged=self._source.is_damaged)
        self.send("end", source_frames=self._source.frames, warnings=self._source.warnings)

    def do_audio(self) -> None:
        """Answer with the samples, then the track."""
        sound = Sound(self._path, self._limits, self.beat)
        for samples in sound.samples():
            self.send("samples", [samples.data])
        for sizes, payload in sound.track():
            self.send("packets", [memoryview(payload)], sizes=sizes)
        self.send("end", **sound.result())

    def _facts(self) -> dict[str, Any]:
        if is_still(self._path):
            return Still(self._path, self._limits).facts()
        with open_media(self._path) as container:
            sound = audio_stream(container)
            if sound and video_stream(container) is None:
                return audio_facts(container, sound)
        return Film(self._path, self._limits, self.beat).facts()

    def send(self, kind: str, payload: list[memoryview] | None = None, **fields: Any) -> None:
        """One message to the parent."""
        wire.send(self._out, {"kind": kind, **fields}, payload or [])
        self._last_sent = time.monotonic()

    def beat(self) -> None:
        """Say that decoding goes on, where nothing else was said for a second."""
        if time.monotonic() - self._last_sent > _BEAT_SECONDS:
            self.send("beat")


def main() -> None:
    """Serve until stdin closes."""
    fence.die_with(int(sys.argv[1]))
    Image.MAX_IMAGE_PIXELS = None  # Still checks the header against our own limit, and Pillow only warns
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not land among the messages
    Child(out).serve(sys.stdin.buffer)


if __name__ == "__main__":
    main()
