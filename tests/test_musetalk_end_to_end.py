"""A CSV for MuseTalk through the real queue and store, with tiny real networks: both releases, preview, a bad row."""

import json
import shutil
import subprocess
import sys
import time
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from contract import keys
from contract.broker import make_app
from contract.manifest import Manifest
from contract.settings import Settings
from contract.storage import Storage
from producer.batches import batch_rows
from producer.local import Command, LocalStack, _environment
from tests.worker.engines.musetalk import tiny_registry
from worker import weights
from worker.faces.track import FaceModels, FaceTracker
from worker.media.frame import Frame

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "demo"
SOURCE_FRAMES, SECONDS = 10, 0.6
FRAMES = 15

CSV = """id,video,audio,engine,end
v15,portrait.mp4,one.wav,musetalk-v15,0.4
v15 other voice,portrait.mp4,other.wav,musetalk-v15,0.4
v1,portrait.mp4,one.wav,musetalk-v1,0.4
preview,portrait.mp4,one.wav,preview,0.4
nobody,wall.mp4,one.wav,musetalk-v15,
"""
MUSETALK = {"v15": "musetalk-v15", "v15 other voice": "musetalk-v15", "v1": "musetalk-v1"}


@pytest.fixture(scope="module")
def folder(weights_folder, tmp_path_factory):
    """A cache folder of weights: the real ones of faces, tiny ones of MuseTalk."""
    folder = tmp_path_factory.mktemp("weights")
    for name in weights.ENGINES["preview"]:
        place = weights.weight(name).place(folder)
        place.parent.mkdir(exist_ok=True)
        shutil.copyfile(weights.path(name, weights_folder), place)
    tiny_registry.write_weights(folder)
    return folder


@pytest.fixture(scope="module")
def stack(programs, folder, tmp_path_factory):
    """The embedded stack, whose one worker knows the tiny networks."""
    home = tmp_path_factory.mktemp("stack")
    settings = Settings(
        weights=folder, scratch=home / "scratch", prepared=home / "prepared", engine="musetalk-v15"
    )
    with LocalStack.start(home, workers=0, flower=False, settings=settings) as running:
        running._run(worker(running))
        running._await()
        yield running


def worker(stack):
    """As `LocalStack` starts it, but from `tests.tiny_worker`."""
    inspect = make_app(stack.settings).control.inspect(timeout=0.5)
    options = ["--without-gossip", "--without-mingle", "--loglevel=INFO", "-n", "worker1@%h"]
    argv = [sys.executable, "-m", "celery", "-A", "tests.tiny_worker", "worker", *options]
    environment = {
        **_environment(stack.settings),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "REMAP_SIGTERM": "SIGQUIT",
    }
    return Command(
        "worker1", argv, environment, stack.folder / "worker1", lambda: bool(inspect.ping()), stop_seconds=15
    )


@pytest.fixture(scope="module")
def batch(stack, tmp_path_factory):
    """The manifests of the CSV's rows by their ids, and the seconds until all had ended."""
    path = table(tmp_path_factory.mktemp("csv"))
    command = [sys.executable, "-m", "producer.cli", "submit", str(path), "--wait", "--json"]
    began = time.monotonic()
    done = subprocess.run(command, env=_environment(stack.settings), capture_output=True, text=True)
    seconds = time.monotonic() - began
    assert "Traceback" not in done.stderr
    told = json.loads(done.stdout)
    assert (done.returncode, told["counts"]) == (1, {"done": 4, "failed": 1}), done.stdout
    store = Storage(stack.settings)
    return {row.id: manifest_of(store, row.job.id) for row in batch_rows(store, told["batch"])}, seconds


@pytest.fixture(scope="module")
def manifests(batch):
    return batch[0]


def manifest_of(store, job):
    return Manifest.model_validate_json(store.get(keys.manifest(job)))


def table(folder):
    """The CSV beside its media."""
    (folder / "portrait.mp4").write_bytes((DEMO / "portrait.mp4").read_bytes())
    cut(DEMO / "voice-short.wav", folder / "one.wav", begin=0.3)
    cut(DEMO / "voice-short.wav", folder / "other.wav", begin=1.2)
    wall(folder / "wall.mp4")
    path = folder / "jobs.csv"
    path.write_text(CSV)
    return path


def cut(source, target, begin):
    with wave.open(str(source)) as long, wave.open(str(target), "wb") as short:
        short.setparams(long.getparams())
        long.setpos(int(begin * long.getframerate()))
        short.writeframes(long.readframes(int(SECONDS * long.getframerate())))


