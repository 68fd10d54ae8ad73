"""A hundred files that are not what they say, through the real queue and the real render.

python -m tests.chaos.hostile --files 100
"""

import argparse
import io
import json
import random
import struct
import sys
import tempfile
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from contract.manifest import Manifest
from contract.settings import Settings
from contract.storage import Storage
from producer.batches import batch_rows, manifests
from producer.check import check
from producer.submit import submit
from tests.chaos.cluster import Cluster
from tests.chaos.history import read
from tests.chaos.workload import DEMO, FACE, voice

WARM_UPS = 6
WHOLE = ("portrait.jpg", "still.jpg", "voice-short.wav", "voice-long.m4a", "voice-still.flac")
"""Good pairs before and after, short ones and all that the hostile files are made from: memory is compared when the worker
has done the same, and what it keeps for the longest of them is no leak."""
ROUNDS = 3
"""Of good pairs before the hostile ones: from one to the next the memory goes up and down by a tenth, and the most counts."""
SECONDS_PER_FILE = 20.0
TOLERANCE = 0.10
VOICE = "media/voice.wav"


@dataclass(frozen=True)
class Hostile:
    """One file, to be taken for a video or for its sound."""

    name: str
    column: Literal["video", "audio"]
    suffix: str
    body: bytes
    may: frozenset[str]
    """Codes of the errors it may end with, `succeeded` among them where something can be made of it."""


@dataclass(frozen=True)
class HostileReport:
    """What became of them."""

    files: int
    seconds: float
    ends: Mapping[str, int]
    """Code of the error, or `succeeded`."""
    wrong: Sequence[str]
    """Files that ended otherwise than they may, or not at the first attempt."""
    processes: int
    """That ran jobs: more than one means that a file ended its worker."""
    before_mb: float
    """Most resident memory of the process that runs jobs, after each of some rounds of good jobs ..."""
    after_mb: float
    """... and after all hostile ones and one such round."""

    @property
    def is_fine(self) -> bool:
        """All ended as they should, in one process that is no larger than before."""
        return not self.wrong and self.processes == 1 and self.after_mb <= self.before_mb * (1 + TOLERANCE)


def hostile_files(seed: int = 1) -> Iterator[Hostile]:
    """All kinds in turn, so that any first few are a mixture. Always the same."""
    dice = random.Random(f"hostile {seed}")
    kinds = [kind(dice) for kind in (_cut, _flipped, _headed, _texts, _giants, _empty, _disguised, _sounds)]
    number = 0
    while kinds:
        for each in list(kinds):
            found = next(each, None)
            if found is None:
                kinds.remove(each)
                continue
            name, suffix, body, may = found
            yield Hostile(f"render-{number:03}-{name}", _column(suffix), suffix, body, may)
            number += 1


def _column(suffix: str) -> Literal["video", "audio"]:
    return "audio" if suffix in (".wav", ".m4a", ".flac") else "video"


_File = tuple[str, str, bytes, frozenset[str]]
"""Name, suffix, content, and how it may end."""


def _codes(words: str) -> frozenset[str]:
    return frozenset(words.split())


SOUND = _codes("succeeded")
JUNK = _codes("not_media format_forbidden")
"""No media at all, or some of a kind that is not on the list."""
NOISE = JUNK | _codes("no_video no_audio input_too_large")
"""No better where a header says what it is."""
SPOILT = _codes("succeeded not_media no_video no_audio no_face audio_too_short")
"""What is left of it may do, or is too little of one thing or another."""
WILD = SPOILT | _codes("format_forbidden input_too_large decode_limit timestamp_gap")
"""A byte that is another one may say anything."""
GIANT = _codes("input_too_large decode_limit not_media")
LYING_GIANT = GIANT | SOUND
"""The container says so, and the pictures in it know better."""
LYING = _codes("succeeded not_media no_audio audio_too_short format_forbidden")
"""A header of sound that nothing has."""


def _demo(name: str) -> bytes:
    return (DEMO / name).read_bytes()


