"""CPU and disk of our flow against a flow of PNG files, on one generated 1080p30 clip.

    python -m benchmarks.media [SECONDS] [--json]     both flows, each in a process of its own
    python -m benchmarks.media --minutes 60 [--json]  our flow alone over that much audio: does memory stay flat?

Ours: decode child -> YUV planes -> the mouth's box to RGB -> blend in place -> x264 and AAC.
PNG files: every frame decoded to a PNG, all of them read into memory, each converted and pasted whole as
upstream does (PIL, a blurred mask a frame), written as PNG again, read and encoded, then muxed with the sound.
Both draw the same mouth on 25 frames a second and encode once, with x264 veryfast crf 18, so what differs is
the flow. CPU seconds count every child.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from worker.engines.base import Mouth
from worker.media.audio import Audio, read_audio
from worker.media.blend import blend
from worker.media.frame import Box
from worker.media.limits import Limits
from worker.media.source import VideoSource
from worker.media.writer import VideoWriter

WIDTH, HEIGHT, SOURCE_FPS = 1920, 1080, 30
LEAST_RATIO = 5.0
MOST_RSS_MB = 2000.0
FACE = Box(610, 190, 1310, 890)
"""A face of about 580 px: the crop that upstream pastes back."""
MOUTH = Box(800, 500, 1122, 782)
"""The part of it in which a mask is not clear."""
THREADS = 2
FLOWS = ("ours", "png")


@dataclass(frozen=True)
class Measured:
    flow: str
    frames: int
    cpu_seconds: float
    wall_seconds: float
    peak_rss_mb: float
    """Of the largest process, and of our flow's decode child besides."""
    disk_mb: float
    """Most bytes of frames that lay on disk at one time."""


def main() -> int:
    """Exit code 0 where the goals are met."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("seconds", nargs="?", type=int, default=10)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--flow", choices=FLOWS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.flow:
        print(json.dumps(asdict(run_flow(options.flow, options.folder))))
        return 0
    with tempfile.TemporaryDirectory(prefix="dubline-") as name:
        folder = Path(name)
        if options.minutes:
            return report_memory(folder, options.minutes, options.json)
        return report_flows(folder, options.seconds, options.json)


def report_flows(folder: Path, seconds: int, as_json: bool) -> int:
    make_clip(folder / "clip.mp4", seconds)
    make_sound(folder / "sound.wav", seconds)
    measured = [in_own_process(flow, folder) for flow in FLOWS]
    ours, png = measured
    ratio = png.cpu_seconds / ours.cpu_seconds
    if as_json:
        print(json.dumps({"ratio": round(ratio, 2), "flows": [asdict(each) for each in measured]}))
    else:
        print(f"{'flow':<6}{'frames':>8}{'CPU s':>9}{'wall s':>9}{'RSS MB':>9}{'disk MB':>9}")
        for m in measured:
            print(
                f"{m.flow:<6}{m.frames:>8}{m.cpu_seconds:>9.1f}{m.wall_seconds:>9.1f}{m.peak_rss_mb:>9.0f}"
                f"{m.disk_mb:>9.1f}"
            )
        print(f"{ratio:.1f} times less CPU (goal: {LEAST_RATIO:g})")
    return 0 if ratio >= LEAST_RATIO and ours.disk_mb == 0 else 1


def in_own_process(flow: str, folder: Path) -> Measured:
    scratch = folder / flow
    scratch.mkdir()
    command = [sys.executable, "-m", "benchmarks.media", "--flow", flow, "--folder", str(folder)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, env=os.environ | {"TMPDIR": str(scratch)}
    )
    return Measured(**json.loads(done.stdout))


def run_flow(flow: str, folder: Path) -> Measured:
    cv2.setNumThreads(1)
    started, begun = time.monotonic(), cpu_seconds()
    with high_water(folder / flow) as disk:
        frames = {"ours": ours, "png": png_files}[flow](folder, folder / flow)
    return Measured(
        flow,
        frames,
        round(cpu_seconds() - begun, 2),
        round(time.monotonic() - started, 2),
        round(sum(resource.getrusage(who).ru_maxrss for who in _EVERYONE) / 1024, 1),
        round(disk[0] / 1e6, 1),
    )


_EVERYONE = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def cpu_seconds() -> float:
    """User and system time of this process and of the children it has waited for."""
    usages = [resource.getrusage(who) for who in _EVERYONE]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@contextmanager
def high_water(folder: Path) -> Iterator[list[int]]:
    """The most bytes that lay under a folder at one time, the finished output aside; sampled."""
    most, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            sizes = (size_of(path) for path in folder.rglob("*") if path.name != "out.mp4")
            most[0] = max(most[0], sum(sizes))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        ended.set()
        watcher.join()


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:
        return 0


def ours(folder: Path, scratch: Path) -> int:
    audio = read_audio(folder / "sound.wav", Limits())
    return stream(folder / "clip.mp4", audio, scratch / "out.mp4")


def stream(clip: Path, audio: Audio, output: Path, every: int = 0) -> int:
    """Our flow; prints the memory in use each `every` frames where given."""
    alpha = mouth_alpha()
    with (
        VideoSource(clip, Limits()) as source,
        VideoWriter(output, source.width, source.height, audio, threads=THREADS) as writer,
    ):
        for frame in source.frames(audio.frames, "bounce"):
            blend(frame, Mouth(drawn(frame.rgb(MOUTH), frame.index), alpha, MOUTH))
            writer.write(frame)
            if every and frame.index % every == 0:
                print(f"{frame.index / 25:8.0f} s {resident_mb():8.0f} MB", file=sys.stderr)
        return writer.close().frames


def drawn(rgb: np.ndarray, index: int) -> np.ndarray:
    """Some mouth: the pixels, moved."""
    return np.roll(rgb, 4 + index % 5, axis=0)


def mouth_alpha() -> np.ndarray:
    alpha = np.zeros((MOUTH.height, MOUTH.width), np.float32)
    cv2.ellipse(alpha, (MOUTH.width // 2, MOUTH.height // 2), (120, 100), 0, 0, 360, 1.0, -1)
    return cv2.GaussianBlur(alpha, (0, 0), 12)


def png_files(folder: Path, scratch: Path) -> int:
    """Step by step as upstream does it, but at 25 fps and with one encode."""
    decode_to_files(folder / "clip.mp4", scratch)
    frames = [cv2.imread(str(path)) for path in sorted(scratch.glob("in-*.png"))]
    for index, frame in enumerate(frames):
        face = drawn(frame[FACE.top : FACE.bottom, FACE.left : FACE.right], index)
        cv2.imwrite(str(scratch / f"out-{index:08}.png"), pasted(frame, face))
    encode_files(sorted(scratch.glob("out-*.png")), scratch / "silent.mp4")
    mux(scratch / "silent.mp4", folder / "sound.wav", scratch / "out.mp4")
    return len(frames)


def decode_to_files(clip: Path, scratch: Path) -> None:
    with av.open(str(clip)) as container:
        shown = -1
        for frame in container.decode(video=0):
            position = int(frame.time * 25 + 0.5)
            if position > shown:
                shown = position
                cv2.imwrite(str(scratch / f"in-{shown:08}.png"), frame.to_ndarray(format="bgr24"))


def pasted(frame: np.ndarray, face: np.ndarray) -> np.ndarray:
    """MuseTalk's get_image (musetalk/utils/blending.py) with a drawn ellipse for its parsing network."""
    body = Image.fromarray(frame[:, :, ::-1])
    crop = body.crop((FACE.left, FACE.top, FACE.right, FACE.bottom))
    mask = Image.new("L", crop.size, 0)
    ImageDraw.Draw(mask).ellipse((230, 350, 470, 550), fill=255)
    mask = mask.filter(ImageFilter.GaussianBlur(radius=int(0.05 * crop.width)))
    crop.paste(Image.fromarray(face[:, :, ::-1]), (0, 0))
    body.paste(crop, (FACE.left, FACE.top), mask)
    return np.asarray(body)[:, :, ::-1]


