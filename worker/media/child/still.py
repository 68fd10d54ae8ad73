"""A picture as a source of one frame. Read by Pillow, whose header is checked before a pixel is decoded."""

import struct
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image, ImageOps, UnidentifiedImageError

from contract.errors import NotMedia
from worker.media.child.container import check_pixels
from worker.media.child.film import Placed
from worker.media.child.picture import EXACT, flat
from worker.media.limits import Limits

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")


def is_still(path: Path) -> bool:
    """Whether the first bytes are those of a picture that Pillow reads here."""
    with path.open("rb") as file:
        head = file.read(12)
    return head.startswith(_SIGNATURES) or (head[:4] == b"RIFF" and head[8:] == b"WEBP")


class Still:
    """One picture, upright by its EXIF, composed on black, cropped to an even size.

    Raises:
        InputTooLarge: by the header alone.
        NotMedia: the picture is damaged.
    """

    frames = 1
    is_damaged = False

    def __init__(self, path: Path, limits: Limits) -> None:
        self.warnings: list[tuple[str, str]] = []
        try:
            with Image.open(path, formats=FORMATS) as image:
                check_pixels(image.width, image.height, limits)
                self._note_animation(image)
                self._format = str(image.format).lower()
                rgb = _even(np.asarray(_on_black(ImageOps.exif_transpose(image))))
        except (OSError, SyntaxError, ValueError, struct.error, UnidentifiedImageError) as error:
            raise NotMedia(f"the picture is damaged ({error}); save it again") from error
        self.shown = rgb.shape[1], rgb.shape[0]
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        self._picture = flat(
            frame.reformat(
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
                interpolation=EXACT,
            )
        )

    def facts(self) -> dict[str, Any]:
        """The fields of contract.manifest.MediaFacts."""
        width, height = self.shown
        return {"container": self._format, "video_codec": self._format, "width": width, "height": height}

    def forward(self) -> Iterator[Placed]:
        """The one picture for as long as it is wanted: a still has no end."""
        return repeat((0, self._picture))

    backward = forward

    def count(self, most: int | None) -> int:
        """One, whatever is asked."""
        return 1

    def _note_animation(self, image: Image.Image) -> None:
        if getattr(image, "is_animated", False):
            self.warnings.append(("source_animated", "an animation: only its first picture was used"))


def _on_black(image: Image.Image) -> Image.Image:
    """The picture as RGB."""
    if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow would clip
        image = Image.fromarray((np.asarray(image, dtype=np.uint32) >> 8).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")


def _even(rgb: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Without the odd column and row; a picture one pixel wide or high is doubled."""
    height, width = rgb.shape[:2]
    rgb = np.repeat(rgb, 2, axis=0) if height == 1 else rgb
    rgb = np.repeat(rgb, 2, axis=1) if width == 1 else rgb
    return rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2]
