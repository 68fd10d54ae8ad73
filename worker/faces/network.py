"""The one door to LiteRT."""

from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from contract.errors import ConfigurationError, EngineFailed
from worker.media.frame import Floats


class Network:
    """A LiteRT network with one image as its input. Use it from one thread at a time."""

    def __init__(self, path: Path, threads: int) -> None:
        """Loads the file for that many CPU threads.

        Raises:
            ConfigurationError: LiteRT cannot load it.
        """
        try:
            self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ConfigurationError(
                f"LiteRT cannot load {path}: {error}; reinstall ai-edge-litert"
            ) from error
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = {each["name"]: each["index"] for each in self._interpreter.get_output_details()}

    def run(self, image: Floats) -> dict[str, Floats]:
        """Every output by its name, flat, for an image (h, w, 3) float32 in the network's own range.

        Raises:
            EngineFailed: LiteRT failed.
        """
        try:
            self._interpreter.set_tensor(self._input, image[None])
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise EngineFailed(f"LiteRT failed: {error}") from error
        return {
            name: self._interpreter.get_tensor(index).reshape(-1) for name, index in self._outputs.items()
        }


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + e^-x), without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), dtype=np.float32)
