"""MuseTalk's own code, run from a checkout that the caller names, to compare with. None of it is in this repository.

Both scripts run as they are, on files in a folder of their own. What does not install beside a present torch is
replaced, and `SUBSTITUTES` says by what; each of these favours upstream's speed, none touches what its networks
compute:

    scripts/inference.py            main(args)                   -> `offline`
    scripts/realtime_inference.py   Avatar(...), .inference(...) -> `realtime`
"""

import argparse
import contextlib
import functools
import importlib
import importlib.util
import io
import itertools
import json
import math
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from worker.media.audio import read_audio
from worker.media.limits import Limits

SUBSTITUTES = (
    "face detection and landmarks (mmpose, S3FD): our 68 points, at no cost, through upstream's own box arithmetic",
    "face parsing (BiSeNet): our class map in place of its answer; {parsing}",
    "VAE posterior: its mean in place of `.sample()`",
    "librosa, einops, omegaconf, torchvision.transforms: the few functions of them that are called",
    "{ffmpeg}",
    "{precision}",
)

Classes = NDArray[np.uint8]
"""(512, 512) of BiSeNet's class numbers, as the expanded crop of one source frame is parsed."""


@dataclass(frozen=True)
class Scene:
    """One clip with what upstream's detector and parser would have said of each of its source frames."""

    video: Path
    """A video, or a folder of numbered PNG files."""
    audio: Path
    points: Sequence[NDArray[np.float32]]
    """(68, 2) per source frame, x and y in pixels."""
    classes: Sequence[Classes]
    bbox_shift: int = 0


@dataclass(frozen=True)
class Run:
    """What one of upstream's scripts did. Seconds begin when its networks are loaded."""

    frames: int
    prepare_seconds: float
    """Of the realtime mode's avatar; the offline script keeps nothing."""
    seconds: float
    substitutes: tuple[str, ...]


@dataclass
class Watch:
    """Hooks into a run: when the networks were loaded, and the frames it wrote, (H, W, 3) uint8 RGB."""

    keep_pictures: bool = False
    loaded: float = 0.0
    written: int = 0
    pictures: list[NDArray[np.uint8]] = field(default_factory=list)


class UpstreamFailed(Exception):
    """A script of upstream's ended without a result; what it printed is the message."""


# ------------------------------------------------------------------------------------------------- weights


def write_models(files: Mapping[str, Path], folder: Path) -> Path:
    """Upstream's `models` tree in the folder, with the same networks as our files "unet", "vae" and "whisper".

    Each of them must carry its architecture, as `random_weights.write` writes them. What is there is kept.
    """
    models = folder.resolve() / "models"
    if (models / "complete").exists():
        return models
    for part in ("musetalk", "sd-vae", "whisper"):
        (models / part).mkdir(parents=True, exist_ok=True)
    (models / "musetalk/musetalk.json").write_text(json.dumps(_config(files["unet"])))
    torch.save(load_file(files["unet"]), models / "musetalk/unet.pth")
    (models / "sd-vae/config.json").write_text(json.dumps(_config(files["vae"])))
    # in single precision, for upstream casts the networks itself
    save_file(_wide(load_file(files["vae"])), models / "sd-vae/diffusion_pytorch_model.safetensors")
    _write_whisper(_config(files["whisper"]), _wide(load_file(files["whisper"])), models / "whisper")
    (models / "complete").touch()
    return models


def _write_whisper(config: Mapping[str, Any], encoder: Mapping[str, torch.Tensor], folder: Path) -> None:
    """A whole WhisperModel, for upstream loads one, with our encoder in it; its decoder is never called."""
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    heads = {"decoder_attention_heads": config["encoder_attention_heads"]}  # any that its width allows
    model = WhisperModel(WhisperConfig(**{**config, **heads}))
    model.encoder.load_state_dict(encoder)
    model.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=model.config.num_mel_bins).save_pretrained(folder)


