"""What MuseTalk hears: Whisper's hidden states around each output frame.

    samples ─► log-mel of 30 s ─► Whisper's encoder ─► 5 hidden states a token (20 ms) ─► 10 tokens a frame (40 ms)

Up to 30 s the numbers are upstream's at 25 fps (musetalk/utils/audio_processor.py, 0a89dec), where frame i sees
tokens 2i-4 to 2i+5 as in training. Upstream counts in the source's frame rate, and so looks up to 120 ms too early
below 25 fps; our output is always 25 fps.

Longer audio: upstream cuts it every 30 s, and a word across the cut is heard as two halves, each beside nothing.
Here segments of 30 s start every 20 s, and a frame takes its whole window from the segment that has at least 5 s of
sound on both sides of it: no word is cut and no window mixes two encodings. The floor of the log-mel (80 dB below
the peak) stays that of each segment, as in Whisper's training. One floor for the whole file would swallow quiet
speech (of a passage 30 dB below the loudest, 64 % of the log-mel in place of 31 %, measured) and could not be known
before the whole file was.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, cast, overload

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import WhisperFeatureExtractor

from worker.engines.musetalk.failures import told
from worker.media.clock import FPS, SAMPLE_RATE

if TYPE_CHECKING:
    from worker.engines.musetalk.networks import Networks

TOKENS_PER_SECOND = 50
_SAMPLES_PER_TOKEN = SAMPLE_RATE // TOKENS_PER_SECOND
_TOKENS_PER_FRAME = TOKENS_PER_SECOND // FPS

_SEGMENT = 30 * TOKENS_PER_SECOND  # tokens: what Whisper encodes at once
_STRIDE = 20 * TOKENS_PER_SECOND  # between the starts of two segments
_CONTEXT = (_SEGMENT - _STRIDE) // 2  # heard before and after a token, at least, if there is sound

_BEFORE, _SEEN = 4, 10  # tokens: a frame's window starts 80 ms before the frame and ends 80 ms after it
_HELD_SEGMENTS = 2  # 6 MB each as float16


class Windows(Sequence[torch.Tensor]):
    """One window per output frame: (50, 384), of the networks' device and dtype; beyond the audio it is zeros.

    Rows are time-major: row 5t + s is hidden state s of the window's token t. A segment is encoded when one of its
    windows is asked for, and the last two are kept: read in order, each is encoded once, however long the audio is.
    A window is a view of its segment: copy one that is to be kept for long.

    Raises:
        ResourceExhausted: memory is too small, be it when a window is asked for.
        EngineFailed: the GPU is lost.
    """

    def __init__(self, samples: NDArray[np.float32], frames: int, networks: "Networks") -> None:
        """`samples` are mono, 16 kHz, -1..1; `frames` is how many windows, at 25 fps."""
        self._frames = frames
        self._tokens = len(samples) // _SAMPLES_PER_TOKEN
        self._last_segment = max(0, -(-(self._tokens - _SEGMENT) // _STRIDE))
        self._segment = lru_cache(_HELD_SEGMENTS)(partial(_segment, samples, networks))
        with _told(networks):
            self._silence = _zeros(_SEEN, networks).flatten(0, 1)

    def __len__(self) -> int:
        return self._frames

    @overload
    def __getitem__(self, index: int) -> torch.Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> list[torch.Tensor]: ...
    def __getitem__(self, index: int | slice) -> torch.Tensor | list[torch.Tensor]:
        asked = range(self._frames)[index]
        return self._window(asked) if isinstance(asked, int) else [self._window(frame) for frame in asked]

    def _window(self, frame: int) -> torch.Tensor:
        token = frame * _TOKENS_PER_FRAME
        if token - _BEFORE >= self._tokens:
            return self._silence
        number = min(max(0, (token - _CONTEXT) // _STRIDE), self._last_segment)
        begin = token - number * _STRIDE  # in the segment, whose first _BEFORE rows are zeros
        return self._segment(number)[begin : begin + _SEEN].flatten(0, 1)


def hidden_states(samples: NDArray[np.float32], networks: "Networks") -> torch.Tensor:
    """(L, 5, 384): what Whisper makes of at most 30 s of sound; L is its whole 20 ms.

    The five are the embedding with its positions, what layers 1 to 3 give, and layer 4 after the final norm.
    """
    tokens = len(samples) // _SAMPLES_PER_TOKEN
    if tokens == 0:
        return _zeros(0, networks)
    return _encoded(log_mel(samples), networks)[:tokens]


def log_mel(samples: NDArray[np.float32]) -> torch.Tensor:
    """(1, 80, 3000) float32: at most 30 s of sound in steps of 10 ms, then silence; 80 dB below the peak is the floor."""
    extracted = _extractor()(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt")
    return cast(torch.Tensor, extracted.input_features)


def _encoded(mel: torch.Tensor, networks: "Networks") -> torch.Tensor:
    with networks.lock, torch.no_grad():
        mel = mel.to(networks.device, networks.dtype)
        states = networks.whisper(mel, output_hidden_states=True).hidden_states
        return torch.stack(states, dim=2)[0]


def positions(networks: "Networks") -> torch.Tensor:
    """(50, 384), of the networks' device and dtype: added to a window, it lets the UNet tell its rows apart.

    sin and cos of row / 10000^(2k/384), "Attention Is All You Need", 3.5; made in float32, then rounded, as upstream
    does in half precision.
    """
    rows, width = _SEEN * _states(networks), networks.whisper.config.d_model
    with _told(networks):
        frequencies = torch.exp(torch.arange(0, width, 2).float() * (-math.log(10000.0) / width))
        angles = torch.arange(rows).float().unsqueeze(1) * frequencies
        table = torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)
        return table.to(networks.device, networks.dtype)


def _segment(samples: NDArray[np.float32], networks: "Networks", number: int) -> torch.Tensor:
    """Hidden states of the segment between the zeros that windows at the ends of the audio reach into."""
    begin = number * _STRIDE * _SAMPLES_PER_TOKEN
    with _told(networks):
        states = hidden_states(samples[begin : begin + _SEGMENT * _SAMPLES_PER_TOKEN], networks)
        return torch.cat([_zeros(_BEFORE, networks), states, _zeros(_SEEN, networks)])


def _told(networks: "Networks") -> AbstractContextManager[None]:
    return told("Whisper", networks.device)


def _zeros(tokens: int, networks: "Networks") -> torch.Tensor:
    shape = (tokens, _states(networks), networks.whisper.config.d_model)
    return torch.zeros(shape, device=networks.device, dtype=networks.dtype)


def _states(networks: "Networks") -> int:
    """Hidden states of a token: what the embedding gives and what each layer gives."""
    return int(networks.whisper.config.encoder_layers) + 1


@cache
def _extractor() -> WhisperFeatureExtractor:
    """openai/whisper-tiny's preprocessor_config.json: 80 bands, 16 kHz, a hop of 10 ms, 30 s."""
    return WhisperFeatureExtractor(  # type: ignore[no-untyped-call]  # transformers types half of itself
        feature_size=80, sampling_rate=SAMPLE_RATE, hop_length=160, chunk_length=30, n_fft=400
    )