def encode_files(paths: list[Path], output: Path) -> None:
    with av.open(str(output), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"preset": "veryfast", "crf": "18"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.thread_count = THREADS
        for path in paths:
            container.mux(video.encode(av.VideoFrame.from_ndarray(cv2.imread(str(path)), format="bgr24")))
        container.mux(video.encode(None))


def mux(silent: Path, sound: Path, output: Path) -> None:
    with (
        av.open(str(silent)) as pictures,
        av.open(str(sound)) as heard,
        av.open(str(output), "w") as container,
    ):
        video = container.add_stream_from_template(pictures.streams.video[0])
        audio = container.add_stream("aac", rate=48_000)
        for packet in pictures.demux(video=0):
            if packet.size:
                packet.stream = video
                container.mux(packet)
        for frame in heard.decode(audio=0):
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))


def report_memory(folder: Path, minutes: float, as_json: bool) -> int:
    """Our flow over so much audio, the clip in turns forward and backward."""
    make_clip(folder / "clip.mp4", 20)
    make_sound(folder / "sound.wav", round(minutes * 60))
    audio = read_audio(folder / "sound.wav", Limits())
    frames = stream(folder / "clip.mp4", audio, folder / "out.mp4", every=0 if as_json else 500)
    peak = sum(resource.getrusage(who).ru_maxrss for who in _EVERYONE) / 1024
    if as_json:
        print(json.dumps({"minutes": minutes, "frames": frames, "peak_rss_mb": round(peak, 1)}))
    else:
        print(
            f"{frames} frames of 1080p, {minutes:g} minutes: at most {peak:.0f} MB (goal: {MOST_RSS_MB:.0f})"
        )
    return 0 if peak < MOST_RSS_MB else 1


def resident_mb() -> float:
    """Memory of this process and its children now."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return sum(rss_kb(pid) for pid in ["self", *children]) / 1024


def rss_kb(pid: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def make_clip(path: Path, seconds: int) -> None:
    """A soft moving picture with grain, 1080p30."""
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(
        rng.integers(0, 256, (HEIGHT + 200, WIDTH + 200, 3), dtype=np.uint8), (0, 0), 9
    )
    texture = cv2.normalize(texture, None, 20, 235, cv2.NORM_MINMAX)
    grain = [rng.integers(0, 6, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(4)]
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=SOURCE_FPS, options={"preset": "veryfast", "crf": "20"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for n in range(seconds * SOURCE_FPS):
            left, top = round(100 + 90 * np.sin(n / 40)), round(100 + 90 * np.cos(n / 31))
            picture = texture[top : top + HEIGHT, left : left + WIDTH] + grain[n % 4]
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))


def make_sound(path: Path, seconds: int) -> None:
    """A tone, mono 16 kHz."""
    tone = (8000 * np.sin(2 * np.pi * 220 * np.arange(16_000) / 16_000)).astype(np.int16)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        for _ in range(seconds):
            file.writeframes(tone.tobytes())


if __name__ == "__main__":
    sys.exit(main())