def _config(file: Path) -> dict[str, Any]:
    with safe_open(file, framework="pt") as opened:
        return json.loads(opened.metadata()["config"])


def _wide(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.float() for name, tensor in tensors.items()}


# ------------------------------------------------------------------------------------------------ the scripts


def offline(
    checkout: Path, models: Path, scene: Scene, version: str, *, watch: Watch, batch_size: int = 8
) -> Run:
    """Upstream's offline script on one pair, with all of its defaults but fp16 where there is a GPU."""
    stage = _stage(models)
    task = {
        "pair": {
            "video_path": str(scene.video),
            "audio_path": str(scene.audio),
            "bbox_shift": scene.bbox_shift,
        }
    }
    (stage / "task.json").write_text(json.dumps(task))
    arguments = _arguments(models, version, batch_size, inference_config="task.json")
    with _running(checkout, stage, scene, watch) as printed:
        script = _script(checkout, "inference")
        script.main(arguments)
        ended = time.perf_counter()
    _require(watch, printed)
    return Run(watch.written, 0.0, ended - watch.loaded, _substitutes())


def realtime(
    checkout: Path, models: Path, scene: Scene, version: str, *, watch: Watch, batch_size: int = 20
) -> Run:
    """Upstream's realtime mode with saving: an avatar prepared, then one audio spoken by it.

    `__main__` of that script loads the networks into its globals; the same happens here, in fp16 on a GPU as
    there, in fp32 on the CPU.
    """
    stage = _stage(models)
    with _running(checkout, stage, scene, watch) as printed:
        script = _script(checkout, "realtime_inference")
        script.args = _arguments(models, version, batch_size, skip_save_images=False)
        _load_into(script, models)
        started = time.perf_counter()
        avatar = script.Avatar(
            avatar_id="pair",
            video_path=str(scene.video),
            bbox_shift=scene.bbox_shift,
            batch_size=batch_size,
            preparation=True,
        )
        prepared = time.perf_counter()
        avatar.inference(str(scene.audio), "out", 25, False)
        ended = time.perf_counter()
    _require(watch, printed)
    return Run(watch.written, prepared - started, ended - prepared, _substitutes())


def on_gpu() -> bool:
    """Whether upstream computes on a GPU; ours does then, too."""
    return torch.cuda.is_available()


def _load_into(script: types.ModuleType, models: Path) -> None:
    """What `__main__` of the realtime script does before its first avatar, and what lets it run without a GPU."""
    half = on_gpu()
    device = torch.device("cuda:0" if half else "cpu")
    script.datagen = functools.partial(script.datagen, device=device)  # its default is a GPU
    # A thread that outlives an error of the main one would keep the process.
    script.threading = types.SimpleNamespace(Thread=functools.partial(threading.Thread, daemon=True))
    vae, unet, pe = script.load_all_model(
        unet_model_path=script.args.unet_model_path, unet_config=script.args.unet_config, device=device
    )
    if half:
        pe, vae.vae, unet.model = pe.half(), vae.vae.half(), unet.model.half()
    script.device, script.timesteps = device, torch.tensor([0], device=device)
    script.pe, script.vae, script.unet = pe.to(device), vae, unet
    script.audio_processor = script.AudioProcessor(feature_extractor_path=str(models / "whisper"))
    script.weight_dtype = unet.model.dtype
    whisper = script.WhisperModel.from_pretrained(models / "whisper")
    script.whisper = whisper.to(device=device, dtype=script.weight_dtype).eval().requires_grad_(False)
    wide = {"left_cheek_width": 90, "right_cheek_width": 90} if script.args.version == "v15" else {}
    script.fp = script.FaceParsing(**wide)


