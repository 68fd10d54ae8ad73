"""What upstream's own functions give for seeded sound and pictures: golden numbers for what MuseTalk hears and draws.

    python -m benchmarks.golden.signal --upstream DIR      writes tests/worker/engines/musetalk/golden_signal.npz

DIR is a checkout of TMElyralab/MuseTalk at 0a89dec. Its AudioProcessor, VAE and PositionalEncoding are imported and
run as they are, on tiny networks of the real classes. Three libraries that it imports and we do not need have
stand-ins of a few lines here, and the VAE's unseeded `sample()` is its `mode()`. The tests import the networks and
inputs from this file, so both sides have the same.
"""

import argparse
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from worker.engines.musetalk.networks import Networks
from worker.engines.musetalk.unet import FoldedUnet

GOLDEN = Path(__file__).parents[2] / "tests/worker/engines/musetalk/golden_signal.npz"
SOUNDS = {"two frames": 1280, "a third": 5120, "three": 51_200 + 77, "thirty": 480_000}
"""Samples at 16 kHz of each golden sound. Upstream ends the process below 80 ms, where its padding runs short."""
RATES = (10.0, 12.0, 15.0, 20.0, 23.976, 24.0, 25.0, 26.0, 29.97, 30.0, 49.0, 50.0, 59.94, 60.0)
"""Frame rates; from 50 on upstream ends the process."""
RATE_SECONDS, RATE_FRAMES = 8, 60
EXITS = -1
"""Number of frames where upstream ended the process."""
WIDTH, HEADS = 32, 4


def seeded(network: torch.nn.Module, seed: int) -> torch.nn.Module:
    """The network with weights that no library's initialisation decides."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in sorted(network.named_parameters()):
        noise = torch.randn(tensor.shape, generator=generator)
        centre, scale = (
            (0.0, tensor[0].numel() ** -0.5)
            if tensor.dim() > 1
            else (float("norm" in name and "weight" in name), 0.1)
        )
        tensor.data.copy_(centre + scale * noise)
    return network.eval().requires_grad_(False)


def whisper() -> WhisperEncoder:
    """Whisper's encoder, four layers of 32 channels."""
    config = WhisperConfig(
        d_model=WIDTH, encoder_layers=4, encoder_attention_heads=HEADS, encoder_ffn_dim=48, num_mel_bins=80
    )
    return seeded(WhisperEncoder(config), 1)


def vae() -> AutoencoderKL:
    """sd-vae-ft-mse with 8 channels a block."""
    return seeded(
        AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(8, 8, 16, 16),
            layers_per_block=1,
            norm_num_groups=4,
            latent_channels=4,
        ),
        2,
    )


def unet() -> UNet2DConditionModel:
    """MuseTalk's UNet with 8 channels a block."""
    return seeded(
        UNet2DConditionModel(
            sample_size=32,
            in_channels=8,
            out_channels=4,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            block_out_channels=(8, 16),
            layers_per_block=1,
            norm_num_groups=4,
            cross_attention_dim=WIDTH,
            attention_head_dim=2,
        ),
        3,
    )


def networks() -> Networks:
    """The three as one, in float32 on the CPU."""
    return Networks(FoldedUnet(unet()), vae(), whisper(), torch.device("cpu"), torch.float32)


def sound(samples: int) -> np.ndarray:
    """(samples,) float32 at 16 kHz: a gliding voice in syllables, with noise, pauses and a second of nothing."""
    seconds = np.arange(samples) / 16_000
    noise = np.random.default_rng(4).standard_normal(samples)
    pitch = np.cumsum(140 + 60 * np.sin(2 * np.pi * 0.7 * seconds)) / 16_000
    voice = sum(np.sin(2 * np.pi * k * pitch) / k for k in range(1, 9))
    syllables = np.clip(np.sin(2 * np.pi * 2.3 * seconds) + 0.3, 0, None) * (
        np.sin(2 * np.pi * seconds / 9) > -0.8
    )
    quiet = (seconds % 7) > 6
    return np.where(quiet, 0.0, 0.12 * syllables * voice + 0.002 * noise).astype(np.float32)


