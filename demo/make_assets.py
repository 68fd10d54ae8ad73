"""Makes everything in this folder that `dubline demo` renders: a moving portrait, a still, three voices, the CSV.

Run it only to change the demo; its results are committed. It needs two packages that Dubline does not, so give
it an environment of its own:

    python -m venv /tmp/assets
    /tmp/assets/bin/pip install av pillow scikit-image==0.26.0 hibari-tts==0.2.1
    /tmp/assets/bin/python demo/make_assets.py

Both carry what is used of them inside their wheels: nothing is fetched at run time. LICENCES.md names the terms.
"""

import csv
import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import skimage.data
from hibari import Hibari
from numpy.typing import NDArray
from PIL import Image, ImageFilter

HERE = Path(__file__).parent
Samples = NDArray[np.float32]

# Picture. The source is 512 px square with a face about 105 px high.
WIDTH, HEIGHT, FPS, SECONDS = 1280, 720, 25, 7
ENLARGEMENT = (
    2.75  # of the moving portrait: the face becomes about 290 px high, and the camera has room to move
)
CAMERA_CENTRE = (247.0, 137.0)  # where the camera points on average, in source pixels
STILL_BOX, STILL_SIZE = (88, 0, 376, 360), (720, 900)  # source pixels (left, top, right, bottom); output size
KEYFRAME_EVERY = 12  # frames; short groups let a browser play the source backwards, as `bounce` does

# Sound
SAMPLE_RATE = 24_000  # the voice's own, mono
PEAK = 0.7  # of full scale, -3.1 dBFS
PAUSE_SECONDS = 0.25  # between sentences, and half of it before the first and after the last
SPEECH = {
    "voice-short.wav": ("The North Wind and the Sun had an argument.", "Which of them was the stronger?"),
    "voice-long.m4a": (
        "Just then, a traveler came down the road, wrapped in a warm cloak.",
        "Let us see, said the Sun, who can make him take it off!",
        "The Wind blew first.",
        "He blew hard, and harder still; but the more he blew, the tighter the traveler held his cloak.",
    ),
    "voice-still.flac": (
        "Then the Sun came out and shone: softly at first, then warmer, and warmer.",
        "The traveler smiled, opened his cloak, and took it off.",
    ),
}
CODECS = {".wav": "pcm_s16le", ".m4a": "aac", ".flac": "flac"}
ROWS = (
    ("astronaut-short", "portrait.mp4", "voice-short.wav"),
    ("astronaut-long", "portrait.mp4", "voice-long.m4a"),
    ("astronaut-still", "still.jpg", "voice-still.flac"),
)


def main() -> None:
    """Write all assets into this script's folder and say how large they are."""
    portrait = Image.fromarray(skimage.data.astronaut())
    portrait.save(HERE / "portrait.jpg", quality=92, optimize=True, subsampling=0)
    enlarged(portrait.crop(STILL_BOX), STILL_SIZE).save(HERE / "still.jpg", quality=88, optimize=True)
    write_video(HERE / "portrait.mp4", portrait)
    voice = Hibari()
    for name, sentences in SPEECH.items():
        write_audio(HERE / name, spoken(voice, sentences))
    write_rows(HERE / "jobs.csv")
    for path in sorted(HERE.iterdir()):
        print(f"{path.stat().st_size / 1000:8.1f} kB  {path.name}")


def enlarged(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture at that size, its edges crisped to make up for the enlargement."""
    return picture.resize(size, Image.Resampling.LANCZOS).filter(ImageFilter.UnsharpMask(2.2, 55, 1))


def write_video(path: Path, portrait: Image.Image) -> None:
    """A hand-held look at the portrait: H.264, BT.709, limited range."""
    scene = enlarged(portrait, (round(portrait.width * ENLARGEMENT), round(portrait.height * ENLARGEMENT)))
    with av.open(path, "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": "22", "preset": "veryslow", "g": str(KEYFRAME_EVERY), "bf": "2"}
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = 1, 1, 1, 1
        for index in range(FPS * SECONDS):
            picture = scene.transform(
                (WIDTH, HEIGHT), Image.Transform.AFFINE, camera(index), Image.Resampling.BICUBIC
            )
            frame = av.VideoFrame.from_image(picture)
            container.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace="ITU709")))
        container.mux(stream.encode())


def camera(index: int) -> tuple[float, float, float, float, float, float]:
    """Where frame `index` looks: (a, b, c, d, e, f) with scene x = ax + by + c and y = dx + ey + f, in pixels.

    A slow drift, zoom (up to 5 % closer) and tilt (within 1.3 degrees), of periods that do not coincide.
    """
    seconds = index / FPS
    zoom = 1.025 + 0.025 * math.sin(math.tau * seconds / 6.1 - 1.2)
    tilt = math.radians(1.3) * math.sin(math.tau * seconds / 4.7)
    x = ENLARGEMENT * (CAMERA_CENTRE[0] + 7.0 * math.sin(math.tau * seconds / 5.3))
    y = ENLARGEMENT * (CAMERA_CENTRE[1] + 2.5 * math.sin(math.tau * seconds / 3.9 + 0.6))
    across, down = math.cos(tilt) / zoom, math.sin(tilt) / zoom
    return (
        across, -down, x - across * WIDTH / 2 + down * HEIGHT / 2,
        down, across, y - down * WIDTH / 2 - across * HEIGHT / 2,
    )  # fmt: skip


def spoken(voice: Hibari, sentences: tuple[str, ...]) -> Samples:
    """The sentences with pauses between them, (T,) float32 at SAMPLE_RATE, peak-normalised."""
    pause = np.zeros(round(PAUSE_SECONDS * SAMPLE_RATE), np.float32)
    half = pause[: len(pause) // 2]
    parts = [half]
    for sentence in sentences:
        parts += [np.asarray(voice(sentence, seed=0), np.float32), pause]
    samples = np.concatenate([*parts[:-1], half])
    return samples * np.float32(PEAK / np.abs(samples).max())


def write_audio(path: Path, samples: Samples) -> None:
    """Mono audio in the container and codec of the file's suffix."""
    with av.open(path, "w") as container:
        stream = container.add_stream(CODECS[path.suffix], rate=SAMPLE_RATE, layout="mono")
        if path.suffix == ".m4a":
            stream.bit_rate = 96_000
        frame = av.AudioFrame.from_ndarray(np.round(samples * 32767).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_rows(path: Path) -> None:
    """The batch that `dubline demo` submits."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("id", "video", "audio"))
        writer.writerows(ROWS)


if __name__ == "__main__":
    main()
