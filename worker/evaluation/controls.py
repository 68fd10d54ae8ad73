"""Audio that does not belong to the pictures: what a metric must notice before it is believed."""

from collections.abc import Iterator, Mapping

import numpy as np

from worker.evaluation.metrics.base import Quantity, Reading, Sound
from worker.evaluation.metrics.quantities import GROUPS, SYNC
from worker.media.clock import FPS, SAMPLE_RATE

MOVES = (-7, -3, 3, 7)
"""Frames by which the audio is made later."""
COLLAPSED = 0.5
"""A strength under shuffled audio above this share of the true one means that the metric hears nothing here."""
_A_FRAME = SAMPLE_RATE // FPS


def moved(sound: Sound, frames: int) -> Sound:
    """The audio that many frames later, silence in front; earlier where negative, silence at the end."""
    samples, gap = sound.samples, abs(frames) * _A_FRAME
    silence = np.zeros(min(gap, len(samples)), np.float32)
    later = np.concatenate([silence, samples])[: len(samples)]
    earlier = np.concatenate([samples[gap:], silence])
    return Sound(later if frames > 0 else earlier, sound.frames)


def shuffled(sound: Sound) -> Sound:
    """The audio rolled by half its length: the same voice, saying something else."""
    return Sound(np.roll(sound.samples, len(sound.samples) // 2), sound.frames)


def audio_controls(sound: Sound) -> Iterator[tuple[str, Sound]]:
    """All of them, by the names that figures give them."""
    yield "shuffled", shuffled(sound)
    for frames in MOVES:
        yield f"moved_{frames}", moved(sound, frames)


def fault(name: str, true: Mapping[str, Reading], others: Mapping[str, Mapping[str, Reading]]) -> str:
    """Why a figure of sync cannot be believed on this clip; nothing where it can, or where no sync was found."""
    pair = _pair(name)
    if pair is None:
        return ""
    strength, offset = (true.get(each.name) for each in pair)
    if strength is None or offset is None or strength.value is None or offset.value is None:
        return ""
    if not strength.about.get("sync_found"):
        return ""
    elsewhere = others["shuffled"][pair[0].name].value
    if elsewhere is not None and elsewhere > COLLAPSED * strength.value:
        return f"shuffled audio has {elsewhere:.2f} where the true one has {strength.value:.2f}"
    for frames in MOVES:
        found = others[f"moved_{frames}"][pair[1].name].value
        expected = offset.value - frames
        if found is not None and abs(expected) <= 15 and abs(found - expected) > 1:
            return f"audio moved by {frames} frames is found at {found:g}, not at {expected:g}"
    return ""


def _pair(name: str) -> tuple[Quantity, Quantity] | None:
    """Strength and offset of the metric that gives the figure of that name; None where it does not hear."""
    return next(
        (
            pair
            for pair in SYNC
            for group in GROUPS
            if pair[0] in group.quantities and name in {each.name for each in group.quantities}
        ),
        None,
    )
