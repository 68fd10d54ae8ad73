"""What one input may cost: the bounds that the decode child and its parent keep."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:  # the child is started often and needs none of pydantic
    from contract.settings import Settings


@dataclass(frozen=True)
class Limits:
    """Bounds of one input; the defaults are those of contract.settings."""

    bytes: int = 16 * 2**30
    """Size of the file."""
    pixels: int = 4096 * 2304
    """Width times height of a frame, as stored and as shown."""
    seconds: float = 4 * 3600.0
    """Decoded length."""
    memory_bytes: int = 4 * 2**30
    """Address space of the decode child."""
    cpu_seconds: int = 4 * 3600
    """CPU time of the decode child."""
    stall_seconds: float = 60.0
    """Longest silence of the decode child while its parent waits."""

    @classmethod
    def of(cls, settings: "Settings") -> Self:
        """The bounds that the settings of this process ask for."""
        return cls(
            bytes=settings.max_input_bytes,
            pixels=settings.max_pixels,
            seconds=settings.max_seconds,
            memory_bytes=settings.decode_memory_bytes,
            cpu_seconds=settings.decode_cpu_seconds,
            stall_seconds=settings.decode_stall_seconds,
        )
