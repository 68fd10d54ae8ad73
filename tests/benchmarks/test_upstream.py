"""Upstream's scripts as we run them: what stands in for what does not install, on a checkout with scripts of the tests' own."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file
from transformers import WhisperModel

from benchmarks import upstream
from benchmarks.upstream import Scene, UpstreamFailed, Watch
from tests.worker.engines.musetalk import tiny

DEMO = Path(__file__).parents[2] / "demo"
FRAMES = 3
SCRIPT = """
import os
from omegaconf import OmegaConf
from mmpose.apis import inference_topdown
from mmpose.structures import merge_data_samples
from musetalk.utils.face_parsing import FaceParsing

def main(args):
    task = OmegaConf.load(args.inference_config)["pair"]
    print("points", merge_data_samples(inference_topdown(None, None)).pred_instances.keypoints[0, 23, 0])
    print("parser", type(FaceParsing().model_init()).__name__)
    os.makedirs("results/frames")
    os.system(f"ffmpeg -y -i {task['video_path']} results/frames/%08d.png")
    os.system("ffmpeg -y -r 25 -i results/frames/%08d.png -c:v libx264 results/silent.mp4")
    os.system(f"ffmpeg -y -i {task['audio_path']} -i results/silent.mp4 results/out.mp4")
"""
BROKEN = """
def main(args):
    try:
        raise ValueError("no face in the frame")
    except Exception as error:
        print("Error occurred:", error)
"""
PARSING = (
    "class FaceParsing:\n    def model_init(self):\n        raise AssertionError('the network of the file')\n"
)


@pytest.fixture(autouse=True)
def without_the_program(monkeypatch):
    """Everything through PyAV, also where ffmpeg is installed."""
    monkeypatch.setattr(upstream.shutil, "which", lambda _: None)


@pytest.fixture
def checkout(tmp_path):
    def build(script):
        folder = tmp_path / "checkout"
        (folder / "musetalk/utils/face_parsing").mkdir(parents=True)
        (folder / "musetalk/utils/face_parsing/__init__.py").write_text(PARSING)
        (folder / "scripts").mkdir()
        (folder / "scripts/inference.py").write_text(script)
        return folder

    return build


@pytest.fixture
def clip(tmp_path):
    """Three grey frames of rising level, and a voice."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(FRAMES):
        cv2.imwrite(str(folder / f"{index:08}.png"), np.full((32, 48, 3), 60 * (index + 1), np.uint8))
    upstream.encode(folder, tmp_path / "clip.mp4", 25)
    points = [np.full((68, 2), 10.0 * index, np.float32) for index in range(1, FRAMES + 1)]
    return Scene(tmp_path / "clip.mp4", DEMO / "voice-short.wav", points, [])


@pytest.fixture
def models(tmp_path):
    (tmp_path / "stage").mkdir()
    return tmp_path / "stage" / "models"


@pytest.fixture(autouse=True)
def small_parser(monkeypatch):
    monkeypatch.setattr(upstream, "Parser", lambda classes: SimpleNamespace(classes=classes))


def test_a_script_runs_unchanged_on_the_clip_and_its_frames_are_kept(checkout, clip, models):
    watch = Watch(keep_pictures=True)
    before = set(sys.modules)
    run = upstream.offline(checkout(SCRIPT), models, clip, "v15", watch=watch)
    assert run.frames == watch.written == len(watch.pictures) == FRAMES
    assert [int(each.mean()) for each in watch.pictures] == pytest.approx([60, 120, 180], abs=3)
    assert 0 < run.seconds < 60
    assert any("through PyAV" in each for each in run.substitutes)
    with av.open(str(models.parent / "results/out.mp4")) as video:
        assert {each.type for each in video.streams} == {"video", "audio"}
        assert sum(1 for _ in video.decode(video=0)) == FRAMES
    assert not {each for each in set(sys.modules) - before if each.startswith(("musetalk", "mmpose"))}


def test_what_a_script_swallows_is_told(checkout, clip, models):
    with pytest.raises(UpstreamFailed, match="Error occurred: no face in the frame"):
        upstream.offline(checkout(BROKEN), models, clip, "v15", watch=Watch())


def test_a_folder_that_is_no_checkout_is_named(clip, models, tmp_path):
    with pytest.raises(FileNotFoundError, match="is no checkout of TMElyralab/MuseTalk"):
        upstream.offline(tmp_path, models, clip, "v15", watch=Watch())


def test_upstreams_models_hold_our_networks(tmp_path):
    files = tiny.write(tmp_path / "ours")
    models = upstream.write_models(files, tmp_path / "upstream")
    unet = UNet2DConditionModel(**json.loads((models / "musetalk/musetalk.json").read_text()))
    unet.load_state_dict(torch.load(models / "musetalk/unet.pth", weights_only=True))
    assert torch.equal(unet.conv_in.weight, load_file(files["unet"])["conv_in.weight"])
    vae = AutoencoderKL.from_pretrained(models / "sd-vae").state_dict()
    assert all(torch.equal(vae[name], tensor) for name, tensor in load_file(files["vae"]).items())
    whisper = WhisperModel.from_pretrained(models / "whisper").encoder.state_dict()
    assert all(torch.equal(whisper[name], tensor) for name, tensor in load_file(files["whisper"]).items())


def test_models_that_are_there_are_not_written_again(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models/complete").touch()
    assert upstream.write_models({}, tmp_path) == tmp_path / "models"


def test_the_detector_gives_each_frames_points_in_turn_and_then_again(clip):
    made = upstream._detector(clip)
    ask = made["mmpose.apis"].inference_topdown
    look = made["mmpose.structures"].merge_data_samples
    found = [look(ask(None, None)).pred_instances.keypoints for _ in range(FRAMES + 1)]
    assert [float(each[0, 23, 0]) for each in found] == [10, 20, 30, 10]
    assert all(each.shape == (1, 133, 2) and not each[0, :23].any() for each in found)


def test_pictures_become_tensors_as_torchvision_has_it():
    made = upstream._torchvision()["torchvision.transforms"]
    steps = made.Compose([made.ToTensor(), made.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))])
    found = steps(np.array([[[0, 255, 51]]], np.uint8))
    assert found.shape == (3, 1, 1)
    assert found.flatten().tolist() == pytest.approx([-1, 1, -0.6])


def test_what_is_asked_for_beyond_the_few_functions_that_stand_in_is_refused():
    assert upstream._rearrange(torch.zeros(2, 3, 4, 5), "b c h w -> b (c h) w").shape == (2, 12, 5)
    with pytest.raises(ValueError, match="not among those"):
        upstream._rearrange(torch.zeros(2, 3), "a b -> b a")
    with pytest.raises(ValueError, match="22050 Hz was asked for"):
        upstream._load_sound(str(DEMO / "voice-short.wav"), 22_050)


def test_the_voice_is_read_as_samples_at_16_khz():
    samples, rate = upstream._load_sound(str(DEMO / "voice-short.wav"), 16_000)
    assert rate == 16_000
    assert samples.dtype == np.float32 and 0.01 < np.abs(samples).max() <= 1