def _arguments(models: Path, version: str, batch_size: int, **others: Any) -> argparse.Namespace:
    """The defaults of both scripts' parsers."""
    return argparse.Namespace(
        ffmpeg_path="",
        gpu_id=0,
        vae_type="sd-vae",
        unet_config=str(models / "musetalk/musetalk.json"),
        unet_model_path=str(models / "musetalk/unet.pth"),
        whisper_dir=str(models / "whisper"),
        bbox_shift=0,
        result_dir="./results",
        extra_margin=10,
        fps=25,
        audio_padding_length_left=2,
        audio_padding_length_right=2,
        batch_size=batch_size,
        output_vid_name=None,
        use_saved_coord=False,
        saved_coord=False,
        use_float16=on_gpu(),
        parsing_mode="jaw",
        left_cheek_width=90,
        right_cheek_width=90,
        version=version,
        **others,
    )


def _stage(models: Path) -> Path:
    """The folder in which a script runs: its results go there, and `models` is found by its relative name."""
    stage = models.parent
    shutil.rmtree(stage / "results", ignore_errors=True)
    (stage / "results").mkdir()
    return stage


def _require(watch: Watch, printed: io.StringIO) -> None:
    if not watch.written:  # the offline script swallows what goes wrong and exits with 0
        raise UpstreamFailed(printed.getvalue()[-4000:])


# ---------------------------------------------------------------------------------------------- the substitutes


@contextlib.contextmanager
def _running(checkout: Path, stage: Path, scene: Scene, watch: Watch) -> Iterator[io.StringIO]:
    """Upstream's modules can be imported and find our substitutes; yields what is printed meanwhile."""
    if not (checkout / "scripts/inference.py").is_file():
        raise FileNotFoundError(f"{checkout} is no checkout of TMElyralab/MuseTalk (scripts/inference.py)")
    before = set(sys.modules)
    printed = io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.dict(sys.modules, _stubs(scene, watch)))
        stack.enter_context(mock.patch.object(sys, "path", [str(checkout), *sys.path]))
        stack.enter_context(mock.patch("os.system", Ffmpeg(watch)))
        stack.enter_context(_mean_instead_of_sample())
        stack.enter_context(contextlib.chdir(stage))
        stack.enter_context(contextlib.redirect_stdout(printed))
        stack.enter_context(_our_class_maps(scene))
        yield printed
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("musetalk", "face_detection"):
            del sys.modules[name]