def _cut(dice: random.Random) -> Iterator[_File]:
    """Ends too early: in the index, in the pictures, in a header."""
    for name in ("portrait.mp4", "still.jpg"):
        body = _demo(name)
        suffix = Path(name).suffix
        for share in (0.9, 0.5, 0.02, 0.99, 0.001, 0.3, 0.1, 0.7, 0.0001, 0.999):
            yield f"cut-at-{share}", suffix, body[: int(len(body) * share)], SPOILT


def _flipped(dice: random.Random) -> Iterator[_File]:
    """A few bytes are other ones: anywhere, or in the first kilobytes."""
    body = _demo("portrait.mp4")
    for number, (reach, count) in enumerate(
        [(len(body), 50), (4096, 3), (40_000, 20), (len(body), 2000)] * 5
    ):
        spoilt = bytearray(body)
        for _ in range(count):
            spoilt[dice.randrange(reach)] = dice.randrange(256)
        yield f"flipped-{number}", ".mp4", bytes(spoilt), WILD


def _headed(dice: random.Random) -> Iterator[_File]:
    """Noise that begins like a file of some kind."""
    heads = {
        ".mp4": struct.pack(">I", 24) + b"ftypisom\0\0\2\0isomiso2",
        ".avi": b"RIFF\xff\xff\xff\x7fAVI LIST",
        ".mkv": b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x23\x42\x86\x81\x01",
        ".png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        ".jpg": b"\xff\xd8\xff\xe0\0\x10JFIF\0\1",
        ".gif": b"GIF89a",
        ".webp": b"RIFF\x10\0\1\0WEBPVP8 ",
        ".mpg": b"\0\0\1\xba",
        ".ts": b"\x47\x40\0\x10",
        ".flv": b"FLV\1\5\0\0\0\x09",
        ".wav": b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\1\0\0\0\0\0\0\0",
        ".m4a": struct.pack(">I", 24) + b"ftypM4A \0\0\2\0isomiso2",
        ".flac": b"fLaC\0\0\0\x22",
    }
    for suffix, head in heads.items():
        yield f"noise{suffix.replace('.', '-')}", suffix, head + dice.randbytes(50_000), NOISE


def _texts(dice: random.Random) -> Iterator[_File]:
    """Playlists and scripts, that name other files; and plain words."""
    texts = {
        "m3u8": "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "http": "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10.0,\nhttp://127.0.0.1:1/x.ts\n#EXT-X-ENDLIST\n",
        "concat": "ffconcat version 1.0\nfile /etc/passwd\n",
        "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period/></MPD>',
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        "svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "html": "<!doctype html><title>404</title>" + "<p>not found</p>" * 500,
        "subtitles": "1\n00:00:00,000 --> 00:00:01,000\nHello\n" * 100,
        "json": json.dumps({"error": "expired"}) * 50,
        "script": "#!/bin/sh\necho hello\n" * 100,
    }
    for name, text in texts.items():
        yield f"text-{name}", ".mp4", text.encode(), JUNK
    yield "text-wav", ".wav", texts["m3u8"].encode(), JUNK


def _giants(dice: random.Random) -> Iterator[_File]:
    """A few bytes that ask for gigabytes."""
    for side in (30_000, 65_535, 2**31 - 1):
        yield f"png-{side}", ".png", _png(side, side), GIANT
    yield (
        "gif",
        ".gif",
        b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + b"\x80\0\0" + b"\0" * 6 + b",;" * 500,
        GIANT,
    )
    yield (
        "bmp",
        ".bmp",
        b"BM" + struct.pack("<IIIIiiHHI", 2**31, 0, 54, 40, 60_000, 60_000, 1, 24, 0) + bytes(20),
        _codes("format_forbidden"),
    )
    jpeg = bytearray(_demo("still.jpg"))
    start = max(jpeg.find(b"\xff\xc0"), jpeg.find(b"\xff\xc2"))
    jpeg[start + 5 : start + 9] = struct.pack(">HH", 65_500, 65_500)
    yield "jpeg", ".jpg", bytes(jpeg), GIANT
    movie = bytearray(_demo("portrait.mp4"))
    place = movie.find(b"avc1") + 28
    movie[place : place + 4] = struct.pack(">HH", 65_535, 65_535)
    yield "mp4", ".mp4", bytes(movie), LYING_GIANT
    for box in (b"moov", b"trak", b"stsz", b"stco", b"mdat"):
        movie = bytearray(_demo("portrait.mp4"))
        place = movie.find(box)
        movie[place - 4 : place] = b"\xff\xff\xff\xff"
        yield f"box-{box.decode()}", ".mp4", bytes(movie), SPOILT


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")


