"""ArcFace's input and output around a network of one layer: means of 28 px tiles, mixed at random."""

import numpy as np

from tests.worker.engines.musetalk import onnx_file


def write(path, batch="batch", side=112, features=512):
    mix = np.random.RandomState(0).standard_normal((3 * (side // 28) ** 2, features))
    return onnx_file.write(
        path,
        [
            onnx_file.node("AveragePool", ["face"], "tiles", kernel_shape=[28, 28], strides=[28, 28]),
            onnx_file.node("Flatten", ["tiles"], "flat", axis=1),
            onnx_file.node("MatMul", ["flat", "mix"], "mixed"),
            onnx_file.node("Tanh", ["mixed"], "features"),  # so that the input's scale tells
        ],
        {"mix": mix},
        {"face": (batch, 3, side, side)},
        {"features": (1, features)},  # as in the real file, whatever the batch
    )
