"""All figures that there are, in the order in which people read them. Light: no network's library is needed to name one.

`GROUPS` says which file gives which, and which weights that needs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from worker.evaluation.metrics.base import Quantity

LSE_C = Quantity(
    "lse_c",
    "LSE-C",
    "higher",
    smallest=0.1,
    hint="SyncNet's confidence; real speech of HDTF and LRS2: 6 to 8, of NeRSemble: 4. Judge it by `real`, and clips of one length",
)
LSE_D = Quantity(
    "lse_d",
    "LSE-D",
    "lower",
    smallest=0.1,
    hint="SyncNet's distance; real speech of HDTF and LRS2: 6 to 7, of NeRSemble: 8. Judge it by `real`, and clips of one length",
)
AV_OFFSET = Quantity(
    "av_offset",
    "AV offset",
    "nearer 0",
    "frames of 40 ms",
    smallest=1.0,
    hint="positive: the audio is early; within 1 nobody sees it, 15 either way: no sync was found",
)
LIP_CORRELATION = Quantity(
    "lip_correlation",
    "lips and loudness",
    "higher",
    smallest=0.02,
    hint="Pearson's r at the best shift: drawn mouths 0.8, recorded speech 0.2 to 0.35, shifted audio -0.1 to 0.2",
)
LIP_LAG = Quantity(
    "lip_lag",
    "lip lag",
    "nearer 0",
    "frames of 40 ms",
    smallest=1.0,
    hint="positive: the audio is early. Means nothing where lips and loudness do not go together",
)
LANDMARK_DISTANCE = Quantity(
    "landmark_distance",
    "landmark distance",
    "lower",
    "of the eyes' distance",
    smallest=0.002,
    perfect=0,
    needs_self_audio=True,
    hint="of the lips' points (LMD); 0 is the recording itself",
)
MOUTH_PSNR = Quantity(
    "mouth_psnr",
    "mouth PSNR",
    "higher",
    "dB",
    smallest=0.1,
    needs_self_audio=True,
    hint="of the luma; `floor` is the codec alone",
)
MOUTH_SSIM = Quantity(
    "mouth_ssim",
    "mouth SSIM",
    "higher",
    smallest=0.002,
    perfect=1,
    needs_self_audio=True,
    hint="of the luma; 1 is the recording itself",
)
LPIPS_MOUTH = Quantity(
    "lpips_mouth",
    "LPIPS, mouth",
    "lower",
    smallest=0.002,
    perfect=0,
    needs_self_audio=True,
    hint="0 is the same picture; depends on the mouth's size in pixels: compare results of one source",
)
SHARPNESS_RATIO = Quantity(
    "sharpness_ratio",
    "sharpness",
    "nearer 1",
    smallest=0.02,
    perfect=1,
    hint="of the mouth, over the source's: below 1 is blurred, above 1 is noisy",
)
FLICKER_RATIO = Quantity(
    "flicker_ratio",
    "flicker",
    "nearer 1",
    smallest=0.02,
    perfect=1,
    hint="of the mouth, over the source's: above 1 it trembles, below 1 it is frozen; another audio moves it, too",
)
OUTSIDE_ERROR = Quantity(
    "outside_error",
    "error outside the mask",
    "lower",
    "of 255",
    smallest=0.1,
    perfect=0,
    hint="mean difference of the luma where no new mouth may be; `floor` is the codec alone",
)
CSIM = Quantity(
    "csim",
    "CSIM",
    "higher",
    smallest=0.03,
    perfect=1,
    hint="ArcFace; 1 is the same picture, `csim_self` the source against itself a second away. Papers: 0.80 to 0.86 on HDTF, each by its own protocol",
)
FID_FACE = Quantity(
    "fid_face",
    "FID, face",
    "lower",
    smallest=0.5,
    perfect=0,
    hint="only to rank results of one source; papers pool many videos (HDTF: 6 to 12)",
)
KID_FACE = Quantity(
    "kid_face",
    "KID, face",
    "lower",
    smallest=0.001,
    perfect=0,
    hint="0 where both are of one distribution, and then a little below as often as above",
)
FID_MOUTH = Quantity(
    "fid_mouth",
    "FID, mouth",
    "lower",
    smallest=0.5,
    perfect=0,
    hint="only to rank results of one source; papers pool many videos (HDTF: 6 to 12)",
)
KID_MOUTH = Quantity(
    "kid_mouth",
    "KID, mouth",
    "lower",
    smallest=0.001,
    perfect=0,
    hint="0 where both are of one distribution, and then a little below as often as above",
)
FACE_COVERAGE = Quantity(
    "face_coverage",
    "face coverage",
    "higher",
    smallest=0.005,
    perfect=1,
    hint="share of the source's faces that are still seen",
)
FROZEN_SHARE = Quantity(
    "frozen_share",
    "frozen frames",
    "lower",
    smallest=0.005,
    perfect=0,
    hint="share of frames whose mouth is that of the frame before, where the source's is not",
)


@dataclass(frozen=True)
class Group:
    """One file of metrics, `worker.evaluation.metrics.<module>`, and what it gives."""

    module: str
    quantities: tuple[Quantity, ...]
    weights: str = ""
    """As `dubline models fetch` calls them; nothing where no network takes part."""


GROUPS = (
    Group("syncnet", (LSE_C, LSE_D, AV_OFFSET), "lse"),
    Group("lips", (LIP_CORRELATION, LIP_LAG)),
    Group("landmarks", (LANDMARK_DISTANCE,)),
    Group("mouth", (MOUTH_PSNR, MOUTH_SSIM)),
    Group("lpips", (LPIPS_MOUTH,), "lpips"),
    Group("sharpness", (SHARPNESS_RATIO,)),
    Group("flicker", (FLICKER_RATIO,)),
    Group("outside", (OUTSIDE_ERROR,)),
    Group("csim", (CSIM,), "csim"),
    Group("fid", (FID_FACE, KID_FACE, FID_MOUTH, KID_MOUTH), "fid"),
    Group("coverage", (FACE_COVERAGE, FROZEN_SHARE)),
)
QUANTITIES: Mapping[str, Quantity] = {each.name: each for group in GROUPS for each in group.quantities}

SYNC = ((LSE_C, AV_OFFSET), (LIP_CORRELATION, LIP_LAG))
"""Strength and offset of each metric that hears, the more trustworthy one first."""
