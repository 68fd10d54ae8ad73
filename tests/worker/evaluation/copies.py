"""Copies of a video that are worse in one known way."""

from dataclasses import replace

import cv2
import numpy as np

from worker.evaluation.crops import mouth_box
from worker.faces.track import FaceTracker
from worker.media.audio import read_audio
from worker.media.limits import Limits
from worker.media.source import VideoSource
from worker.media.writer import VideoWriter


def copied(path, target, frames, change=lambda frame: frame):
    """The video's first frames, each changed, encoded again."""
    with VideoSource(path, Limits()) as source:
        sound = read_audio(path, Limits()).fitted(frames)
        with VideoWriter(target, source.width, source.height, sound, threads=2) as writer:
            for frame in source.frames(frames, "freeze"):
                writer.write(change(frame))
            writer.cut()
            writer.close()
    return target


def with_blurred_mouth(models, sigma=4):
    """A change: the mouth's luma blurred."""
    tracker = FaceTracker(models, smooth=False)

    def blurred(frame):
        box = mouth_box(tracker.track(frame), frame.width, frame.height)
        y = frame.y.copy()
        rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
        y[rows, columns] = cv2.GaussianBlur(y[rows, columns], (0, 0), sigma)
        return replace(frame, y=y)

    return blurred


def moved_right(pixels):
    """A change: the whole picture that many pixels to the right."""
    return lambda frame: replace(frame, y=np.roll(frame.y, pixels, axis=1))


def halved(path, target, frames):
    """The video at half its size."""
    with VideoSource(path, Limits()) as source:
        width, height = source.width // 4 * 2, source.height // 4 * 2
        sound = read_audio(path, Limits()).fitted(frames)
        with VideoWriter(target, width, height, sound, threads=2) as writer:
            for frame in source.frames(frames, "freeze"):
                writer.write(frame.resized(width, height))
            writer.cut()
            writer.close()
    return target
