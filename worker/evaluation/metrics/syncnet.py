"""LSE-D, LSE-C and the AV offset: how near SyncNet finds the lips to the voice, and where it finds them nearest.

Computed as joonson/syncnet_python@6efbb1c computes them, but for the lossy codecs that its pipeline puts between
decoding and the network. The faces are tracked on the source, and the judged video is cropped at the source's squares.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.metrics.base import Reading, Samples, Sound, View
from worker.evaluation.metrics.quantities import AV_OFFSET, LSE_C, LSE_D
from worker.evaluation.networks.s3fd import S3fd
from worker.evaluation.networks.syncnet import WINDOW, Features, Streams
from worker.evaluation.syncnet import lip_sync
from worker.evaluation.syncnet.detections import Detections
from worker.evaluation.syncnet.face_track import Track, Tracker, why_not
from worker.evaluation.syncnet.lip_features import LipFeatures, Looking
from worker.evaluation.syncnet.mfcc import mfcc
from worker.faces.cuts import Cuts
from worker.media.clock import FPS, SAMPLE_RATE
from worker.media.frame import Frame

SAMPLES_A_FRAME = SAMPLE_RATE // FPS
UNTRAINED_CONFIDENCE = 0.1
"""LSE-C of a network that has learnt nothing is 0.01, and its offset the farthest there is."""
NO_SYNC_CONFIDENCE, NO_SYNC_DISTANCE = 1.5, 11.0
"""LSE-C below the one with LSE-D above the other: voices of somebody else give 0.1 to 0.8 and 12 to 15."""
PADDED = (
    "as published: the voice outside the clip counts as a feature of zeros, which lowers LSE-C of short clips"
)


_STATISTICS: dict[str, Callable[[Samples], float]] = {
    LSE_D.name: lip_sync.distance,
    LSE_C.name: lip_sync.confidence,
    AV_OFFSET.name: lip_sync.offset,
}


class Network(Looking, Protocol):
    """Both streams."""

    def voices(self, cepstra: NDArray[np.float64], count: int) -> Features:
        """(count, 1024) of (T, 13) cepstra."""


class SyncNet:
    """The metric, with its two networks loaded. Use its meters from one thread at a time."""

    quantities = (LSE_C, LSE_D, AV_OFFSET)
    weights: tuple[str, ...] = ("syncnet", "s3fd")
    hears: bool = True

    def __init__(self, network: Network, detections: Detections) -> None:
        self.network, self.detections = network, detections

    def meter(self) -> "SyncNetMeter":
        """For one video."""
        return SyncNetMeter(self.network, self.detections)


def load(folder: Path, threads: int) -> SyncNet:
    """The metric with the registry's weights from that folder: on the GPU where there is one, else in so many threads.

    Raises:
        ConfigurationError: a file is missing or wrong: nothing is ever computed with other weights.
    """
    network, detector = Streams.load(folder, threads), S3fd.load(folder, threads)
    return SyncNet(network, Detections(detector.detect))


class SyncNetMeter:
    """Measures one video. It holds frames until their squares are settled, 32 at most, and features for good."""

    def __init__(self, network: Network, detections: Detections) -> None:
        self._network, self._detections = network, detections
        self._cuts, self._tracker = Cuts(), Tracker()
        self._frames: dict[int, Frame] = {}
        self._lips: dict[Track, LipFeatures] = {}
        self._ended = _Ended()

    def see(self, view: View) -> None:
        """The next frame; every frame, once and in order."""
        if self._cuts.begins(view.source):
            self._close(self._tracker.end())
        self._frames[view.index] = view.frame
        self._close(self._tracker.see(view.index, self._detections.of(view.source)))
        for track in self._tracker.live:
            self._lips.setdefault(track, LipFeatures(track, self._network)).take(self._frames)
        needed = min((each.next for each in self._lips.values()), default=view.index + 1)
        self._frames = {index: frame for index, frame in self._frames.items() if index >= needed}

    def readings(self, sound: Sound) -> dict[str, Reading]:
        """The three figures of the longest track, by name. The first call ends all tracks: no frame may follow it."""
        self._close(self._tracker.end())
        self._frames.clear()
        if self._ended.best is None:
            return _none(self._ended.reason)
        track, lips = self._ended.best, self._ended.lips
        samples = _heard(sound, track)
        count = min(track.frames, len(samples) // SAMPLES_A_FRAME) - WINDOW
        if count < 1:
            return _none(
                f"the audio ends before {WINDOW + 1} frames of the face's track, from frame {track.first} on"
            )
        voices = self._network.voices(mfcc(samples), count)
        return _readings(lip_sync.distances(lips[:count], voices), self._ended.about())

    def _close(self, ended: list[Track]) -> None:
        for track in ended:
            lips = self._lips.pop(track)
            if not (reason := why_not(track)):
                lips.take(self._frames)
            self._ended.add(track, lips, reason)


class _Ended:
    """Of all tracks that have ended: the longest that counts, else why the longest does not."""

    def __init__(self) -> None:
        self.best: Track | None = None
        self.lips: Features = np.empty((0, 0), np.float32)
        self.reason = "no face is seen"
        self._tracks = self._most_detections = 0

    def add(self, track: Track, lips: LipFeatures, reason: str) -> None:
        if reason:
            if track.detections > self._most_detections:
                self._most_detections, self.reason = track.detections, reason
            return
        self._tracks += 1
        if self.best is None or track.frames > self.best.frames:
            self.best, self.lips = track, lips.finished()

    def about(self) -> Mapping[str, Any]:
        """What the figures rest on."""
        if self.best is None:
            return {}
        track = {
            "first": self.best.first,
            "frames": self.best.frames,
            "detections": self.best.detections,
            "side": round(self.best.side, 1),
        }
        return {"track": track, "tracks": self._tracks}


def _heard(sound: Sound, track: Track) -> NDArray[np.int16]:
    """The part of the audio beside the track, as 16-bit samples."""
    part = sound.samples[track.first * SAMPLES_A_FRAME : (track.last + 1) * SAMPLES_A_FRAME]
    return np.asarray(np.clip(np.rint(part * 32768), -32768, 32767), dtype=np.int16)


def _readings(distances: lip_sync.Distances, about: Mapping[str, Any]) -> dict[str, Reading]:
    about = {
        **about,
        "shifts": list(lip_sync.OFFSETS),
        "curve": [round(float(each), 4) for each in lip_sync.curve(distances)],
        "padded": PADDED,
        "masked": lip_sync.masked(distances),
        "sync_found": not _no_sync(distances),
    }
    return {
        name: _checked(
            Reading(
                value=statistic(distances),
                n=len(distances),
                samples=distances,
                statistic=statistic,
                about=about,
            )
        )
        for name, statistic in _STATISTICS.items()
    }


def _none(reason: str) -> dict[str, Reading]:
    return {name: Reading(value=None, n=0, reason=reason) for name in _STATISTICS}


def _no_sync(distances: lip_sync.Distances) -> bool:
    is_faint = lip_sync.confidence(distances) < NO_SYNC_CONFIDENCE
    is_far = lip_sync.distance(distances) > NO_SYNC_DISTANCE
    return (is_faint and is_far) or abs(lip_sync.offset(distances)) == lip_sync.FARTHEST


def looks_untrained(reading: Reading) -> bool:
    """Whether a network that has learnt nothing would give that, too: LSE-C below 0.1 at the farthest offset."""
    samples = reading.samples
    if samples is None:
        return False
    is_farthest = abs(lip_sync.offset(samples)) == lip_sync.FARTHEST
    return is_farthest and lip_sync.confidence(samples) < UNTRAINED_CONFIDENCE


def _checked(reading: Reading) -> Reading:
    if not looks_untrained(reading):
        return reading
    return replace(
        reading,
        value=None,
        is_invalid=True,
        reason="the distance hardly changes with the offset (LSE-C below 0.1 at the farthest offset): "
        "silent or foreign audio gives that, and so does an untrained network",
    )
