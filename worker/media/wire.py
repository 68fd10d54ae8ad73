"""Messages between the decode child and its parent: a JSON header and raw bytes, each with its length in front.

    parent -> child   one JSON object a line on stdin
    child -> parent   [u32 header bytes][u32 payload bytes][header, JSON][payload]   on stdout

Kinds of messages: ready, beat (alive, nothing to show yet), facts, frame, samples, packets, end, error.
"""

import json
import struct
from collections.abc import Sequence
from typing import Any, BinaryIO

LENGTHS = struct.Struct(">II")
MAX_HEADER_BYTES = 1 << 20
PIPE_BYTES = 1 << 20
"""Asked of the kernel for the pipe: a third of a 1080p frame instead of 64 KiB."""

Header = dict[str, Any]


def send(stream: BinaryIO, header: Header, payload: Sequence[memoryview] = ()) -> None:
    """Write one message; the payload's parts go out one after another, uncopied."""
    encoded = json.dumps(header, separators=(",", ":")).encode()
    stream.write(LENGTHS.pack(len(encoded), sum(part.nbytes for part in payload)) + encoded)
    for part in payload:
        stream.write(part)
    stream.flush()