def _empty(dice: random.Random) -> Iterator[_File]:
    """Nothing, or next to nothing."""
    for name, body in (("empty", b""), ("byte", b"\0"), ("zeros", bytes(10**6)), ("lines", b"\n" * 10**5)):
        for suffix in (".mp4", ".wav"):
            yield f"{name}{suffix.replace('.', '-')}", suffix, body, JUNK if body else _codes("input_empty")


def _disguised(dice: random.Random) -> Iterator[_File]:
    """Whole files of another kind than their name says."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(10**7))
    yield "sound-as-video", ".mp4", _demo("voice-short.wav"), _codes("no_video")
    yield "picture-as-sound", ".wav", _demo("portrait.jpg"), _codes("format_forbidden")
    yield "picture-as-video", ".mp4", _demo("still.jpg"), SOUND
    yield "silent-video-as-sound", ".m4a", _demo("portrait.mp4"), _codes("no_audio")
    yield "zip", ".mp4", archive.getvalue(), JUNK
    yield "gzip-bomb", ".mp4", b"\x1f\x8b\x08\0\0\0\0\0\0\3" + zlib.compress(bytes(10**7))[2:], JUNK
    yield "pdf", ".mp4", b"%PDF-1.7\n" + dice.randbytes(5000), JUNK
    yield "program", ".mp4", Path(sys.executable).resolve().read_bytes()[:200_000], JUNK
    yield "doubled", ".mp4", _demo("portrait.mp4") * 2, SOUND
    yield "tail-first", ".mp4", _demo("portrait.mp4")[::-1], JUNK


def _sounds(dice: random.Random) -> Iterator[_File]:
    """Sound that is cut, that lies about itself, or that hardly is."""
    for name in ("voice-short.wav", "voice-long.m4a", "voice-still.flac"):
        body, suffix = _demo(name), Path(name).suffix
        for share in (0.5, 0.01, 0.001, 0.9):
            yield f"sound-cut-at-{share}", suffix, body[: int(len(body) * share)], SPOILT
    for name, fields in {
        "no-channels": (0, 16_000, 16),
        "no-rate": (1, 0, 16),
        "wild-rate": (1, 2**32 - 1, 16),
        "many-channels": (65_535, 16_000, 16),
        "no-bits": (1, 16_000, 0),
        "one-sample": (1, 16_000, 16),
    }.items():
        channels, rate, bits = fields
        form = struct.pack("<HHIIHH", 1, channels, rate, rate * 2 % 2**32, 2, bits)
        data = bytes(2) if name == "one-sample" else dice.randbytes(20_000)
        body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", 2**32 - 1) + data
        yield f"wav-{name}", ".wav", b"RIFF" + struct.pack("<I", len(body)) + body, LYING


def run_hostile(
    count: int, folder: Path, given: Settings, say: Callable[[str], None] = lambda _: None
) -> HostileReport:
    """The first so many of them through one worker."""
    files = list(islice(hostile_files(), count))
    settings = given.model_copy(update={"scratch": folder / "scratch", "pin_limit": 0, "lease_seconds": 10.0})
    start = time.monotonic()
    with Cluster.start(folder, settings, workers=1, seed=1) as cluster:
        client = _Client(cluster, folder, say)
        before = max(client.play_good(f"warm-up-{number}") for number in range(ROUNDS))
        ends = client.play("hostile", files)
        after = client.play_good("once-more")
        return HostileReport(
            files=len(files),
            seconds=round(time.monotonic() - start, 1),
            ends=dict(Counter(_end(each) for each in ends.values())),
            wrong=[
                f"{each.name}: {_end(ends[each.name])}"
                for each in files
                if not _is_right(each, ends[each.name])
            ],
            processes=len(client.processes()),
            before_mb=before,
            after_mb=after,
        )


def good(batch: str, body: bytes) -> list[Hostile]:
    """Files that there is nothing wrong with."""
    short = [(f"{number}", ".wav", body) for number in range(WARM_UPS)]
    whole = [(Path(name).stem, Path(name).suffix, _demo(name)) for name in WHOLE]
    return [
        Hostile(f"render-{batch}-{name}", _column(suffix), suffix, content, SOUND)
        for name, suffix, content in short + whole
    ]


def _end(manifest: Manifest) -> str:
    return manifest.error.code if manifest.error else manifest.status


def _is_right(file: Hostile, manifest: Manifest) -> bool:
    """Rendered, or refused for what it is, and that at once."""
    return manifest.attempt.number == 1 and _end(manifest) in file.may


class _Client:
    """Submits files and waits for their ends."""

    def __init__(self, cluster: Cluster, folder: Path, say: Callable[[str], None]) -> None:
        self._cluster, self._folder, self._say = cluster, folder, say
        self._storage = Storage(cluster.direct)
        self._storage.put(FACE, _demo("portrait.mp4"), "video/mp4")
        self._storage.put(VOICE, voice(folder, 0), "audio/wav")

    def play_good(self, batch: str) -> float:
        """Resident memory of the process that runs jobs, after files that there is nothing wrong with."""
        ends = self.play(batch, good(batch, voice(self._folder, 0)))
        if odd := [row for row, each in ends.items() if each.status != "succeeded"]:
            raise AssertionError(f"good pairs did not succeed: {odd}")
        return self.resident_mb()

    def play(self, batch: str, files: Sequence[Hostile]) -> dict[str, Manifest]:
        """The manifest of each file's row, when all have ended. The other half of each pair is good."""
        bucket, lines = self._storage.bucket, ["id,video,audio,end"]
        for each in files:
            own = f"media/{each.name}{each.suffix}"
            self._storage.put(own, each.body)
            video, audio = (own, VOICE) if each.column == "video" else (FACE, own)
            lines.append(f"{each.name},s3://{bucket}/{video},s3://{bucket}/{audio},0.2")
        csv = self._folder / f"{batch}.csv"
        csv.write_text("\n".join(lines) + "\n")
        submit(check(csv, self._storage, self._cluster.direct), self._storage, batch=batch)
        return self._ended(batch, SECONDS_PER_FILE * (len(files) + 3))

    def _ended(self, batch: str, seconds: float) -> dict[str, Manifest]:
        rows = {row.id: row.job.id for row in batch_rows(self._storage, batch)}
        deadline = time.monotonic() + seconds
        while True:
            self._cluster.tend()
            found = dict(zip(rows, manifests(self._storage, rows.values()), strict=True))
            ended = {row: each for row, each in found.items() if each}
            self._say(f"{batch}: {len(ended)} of {len(rows)}")
            if len(ended) == len(rows):
                return ended
            if time.monotonic() > deadline:
                raise TimeoutError(f"these did not end: {sorted(rows.keys() - ended.keys())}")
            time.sleep(1)

    def processes(self) -> set[int]:
        """Those that ran jobs."""
        events, _ = read(self._folder / "history.jsonl")
        return {each.pid for each in events if each.what == "began"}

    def resident_mb(self) -> float:
        """Of the process that runs jobs now."""
        pages = int(Path(f"/proc/{max(self.processes())}/statm").read_text().split()[1])
        return round(pages * 4096 / 1e6, 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--json", type=Path, help="file for the report")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dubline-hostile-") as name:
        report = run_hostile(given.files, Path(name), Settings())
    told = json.dumps(asdict(report), indent=1)
    print(told)  # noqa: T201 - this is the command line
    if given.json:
        given.json.write_text(told + "\n")
    return 0 if report.is_fine else 1


if __name__ == "__main__":
    sys.exit(main())