def wall(target):
    """Ten frames of a grey wall."""
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=320, height=240, pix_fmt="yuv420p")
        for _ in range(10):
            grey = np.full((240, 320, 3), 90, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def video(stack, manifests, tmp_path_factory):
    """(T, H, W) uint8: the luma of a row's output."""
    store, folder = Storage(stack.settings), tmp_path_factory.mktemp("videos")

    def decoded(row):
        path = folder / f"{row}.mp4"
        path.write_bytes(store.get(manifests[row].output.key))
        return luma(path)

    return decoded


def luma(path):
    with av.open(str(path)) as container:
        return np.stack([each.to_ndarray(format="gray") for each in container.decode(video=0)])


@pytest.fixture(scope="module")
def source():
    return luma(DEMO / "portrait.mp4")[:SOURCE_FRAMES]


@pytest.fixture(scope="module")
def face(folder):
    """(left, top, right, bottom) of the face in the first frame, and its nose's bridge (y); mesh points."""
    tracker = FaceTracker(FaceModels.load(folder, threads=1))
    with av.open(str(DEMO / "portrait.mp4")) as container:
        picture = next(container.decode(video=0)).reformat(format="yuv420p")
    planes = [
        np.frombuffer(each, np.uint8).reshape(-1, each.line_size)[: each.height, : each.width].copy()
        for each in picture.planes
    ]
    points = tracker.track(Frame(0, 0, *planes)).points
    return *points.min(axis=0).astype(int), *points.max(axis=0).astype(int), int(points[168, 1])


def psnr(one, other):
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return 10 * np.log10(255**2 / max(error, 1e-9))


def test_every_row_ends_as_it_should_in_its_first_attempt(manifests):
    assert {row: each.status for row, each in manifests.items() if row != "nobody"} == dict.fromkeys(
        [*MUSETALK, "preview"], "succeeded"
    )
    assert (manifests["nobody"].status, manifests["nobody"].error.code) == ("failed", "no_face")
    assert {each.attempt.number for each in manifests.values()} == {1}


def test_the_rows_took_bounded_time(batch):
    assert batch[1] < 120, "seconds, of a busy machine"


@pytest.mark.parametrize("row", [*MUSETALK, "preview"])
def test_every_output_has_the_audios_length_and_every_frame_its_face(manifests, video, row):
    made = manifests[row]
    assert (made.output.frames, made.frames.total, made.frames.with_face) == (FRAMES, FRAMES, FRAMES)
    assert len(video(row)) == FRAMES


@pytest.mark.parametrize("row", MUSETALK)
def test_a_manifest_names_the_engine_and_the_very_weights_it_computed_with(manifests, folder, row):
    engine = manifests[row].engine
    unet = {"musetalk-v15": "unet-v15", "musetalk-v1": "unet-v1"}[MUSETALK[row]]
    known = {each.name: each.sha256 for each in tiny_registry.of(folder)}
    names = ["face-detection", "face-mesh", unet, "vae", "whisper-tiny"]
    assert engine.name == MUSETALK[row]
    assert {each.name: each.sha256 for each in engine.weights} == {name: known[name] for name in names}
    assert {"torch", "diffusers", "transformers"} <= set(manifests[row].software)


def test_the_same_face_with_another_voice_is_prepared_once(manifests):
    pair = [manifests[row].frames for row in ("v15", "v15 other voice")]
    assert sorted(each.prepared for each in pair) == [0, SOURCE_FRAMES]
    assert sorted(each.reused for each in pair) == [0, SOURCE_FRAMES]
    assert manifests["v1"].frames.prepared == SOURCE_FRAMES, "its boxes are others"


@pytest.mark.parametrize("row", MUSETALK)
def test_only_the_lower_half_of_the_face_is_another_than_in_the_source(source, video, face, row):
    left, top, right, bottom, bridge = face
    drawn = video(row)[:SOURCE_FRAMES]
    room = (bottom - top) // 4  # the chin's edge lies below the mesh's, and the face moves
    outside = np.ones(drawn.shape[1:], bool)
    outside[bridge - room // 2 : bottom + room, left - room : right + room] = False
    assert psnr(drawn[:, outside], source[:, outside]) > 38, "decibels; the encoder's alone"
    mouth = np.s_[:, (bridge + bottom) // 2 : bottom, (2 * left + right) // 3 : (left + 2 * right) // 3]
    assert psnr(drawn[mouth], source[mouth]) < 25, "a random network's mouth is none"


def test_each_row_has_a_mouth_of_its_own(video):
    videos = [video(row) for row in (*MUSETALK, "preview")]
    for first, one in enumerate(videos):
        for other in videos[first + 1 :]:
            assert (one != other).any()
