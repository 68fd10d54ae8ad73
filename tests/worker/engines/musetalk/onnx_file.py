"""Tiny networks as real ONNX files, written without the `onnx` package: protobuf's wire format, and no more of it.

Field numbers are those of onnx.proto (ONNX 1.7, opset 13).
"""

from pathlib import Path

import numpy as np

Proto = bytes
FLOAT = 1  # of TensorProto.DataType
INT, INTS = 2, 7  # of AttributeProto.AttributeType


def write(path: Path, nodes: list[Proto], constants: dict, inputs: dict, outputs: dict) -> Path:
    """A model of those nodes; `constants` by name are arrays, `inputs` and `outputs` shapes. All float32."""
    graph = b"".join(field(1, each) for each in nodes) + field(2, b"tiny")
    graph += b"".join(field(5, tensor(name, value)) for name, value in constants.items())
    graph += b"".join(field(11, value_info(name, shape)) for name, shape in inputs.items())
    graph += b"".join(field(12, value_info(name, shape)) for name, shape in outputs.items())
    path.write_bytes(field(1, 7) + field(7, graph) + field(8, field(1, b"") + field(2, 13)))
    return path


def node(kind: str, inputs: list[str], output: str, **attributes: int | list[int]) -> Proto:
    """One operation."""
    names = b"".join(field(1, each.encode()) for each in inputs)
    settings = b"".join(field(5, attribute(name, value)) for name, value in attributes.items())
    return names + field(2, output.encode()) + field(4, kind.encode()) + settings


def attribute(name: str, value: int | list[int]) -> Proto:
    if isinstance(value, int):
        return field(1, name.encode()) + field(3, value) + field(20, INT)
    return field(1, name.encode()) + b"".join(field(8, each) for each in value) + field(20, INTS)


def tensor(name: str, value: np.ndarray) -> Proto:
    sizes = b"".join(field(1, each) for each in value.shape)
    return sizes + field(2, FLOAT) + field(8, name.encode()) + field(9, value.astype("<f4").tobytes())


def value_info(name: str, shape: tuple[int | str, ...]) -> Proto:
    """A size may be a name: it is open."""
    sizes = b"".join(
        field(1, field(1, each) if isinstance(each, int) else field(2, each.encode())) for each in shape
    )
    return field(1, name.encode()) + field(2, field(1, field(1, FLOAT) + field(2, sizes)))


def field(number: int, value: int | bytes) -> Proto:
    """A number, or bytes with their length before them."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> Proto:
    """Seven bits a byte, the lowest first; the eighth says that there are more."""
    digits = bytearray()
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])
