"""Whether this machine's codecs work: a grey second and a tone are encoded, and read back in decode children."""

import wave
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np

from contract.errors import ConfigurationError
from worker.media.audio import read_audio
from worker.media.clock import FPS, SAMPLE_RATE
from worker.media.frame import Frame
from worker.media.limits import Limits
from worker.media.source import probe
from worker.media.writer import VideoWriter

SIZE = 64


def trial() -> str:
    """What was written and read back, in words.

    Raises:
        ConfigurationError: it could not be written.
        InputRejected: what was written could not be read.
    """
    try:
        return _trial()
    except av.error.FFmpegError as error:
        raise ConfigurationError(f"libav cannot encode H.264 and AAC: {error}") from error


def _trial() -> str:
    with TemporaryDirectory(prefix="dubline-trial-") as folder:
        tone, video = Path(folder) / "tone.wav", Path(folder) / "trial.mp4"
        _write_tone(tone)
        with VideoWriter(video, SIZE, SIZE, read_audio(tone, Limits()), threads=1) as writer:
            for index in range(FPS):
                writer.write(_grey(index))
            writer.close()
        facts = probe(video, Limits())
    return (
        f"{facts.video_codec} and {facts.audio_codec} written and read by av {av.__version__} (FFmpeg "
        f"{av.ffmpeg_version_info})"
    )


def _write_tone(path: Path) -> None:
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((8000 * np.sin(2 * np.pi * 440 * time)).astype("<i2").tobytes())


def _grey(index: int) -> Frame:
    half = np.full((SIZE // 2, SIZE // 2), 128, np.uint8)
    return Frame(index, index, np.full((SIZE, SIZE), 126, np.uint8), half, half.copy())
