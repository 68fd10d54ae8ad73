"""The class map of a face by upstream's kind of network, BiSeNet: what `mask: bisenet` asks for.

The network and what it is given are uniface's (MIT). Other than there, the picture is shrunk by Pillow as upstream
does (uniface's own filter skips pixels), the file is one of the registry, and the threads are counted.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from worker.engines.musetalk.mask import SIDE
from worker.engines.musetalk.onnx import open_session, optional, running
from worker.media.frame import Pixels

CLASSES = 19


class FaceParsing:
    """Tells skin, nose, lips, hair, neck and others apart. Use it from one thread at a time."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        """Loads the ONNX file, for that many CPU threads.

        Raises:
            ConfigurationError: a library is not installed, or the file is not that network.
        """
        self._parser = _parser(path, threads)

    def labels(self, rgb: Pixels) -> Pixels:
        """The class map, (512, 512) uint8, of a face's expanded crop, (h, w, 3) uint8 RGB of any size.

        Raises:
            EngineFailed: ONNX Runtime failed.
        """
        picture = Image.fromarray(rgb).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        with running("face parsing"):
            classes = self._parser.parse(np.asarray(picture)[..., ::-1])  # it wants BGR
        return np.asarray(classes, dtype=np.uint8)


def _parser(path: Path, threads: int) -> Any:
    """uniface's parser on a session of ours: its own constructor would look for a file of its choice, and fetch it."""
    with optional("mask: bisenet"):
        from uniface.parsing import BiSeNet

    class Parser(BiSeNet):
        def __init__(self) -> None:
            shape = (1, CLASSES, SIDE, SIDE)
            self.session = open_session(path, threads, (1, 3, SIDE, SIDE), [shape])
            self.input_mean = np.array([0.485, 0.456, 0.406], dtype=np.float32)
            self.input_std = np.array([0.229, 0.224, 0.225], dtype=np.float32)
            self.input_name = self.session.get_inputs()[0].name
            self.input_size = (SIDE, SIDE)
            self.output_names = [self.session.get_outputs()[0].name]

    return Parser()