def pictures(count: int) -> np.ndarray:
    """(count, 256, 256, 3) uint8, RGB: smooth colours with some noise."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:256, :256] / 256
    phases = rng.uniform(0, 6, (count, 1, 1, 3))
    waves = np.sin(9 * x[None, ..., None] + phases) * np.cos(7 * y[None, ..., None] - phases)
    return np.clip(128 + 100 * waves + rng.normal(0, 8, waves.shape), 0, 255).astype(np.uint8)


def latents(count: int) -> torch.Tensor:
    """(count, 8, 32, 32) float32, of the size that scaled latents have."""
    return torch.randn((count, 8, 32, 32), generator=torch.Generator().manual_seed(6))


class Upstream:
    """Upstream's classes, from a checkout."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        sys.path.insert(0, str(folder))
        sys.modules.update(_stand_ins())
        from musetalk.models.unet import PositionalEncoding
        from musetalk.models.vae import VAE
        from musetalk.utils.audio_processor import AudioProcessor

        WhisperFeatureExtractor().save_pretrained(scratch / "whisper")
        vae().save_pretrained(scratch / "vae")
        self.audio = AudioProcessor(str(scratch / "whisper"))
        self.vae = VAE(str(scratch / "vae"))
        self.encoding = PositionalEncoding(d_model=WIDTH)
        self._scratch = scratch

    def features(self, samples: np.ndarray) -> tuple[list[torch.Tensor], int]:
        """Log-mels and the number of samples; upstream reads a path."""
        path = self._scratch / "sound.npy"
        np.save(path, samples)
        return self.audio.get_audio_feature(str(path))

    def windows(self, samples: np.ndarray, encoder: Callable, fps: float = 25) -> torch.Tensor:
        """(frames, 50, width)."""
        mels, length = self.features(samples)
        model = types.SimpleNamespace(encoder=encoder)
        return self.audio.get_whisper_chunk(mels, "cpu", torch.float32, model, length, fps=fps)


def _stand_ins() -> dict[str, types.ModuleType]:
    librosa, einops = types.ModuleType("librosa"), types.ModuleType("einops")
    librosa.load = lambda path, sr: (np.load(path), sr)
    einops.rearrange = lambda tensor, pattern: {"b c h w -> b (c h) w": tensor.flatten(1, 2)}[pattern]
    torchvision, transforms = types.ModuleType("torchvision"), types.ModuleType("torchvision.transforms")
    torchvision.transforms = transforms
    # torchvision.transforms.functional.normalize: subtract the mean, divide by the deviation
    transforms.Normalize = lambda mean, std: (
        lambda x: (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    )
    return {
        "librosa": librosa,
        "einops": einops,
        "torchvision": torchvision,
        "torchvision.transforms": transforms,
    }


def heard(upstream: Upstream) -> dict[str, np.ndarray]:
    """Log-mel and windows of every golden sound, at 25 fps."""
    encoder, numbers = whisper(), {}
    for name, samples in SOUNDS.items():
        mels, _ = upstream.features(sound(samples))
        windows = upstream.windows(sound(samples), encoder)
        numbers[f"mel {name}"] = mels[0][0, ::7, ::43].numpy()
        numbers[f"frames {name}"] = picked = np.unique(np.linspace(0, len(windows) - 1, 5).astype(int))
        numbers[f"windows {name}"] = windows[picked, ::3].numpy()
    return numbers


def seen_tokens(upstream: Upstream) -> dict[str, np.ndarray]:
    """Per rate: how many frames, and which tokens (from 1; 0 is padding) the first frames' windows hold."""
    tokens = torch.arange(1.0, 1501).reshape(1, -1, 1).expand(1, 1500, 2)
    numbered = lambda mel, output_hidden_states: types.SimpleNamespace(hidden_states=[tokens] * 5)  # noqa: E731
    counts, seen = [], np.zeros((len(RATES), RATE_FRAMES, 10), np.int16)
    for row, rate in enumerate(RATES):
        try:
            windows = upstream.windows(sound(RATE_SECONDS * 16_000), numbered, rate)
        except SystemExit:
            counts.append(EXITS)
            continue
        counts.append(len(windows))
        seen[row] = windows[:RATE_FRAMES, ::5, 0].numpy()
    return {"rate counts": np.array(counts), "rate tokens": seen}


def pictured(upstream: Upstream) -> dict[str, np.ndarray]:
    """Latents of a picture (upstream's are BGR), a picture of latents, and the positions."""
    with mock.patch.object(DiagonalGaussianDistribution, "sample", DiagonalGaussianDistribution.mode):
        shown = upstream.vae.get_latents_for_unet(pictures(1)[0, :, :, ::-1])
    with torch.no_grad():
        windows = upstream.encoding(upstream.windows(sound(16_000), whisper())[:2])
        redrawn = unet()(latents(2), torch.tensor([0]), encoder_hidden_states=windows).sample
        bgr = upstream.vae.decode_latents(redrawn)
    return {
        "latents": shown[:, :, ::2, ::2].numpy(),
        "pictures": bgr[:, ::4, ::4, ::-1],
        "positions": upstream.encoding.pe[0, :50].numpy(),
        "positions half": upstream.encoding.half().pe[0, :50].numpy(),
    }


def main() -> None:
    """Write the golden file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--upstream", type=Path, required=True)
    folder = parser.parse_args().upstream.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        upstream = Upstream(folder, Path(scratch))
        numbers = heard(upstream) | seen_tokens(upstream) | pictured(upstream)
    np.savez_compressed(GOLDEN, **numbers)
    print(f"{GOLDEN}: {GOLDEN.stat().st_size} bytes")
    for name, array in numbers.items():
        print(f"  {name}: {array.dtype} {array.shape}")


if __name__ == "__main__":
    main()
