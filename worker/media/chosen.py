"""Which encoder a process uses, and why. NVENC is proved in a process of its own, which its driver may hang or end."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from contract.errors import ConfigurationError
from contract.settings import EncoderChoice
from worker.media.encoder import Encoder, nvenc, x264
from worker.media.proof import Proof

PROOF_SECONDS = 60.0
"""Most that a proof may take: a driver that nobody keeps awake needs some seconds to begin with."""
_PACKAGE_ROOT = Path(__file__).parents[2]
_DEVICES = ("nvidia[0-9]*", "dxg")  # of /dev; the latter under WSL


@dataclass(frozen=True)
class Chosen:
    """An encoder, and the reason in words."""

    encoder: Encoder
    why: str


def chosen(choice: EncoderChoice) -> Chosen:
    """The encoder for that setting. Costs a second where there is an NVIDIA GPU, and nothing elsewhere.

    Raises:
        ConfigurationError: NVENC is asked for and does not work.
    """
    if choice == "x264":
        return Chosen(x264(), "the setting says so")
    if choice == "auto" and not _has_gpu():
        return Chosen(x264(), "no NVIDIA GPU is seen")
    wanted = nvenc()
    proof = prove(wanted)
    if proof.sha256:
        return Chosen(replace(wanted, proof=proof.sha256), "it works here")
    if choice == "nvenc":
        raise ConfigurationError(
            f"NVENC does not work here: {proof.fault}; give the container the driver's `video` capability and "
            "a GPU that has NVENC, or set DUBLINE_ENCODER=auto"
        )
    return Chosen(x264(), f"NVENC does not work here: {proof.fault}")


def prove(encoder: Encoder) -> Proof:
    """What became of `worker.media.proof` in a process of its own."""
    command = [sys.executable, "-s", "-P", "-m", "worker.media.proof", json.dumps(asdict(encoder))]
    environment = {**os.environ, "PYTHONPATH": str(_PACKAGE_ROOT)}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=PROOF_SECONDS)
    except subprocess.TimeoutExpired:
        return Proof(fault=f"its trial did not end within {PROOF_SECONDS:g} s")
    if done.returncode < 0:
        return Proof(fault=f"its trial was ended by {signal.Signals(-done.returncode).name}")
    try:
        return Proof.model_validate_json(done.stdout)
    except ValueError:
        tail = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return Proof(fault=f"its trial failed (exit code {done.returncode}): {tail}")


def _has_gpu() -> bool:
    return any(True for pattern in _DEVICES for _ in Path("/dev").glob(pattern))
