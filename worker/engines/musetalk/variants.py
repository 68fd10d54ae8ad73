"""The two releases of MuseTalk: the same networks' shapes, other weights, and other rules around the crop."""

from dataclasses import dataclass

from contract.job import JobOptions, ParsingMode


@dataclass(frozen=True)
class Variant:
    """What is particular to one release, as `scripts/inference.py --version` of upstream has it."""

    name: str
    """The engine's name in a job."""
    unet_weights: str
    """The registry's name of its weights; all other networks are shared."""
    uses_margin: bool
    """Whether the box reaches `extra_margin` pixels below the chin."""
    uses_shift: bool
    """Whether `bbox_shift` moves the line between the kept and the drawn half of the face."""
    parsing: ParsingMode
    """How the mask is made where the job leaves it open."""
    cheek_width: int
    """Half the width of the chin's part of the mask, of 512 pixels; the mask is made narrower beside it."""

    @property
    def weights(self) -> dict[str, str]:
        """The registry's names of all networks' weights, by the part that each is."""
        return {"unet": self.unet_weights, "vae": "vae", "whisper": "whisper-tiny"}

    def mode(self, options: JobOptions) -> ParsingMode:
        """How this job's masks are made: the first release knows `raw` alone."""
        return "raw" if self.parsing == "raw" else options.parsing_mode


V15 = Variant(
    name="musetalk-v15",
    unet_weights="unet-v15",
    uses_margin=True,
    uses_shift=False,
    parsing="jaw",
    cheek_width=90,
)
V1 = Variant(
    name="musetalk-v1",
    unet_weights="unet-v1",
    uses_margin=False,
    uses_shift=True,
    parsing="raw",
    cheek_width=80,
)

VARIANTS: dict[str, Variant] = {each.name: each for each in (V15, V1)}
"""By the engine's name."""