def _script(checkout: Path, name: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(f"upstream_{name}", checkout / f"scripts/{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    with _quietly():
        spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _mean_instead_of_sample() -> Iterator[None]:
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution as Posterior

    with mock.patch.object(Posterior, "sample", lambda self, generator=None: self.mode()):
        yield


@contextlib.contextmanager
def _our_class_maps(scene: Scene) -> Iterator[None]:
    """Upstream's FaceParsing with its own arithmetic and a network whose answer is ours."""
    parsing = importlib.import_module("musetalk.utils.face_parsing")
    with mock.patch.object(parsing.FaceParsing, "model_init", lambda self: Parser(scene.classes)):
        yield


class Parser:
    """Called like BiSeNet, once per frame of the cycle forward and backward; runs it and answers with our classes."""

    def __init__(self, classes: Sequence[Classes]) -> None:
        from musetalk.utils.face_parsing.model import BiSeNet  # type: ignore[import-not-found]
        from musetalk.utils.face_parsing.resnet import Resnet18  # type: ignore[import-not-found]

        self.classes, self.calls = classes, itertools.count()
        with mock.patch.object(Resnet18, "init_weight", lambda self, path: None):
            device = "cuda" if on_gpu() else "cpu"
            self.network = BiSeNet("none").eval().to(device)

    def __call__(self, image: torch.Tensor) -> tuple[torch.Tensor]:
        """Logits (1, 19, 512, 512) that are greatest where our class map says so."""
        self.network(image)
        classes = torch.from_numpy(self.classes[bounced(next(self.calls), len(self.classes))]).long()
        return (torch.nn.functional.one_hot(classes, 19).permute(2, 0, 1)[None].float(),)


def bounced(index: int, count: int) -> int:
    """The source frame of an output frame: forward, backward, the ends twice, as `list + list[::-1]`."""
    place = index % (2 * count)
    return place if place < count else 2 * count - 1 - place


def _stubs(scene: Scene, watch: Watch) -> dict[str, types.ModuleType]:
    """Modules that upstream imports and that are not here."""
    made = {
        **_detector(scene),
        "librosa": _module("librosa", load=_load_sound),
        "einops": _module("einops", rearrange=_rearrange),
        "omegaconf": _module("omegaconf", OmegaConf=types.SimpleNamespace(load=_tasks(watch))),
        **_torchvision(),
    }
    return {name: module for name, module in made.items() if name in _ALWAYS or not _installed(name)}


_ALWAYS = ("mmpose", "mmpose.apis", "mmpose.structures", "face_detection", "omegaconf")


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name.partition(".")[0]) is not None


def _module(module_name: str, **members: Any) -> types.ModuleType:
    module = types.ModuleType(module_name)
    for name, member in members.items():
        setattr(module, name, member)
    return module


def _detector(scene: Scene) -> dict[str, types.ModuleType]:
    """mmpose and S3FD as `preprocessing.py` calls them, once a frame: 133 key points, 23..90 of them the face's."""
    frames = itertools.cycle(scene.points)

    def inference_topdown(model: object, picture: object) -> NDArray[np.float32]:
        keypoints = np.zeros((1, 133, 2), np.float32)
        keypoints[0, 23:91] = next(frames)
        return keypoints

    def merge_data_samples(keypoints: NDArray[np.float32]) -> types.SimpleNamespace:
        return types.SimpleNamespace(pred_instances=types.SimpleNamespace(keypoints=keypoints))

    class FaceAlignment:
        def __init__(self, *_: object, **__: object) -> None: ...

        def get_detections_for_batch(self, pictures: NDArray[np.uint8]) -> list[tuple[int, int, int, int]]:
            return [(0, 0, pictures.shape[2], pictures.shape[1])]  # its presence is asked for, no more

    return {
        "mmpose": _module("mmpose"),
        "mmpose.apis": _module(
            "mmpose.apis", inference_topdown=inference_topdown, init_model=lambda *_, **__: None
        ),
        "mmpose.structures": _module("mmpose.structures", merge_data_samples=merge_data_samples),
        "face_detection": _module(
            "face_detection", FaceAlignment=FaceAlignment, LandmarksType=types.SimpleNamespace(_2D=1)
        ),
    }


def _load_sound(path: str, sr: int) -> tuple[NDArray[np.float32], int]:
    if sr != 16_000:
        raise ValueError(f"our reader gives 16 kHz, and {sr} Hz was asked for")
    return read_audio(Path(path), Limits()).samples_16k, sr


def _rearrange(tensor: torch.Tensor, pattern: str, **_: int) -> torch.Tensor:
    if pattern != "b c h w -> b (c h) w":
        raise ValueError(f"einops pattern {pattern!r} is not among those that inference uses")
    return tensor.flatten(1, 2)


def _tasks(watch: Watch) -> Callable[[str], Any]:
    """Reads the tasks. The script does so when its networks are loaded, so the clock starts here."""

    def load(path: str) -> Any:
        tasks = json.loads(Path(path).read_text())
        watch.loaded = time.perf_counter()
        return tasks

    return load


def _torchvision() -> dict[str, types.ModuleType]:
    class Compose:
        def __init__(self, steps: Sequence[Callable[[Any], Any]]) -> None:
            self.steps = steps

        def __call__(self, value: Any) -> Any:
            for step in self.steps:
                value = step(value)
            return value

    class ToTensor:
        def __call__(self, picture: Any) -> torch.Tensor:
            return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float().div(255)

    class Normalize:
        def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
            self.mean, self.std = (torch.tensor(each)[:, None, None] for each in (mean, std))

        def __call__(self, tensor: torch.Tensor) -> torch.Tensor:
            return (tensor - self.mean) / self.std

    transforms = _module("torchvision.transforms", Compose=Compose, ToTensor=ToTensor, Normalize=Normalize)
    return {
        "torchvision": _module("torchvision", transforms=transforms),
        "torchvision.transforms": transforms,
    }


def _substitutes() -> tuple[str, ...]:
    facts = {
        "parsing": "the network runs all the same, with random weights",
        "ffmpeg": (
            "ffmpeg: the program itself"
            if shutil.which("ffmpeg")
            else "ffmpeg: the same three steps with the same codecs and settings through PyAV, in the process"
        ),
        "precision": (
            "fp16 in both modes, though the offline script's default is fp32"
            if on_gpu()
            else "fp32 in both modes, for there is no GPU here"
        ),
    }
    return tuple(each.format(**facts) for each in SUBSTITUTES)


# ------------------------------------------------------------------------------------------------------- ffmpeg


class Ffmpeg:
    """Stands for `os.system` in the scripts, which call nothing but ffmpeg."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def __call__(self, command: str) -> int:
        """Run one of the three commands: a video to PNG files, PNG files to a video, a video with sound."""
        words = shlex.split(command)
        inputs = [words[at + 1] for at, word in enumerate(words) if word == "-i"]
        if inputs[0].endswith("%08d.png"):
            self._look(Path(inputs[0]).parent)
        if shutil.which("ffmpeg"):
            return subprocess.run(words, check=True, stdin=subprocess.DEVNULL).returncode
        if words[-1].endswith("%08d.png"):
            extract(Path(inputs[0]), Path(words[-1]).parent)
        elif inputs[0].endswith("%08d.png"):
            encode(Path(inputs[0]).parent, Path(words[-1]), float(words[words.index("-r") + 1]))
        else:
            join(Path(inputs[1]), Path(inputs[0]), Path(words[-1]))
        return os.EX_OK

    def _look(self, folder: Path) -> None:
        paths = sorted(folder.glob("*.png"))
        self.watch.written = len(paths)
        if self.watch.keep_pictures:
            self.watch.pictures += [cv2.imread(str(path))[:, :, ::-1].copy() for path in paths]


def extract(video: Path, folder: Path) -> None:
    """Every frame of a video as a numbered PNG file."""
    with av.open(str(video)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            cv2.imwrite(str(folder / f"{index:08}.png"), frame.to_ndarray(format="bgr24"))


def encode(folder: Path, output: Path, fps: float) -> None:
    """Numbered PNG files as H.264, crf 18, x264's default preset."""
    paths = sorted(folder.glob("*.png"))
    height, width = cv2.imread(str(paths[0])).shape[:2]
    with av.open(str(output), "w") as container:
        video = container.add_stream("libx264", rate=round(fps), options={"crf": "18"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        for path in paths:
            container.mux(video.encode(av.VideoFrame.from_ndarray(cv2.imread(str(path)), format="bgr24")))
        container.mux(video.encode(None))


def join(silent: Path, sound: Path, output: Path) -> None:
    """A video with sound. Encodes the pictures once more at crf 23: upstream's command does not say `-c:v copy`."""
    with (
        av.open(str(silent)) as pictures,
        av.open(str(sound)) as heard,
        av.open(str(output), "w") as container,
    ):
        source = pictures.streams.video[0]
        video = container.add_stream("libx264", rate=math.ceil(source.average_rate), options={"crf": "23"})
        video.width, video.height, video.pix_fmt = source.width, source.height, "yuv420p"
        audio = container.add_stream("aac", rate=48_000)
        for frame in pictures.decode(video=0):
            frame.pict_type = 0  # or the second encoder repeats the first one's choice of key frames
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for frame in heard.decode(audio=0):
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
