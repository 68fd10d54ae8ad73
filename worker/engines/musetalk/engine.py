"""START HERE: how MuseTalk redraws a mouth. One frame, from its crop to what is pasted, by the numbers.

    voice ─1─► window (50, 384) ────────────────────────────────────────────────┐
    face ──2─► region ─► crop ─3─► box ─4─► 256 x 256 ─5─► latents (8, 32, 32) ─7─► 256 x 256 ─8─► mouth
                                    └─6─► mask ────────────────────────────────────────────────┘

Steps 2 to 6 depend on the source frame alone: they are taken once for all voices. Colours are RGB throughout. What
is deliberately other than in TMElyralab/MuseTalk is listed in docs/musetalk.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from contract.job import JobOptions
from worker import weights
from worker.engines.base import Crop, Mouth
from worker.engines.musetalk import crop, mask
from worker.engines.musetalk.audio import Windows
from worker.engines.musetalk.bisenet import FaceParsing
from worker.engines.musetalk.conditioning import Conditioner
from worker.engines.musetalk.dwpose import DwPose
from worker.engines.musetalk.generator import Generator
from worker.engines.musetalk.landmarks import points68
from worker.engines.musetalk.layout import Layout
from worker.engines.musetalk.mouth import mouth
from worker.engines.musetalk.networks import Networks, choose_device
from worker.engines.musetalk.prepared import Prepared, depends_on
from worker.engines.musetalk.variants import VARIANTS
from worker.faces.face import Face
from worker.media.frame import Box, Pixels

GPU_BATCH, CPU_BATCH = 8, 4  # the same on every card: last bits depend on it (docs/decisions.md)
_NOWHERE = Box(0, 0, 2, 2)


class MuseTalkEngine:
    """An `Engine`: one release of MuseTalk, its networks loaded once for all jobs of the process."""

    def __init__(self, name: str, folder: Path) -> None:
        """`name` is one of VARIANTS, `folder` the cache folder of weights."""
        self.name, self.variant, self._folder = name, VARIANTS[name], folder

    @cached_property
    def dwpose(self) -> DwPose:
        """Upstream's own landmarks, loaded for the first job that asks for them."""
        return DwPose(weights.path("dwpose", self._folder))

    @cached_property
    def bisenet(self) -> FaceParsing:
        """Upstream's own parts of a face, likewise."""
        return FaceParsing(weights.path("face-parsing", self._folder))

    def load(self, layout: Layout | None = None) -> Networks:
        """The networks from their files, on the GPU if there is one."""
        files = {part: weights.path(name, self._folder) for part, name in self.variant.weights.items()}
        return Networks.load(files, *choose_device(), layout)

    def setup(self) -> None:
        """Load the networks, and make a GPU ready for the first job."""
        self.networks = self.load()
        self.device = self.networks.gpu
        self.batch_size = GPU_BATCH if self.device else CPU_BATCH
        self.conditioner = Conditioner(self.networks, self.batch_size)
        self.generator = Generator(self.networks, self.batch_size)
        if self.device:
            self.warm_up()

    def warm_up(self) -> None:
        """Have all of a GPU's work recorded and its kernels chosen before the first job comes."""
        latents = self.conditioner.latents(np.zeros((1, crop.SIDE, crop.SIDE, 3), dtype=np.uint8))
        self.generator.pictures(latents, Windows(np.zeros(16_000, np.float32), 1, self.networks))

    def for_job(self, options: JobOptions) -> "MuseTalkJob":
        """The engine with a job's options."""
        return MuseTalkJob(self, options)


class MuseTalkJob:
    """An `EngineJob`, and `Keeping`: two fifths of a frame's arithmetic is in what is prepared of it."""

    def __init__(self, engine: MuseTalkEngine, options: JobOptions) -> None:
        self.batch_size = engine.batch_size
        self._engine, self._variant, self._options = engine, engine.variant, options

    def listen(self, samples: NDArray[np.float32], frames: int) -> Sequence[torch.Tensor]:
        """1. What Whisper hears around each frame, (50, 384): ten tokens of 20 ms, five hidden states each."""
        return Windows(samples, frames, self._engine.networks)

    def region(self, face: Face, width: int, height: int) -> Box:
        """2. The part of the frame to look at: the face's box, and as much around it as the options need."""
        if self._options.landmarks == "dwpose":
            return Box(0, 0, width, height)
        box = crop.face_box(points68(face.points), self._variant, self._options, width, height) or _NOWHERE
        wanted = crop.expanded(box) if self._options.mask == "bisenet" else box
        return wanted.even_within(width, height)

    def prepare(self, crops: Sequence[Crop]) -> list[Prepared | None]:
        """Steps 3 to 6; None for a face that has no box in its frame."""
        # 3. The face's box: from ear to ear, its middle on the nose's bridge, its bottom below the chin.
        boxes = [self._box(seen) for seen in crops]
        faces = [(seen, box) for seen, box in zip(crops, boxes, strict=True) if box]
        if not faces:
            return [None] * len(crops)
        # 4. Its pixels in the one size that the networks know.
        pictures = np.stack([crop.to_256(crop.cut(seen.rgb, seen.box, box)) for seen, box in faces])
        # 5. The face with its lower half hidden, and the whole of it, as latents of the VAE.
        latents = self._engine.conditioner.latents(pictures)
        # 6. Where the drawing will be seen: the skin of the lower half, fading out towards what stays.
        masks = [self._mask(seen, box) for seen, box in faces]
        done = map(Prepared, (box for _, box in faces), latents, masks)
        return [next(done) if box else None for box in boxes]

    def generate(self, prepared: Sequence[Prepared], features: Sequence[torch.Tensor]) -> Iterator[Mouth]:
        """Step 7 at once, for each prepared frame and its window; step 8 for each mouth when it is taken."""
        if not prepared:
            return iter(())
        # 7. The hidden half drawn as the voice sounds: one pass of the UNet, and the VAE's decoder.
        latents = np.stack([each.latents for each in prepared])
        pictures = self._engine.generator.pictures(latents, features)
        # 8. In the box's size again, with its mask: all that is needed to paste it. A GPU need not wait for that.
        return map(mouth, prepared, pictures)

    def depends_on(self) -> Mapping[str, str]:
        """What changes what `prepare` gives."""
        return depends_on(self._variant, self._options, self._engine.networks)

    pack = staticmethod(Prepared.pack)
    unpack = staticmethod(Prepared.unpack)

    def _box(self, seen: Crop) -> Box | None:
        upstreams = self._options.landmarks == "dwpose"
        points = self._engine.dwpose.points68(seen.rgb) if upstreams else points68(seen.face.points)
        size = seen.width, seen.height
        return None if points is None else crop.face_box(points, self._variant, self._options, *size)

    def _mask(self, seen: Crop, box: Box) -> Pixels:
        how = self._variant.mode(self._options), self._variant.cheek_width
        if self._options.mask == "mesh":
            alpha = mask.from_mesh(seen.face.points, box, seen.width, seen.height, *how)
        else:
            square = crop.expanded(box)
            labels = self._engine.bisenet.labels(crop.cut(seen.rgb, seen.box, square))
            alpha = mask.alpha(labels, box, square, *how)
        return np.rint(alpha * 255).astype(np.uint8)
