"""A page that shows a batch: source and result side by side, in step, over what was measured on them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from urllib.parse import quote

from contract.manifest import Curves, ErrorRecord, Manifest, SyncCheck
from producer.gallery.plot import clock, plot, ticks

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
MISSING = "–"

Figure = tuple[str, str, str]
"""What it is, its value, and a note; plain text."""


@dataclass(frozen=True)
class Entry:
    """One row of the batch: its manifest and what lies on this machine of it."""

    row: str
    manifest: Manifest
    source: Path | None = None
    """The video or image that was given, where it is local."""
    result: Path | None = None
    curves: Curves | None = None


def write_gallery(folder: Path, batch: str, entries: Sequence[Entry]) -> Path:
    """Write `index.html` into the folder and say where it is.

    The page holds its own style and script and names the videos relative to itself: it works from a disk, without
    a server and without the internet.
    """
    page = folder / "index.html"
    cards = (_card(folder, number, entry) for number, entry in enumerate(entries, 1))
    text = _template("page.html").substitute(
        batch=escape(batch), summary=_summary(entries), cards="\n".join(cards)
    )
    page.write_text(text, encoding="utf-8")
    return page


@cache
def _template(name: str) -> Template:
    return Template((files("producer.gallery") / name).read_text(encoding="utf-8"))


def _summary(entries: Sequence[Entry]) -> str:
    manifests = [entry.manifest for entry in entries]
    succeeded = sum(manifest.status == "succeeded" for manifest in manifests)
    video_seconds = sum(manifest.output.duration_seconds for manifest in manifests if manifest.output)
    figures: list[Figure] = [
        ("Rendered", f"{succeeded} of {len(entries)}", ""),
        ("Video", f"{video_seconds:.1f} s", ""),
        ("Worker time", f"{sum(map(_seconds_taken, manifests)):.1f} s", ""),
        ("Cost", _total_cost(manifests), ""),
    ]
    return _figure_list(figures)


def _card(folder: Path, number: int, entry: Entry) -> str:
    manifest = entry.manifest
    playable = manifest.output if entry.result else None
    return _template("card.html").substitute(
        number=number,
        row=escape(entry.row),
        status=manifest.status,
        description=escape(_description(manifest)),
        playback=_playback(manifest) if playable else "",
        stage=_stage(folder, entry),
        timeline=_timeline(entry, playable.duration_seconds) if playable else "",
        headline=_figure_list(_headline(manifest)),
        details=_figure_list(_details(manifest)),
        warnings="".join(f"<li>{escape(each.message)}</li>" for each in manifest.warnings),
    )


def _description(manifest: Manifest) -> str:
    output = manifest.output
    if output is None:
        return f"{manifest.job.options.engine} engine"
    return (
        f"{manifest.job.options.engine} engine, {output.width} × {output.height}, "
        f"{_rate(output.fps)} fps, {output.duration_seconds:.2f} s"
    )


def _playback(manifest: Manifest) -> str:
    """What the page's script must know to keep the source in step, as attributes."""
    options = manifest.job.options
    facts = {"mode": options.sync_mode, "start": options.start, "end": options.end or ""}
    return " ".join(f'data-{name}="{value}"' for name, value in facts.items())


def _stage(folder: Path, entry: Entry) -> str:
    """The source, and beside it the result or why there is none."""
    manifest = entry.manifest
    source = _source(folder, entry)
    result = _video(folder, entry.result, "result", f"Result of {entry.row}")
    parts = [_figure("Source", source)] if source or result else []
    if manifest.output:
        parts.append(_figure("Result", result))
    if manifest.error:
        parts.append(_failure(manifest.error, _fate(manifest)))
    return "".join(parts)


def _failure(error: ErrorRecord, fate: str) -> str:
    return (
        f'<div class="failure"><p><code>{escape(error.code)}</code></p><p>{escape(error.message)}</p>'
        f"<p><small>{fate}</small></p></div>"
    )


def _fate(manifest: Manifest) -> str:
    if manifest.error is None or manifest.status == "cancelled":
        return ""
    if manifest.error.retryable:
        return f"Given up after attempt {manifest.attempt.number}."
    return "Trying again would not help."


def _figure(caption: str, medium: str) -> str:
    medium = medium or '<p class="absent">Not on this machine</p>'
    return f"<figure>{medium}<figcaption>{caption}</figcaption></figure>"


def _source(folder: Path, entry: Entry) -> str:
    label = f"Source of {entry.row}"
    if entry.source and entry.source.suffix.lower() in IMAGE_SUFFIXES:
        return f'<img src="{_address(folder, entry.source)}" alt="{escape(label)}" loading="lazy">'
    return _video(folder, entry.source, "source", label)


def _video(folder: Path, path: Path | None, kind: str, label: str) -> str:
    if path is None:
        return ""
    extra = "muted" if kind == "source" else "controls"  # the script takes the controls' place
    return (
        f'<video class="{kind}" src="{_address(folder, path)}" aria-label="{escape(label)}" '
        f'preload="none" playsinline {extra}></video>'
    )


def _address(folder: Path, path: Path) -> str:
    """The path relative to the page, percent-encoded: safe as an attribute and never another scheme."""
    relative = os.path.relpath(path.resolve(), folder.resolve())
    return quote(Path(relative).as_posix())


def _timeline(entry: Entry, seconds: float) -> str:
    marks = "".join(f'<span style="left:{100 * at:.3f}%">{text}</span>' for at, text in ticks(seconds))
    return _template("timeline.html").substitute(
        row=escape(entry.row),
        seconds=f"{seconds:.3f}",
        clock=clock(seconds),
        plot=plot(entry.curves) if entry.curves else "",
        ticks=marks,
        legend=_legend(entry.curves),
    )


def _legend(curves: Curves | None) -> str:
    if curves is None:
        return "<li>Lip aperture and loudness were not measured.</li>"
    seen = [each for each in curves.aperture if each is not None]
    quietest, loudest = min(curves.loudness, default=0.0), max(curves.loudness, default=0.0)
    items = [
        ("aperture", f"Lip aperture, up to {100 * max(seen, default=0.0):.1f} % of the face's height"),
        ("loudness", f"Audio loudness, {_decimal(quietest, 0)} to {_decimal(loudest, 0)} dB"),
    ]
    if len(seen) < len(curves.aperture):
        items.append(("gap", "No face"))
    return "".join(f'<li class="{name}">{text}</li>' for name, text in items)


def _headline(manifest: Manifest) -> list[Figure]:
    """The figures that a person looks at first."""
    figures: list[Figure] = []
    if manifest.sync_check:
        figures += _sync_figures(manifest.sync_check)
    if manifest.frames:
        frames = manifest.frames
        figures.append(("Frames with a face", f"{frames.with_face}", f"{frames.without_face} without one"))
    seconds = _seconds_taken(manifest)
    speed = (
        f"{manifest.output.duration_seconds / seconds:.1f} × real time" if manifest.output and seconds else ""
    )
    figures.append(("Time taken", f"{seconds:.1f} s", speed))
    figures.append(("Cost", _total_cost([manifest]), ""))
    return figures


def _sync_figures(check: SyncCheck) -> list[Figure]:
    if check.status != "ok":
        return [("Sync correlation", MISSING, check.reason or "")]
    lag = check.lag_frames or 0
    sense = "in step" if lag == 0 else "the lips are late" if lag > 0 else "the lips are early"
    return [
        ("Sync correlation", _decimal(check.correlation, 2), "best within ±200 ms"),
        (
            "With shifted audio",
            _decimal(check.shifted_correlation, 2),
            f"z-score {_decimal(check.z_score, 1)}",
        ),
        ("Lag in frames", _decimal(lag, 0), sense),
    ]


def _details(manifest: Manifest) -> list[Figure]:
    """The rest of the manifest that a person may want."""
    output, options = manifest.output, manifest.job.options
    figures: list[Figure] = [("Engine", options.engine, ""), ("When lengths differ", options.sync_mode, "")]
    if output:
        figures += [
            ("Frames", f"{output.frames} at {_rate(output.fps)} fps", ""),
            ("Codecs", f"{output.video_codec}, {output.audio_codec}", ""),
            ("Size", f"{output.bytes / 1e6:.2f} MB", ""),
        ]
    figures += [
        ("Device", manifest.device or MISSING, ""),
        ("Attempt", f"{manifest.attempt.number}", ""),
        ("Job", manifest.job_id[:12], ""),
    ]
    return figures


def _figure_list(figures: Sequence[Figure]) -> str:
    return "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}"
        + (f"<small>{escape(note)}</small>" if note else "")
        + "</dd></div>"
        for name, value, note in figures
    )


def _seconds_taken(manifest: Manifest) -> float:
    return (manifest.attempt.ended - manifest.attempt.started).total_seconds()


def _total_cost(manifests: Sequence[Manifest]) -> str:
    """Sum of what is known, a currency apart: "USD 0.0031"."""
    totals: dict[str, float] = {}
    for cost in (manifest.cost for manifest in manifests):
        if cost:
            totals[cost.currency] = totals.get(cost.currency, 0.0) + cost.amount
    return ", ".join(f"{currency} {amount:.4f}" for currency, amount in totals.items()) or MISSING


def _rate(fps: str) -> str:
    """A frame rate as people say it: "25/1" is 25, "30000/1001" is 29.97."""
    over, _, under = fps.partition("/")
    return f"{float(over) / float(under or 1):.2f}".rstrip("0").rstrip(".")


def _decimal(value: float | None, places: int) -> str:
    return MISSING if value is None else f"{value:.{places}f}".replace("-", "−")
