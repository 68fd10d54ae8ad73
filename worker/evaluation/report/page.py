"""The report's one file, put together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template

from contract.evaluation import INCONCLUSIVE, Compared, Comparison, Evaluation
from contract.figures import Figure
from contract.job import JobOptions
from contract.settings import Settings
from worker.evaluation.compare import Entry
from worker.evaluation.report.plots import COLOURS, Line, over_shift, over_time
from worker.evaluation.report.reels import Reel, close_up, reel
from worker.evaluation.table import number
from worker.faces.track import FaceModels, FaceTracker
from worker.media.audio import read_audio
from worker.media.frame import Frame
from worker.media.limits import Limits

Show = Callable[[str, int, int], None]

SHOWN_CLIPS = 3
"""With players, curves and pictures; of all others the page has the figures."""
SOURCE = "source"
READING = (
    "An interval within one clip comes from resampled blocks of its frames and speaks of that clip only; over clips the clips are resampled. "
    "<b>real</b> is the source with its own audio, <b>do nothing</b> the source under this audio, <b>floor</b> the source encoded again: "
    "what the codec alone does, <b>shuffled</b> audio that says something else. A figure of sync that does not fall under shuffled audio, or does not find an audio "
    "that was moved, is invalid for the clip. Numbers of other papers are hints: they depend on the data set."
)


@dataclass(frozen=True)
class Shown:
    """One clip in the page."""

    id: str
    entry: Entry
    evaluations: Mapping[str, Evaluation]


def report_of_evaluation(found: Evaluation, entry: Entry, show: Show) -> str:
    """The page of one video."""
    (name,) = entry.outputs
    shown = Shown("", entry, {name: found})
    return _page(
        title=f"Evaluation of {found.generated.uri}",
        subtitle=f"{found.task}, {found.frames} frames at 25 fps",
        verdicts=_verdicts({name: found}),
        figures="",
        clips=_clip(shown, f"<h2>Figures</h2>{_table(found)}", show),
        inputs=_inputs([found]),
    )


def report_of_comparison(found: Comparison, entries: Sequence[Entry], show: Show) -> str:
    """The page of several systems: of one clip, or of many, of which the first have players.

    Without `entries` (figures of batches) it has the table alone.
    """
    clips = [
        Shown(
            entry.id,
            entry,
            {name: each for name, each in clip.evaluations.items() if isinstance(each, Evaluation)},
        )
        for clip, entry in zip(found.clips, entries, strict=False)
    ]
    compared = f"<h2>Compared</h2>{_comparison_table(found)}"
    is_one, n = len(clips) == 1, len(found.clips)
    return _page(
        title=" against ".join(found.outputs),
        subtitle=f"{found.task}, {n} clip{'s' if n > 1 else ''}; {found.scope}; % of {escape(found.baseline)}",
        verdicts=_verdicts(clips[0].evaluations) if is_one else "",
        figures="" if is_one else compared,
        clips="".join(_clip(each, compared if is_one else "", show) for each in clips[:SHOWN_CLIPS]),
        inputs=_inputs([evaluation for each in clips for evaluation in each.evaluations.values()]),
    )


def _page(**parts: str) -> str:
    template = Template((files(__package__) / "template.html").read_text(encoding="utf-8"))
    return template.substitute(parts | {"title": escape(parts["title"]), "reading": READING})


def _verdicts(evaluations: Mapping[str, Evaluation]) -> str:
    """A line for each video: whether picture and sound go together, and what its figures suffer from."""
    lines = []
    for name, each in evaluations.items():
        kind = {"in sync": "good", "unknown": "dim"}.get(each.sync.verdict, "bad")
        by = (
            f" <span class='dim'>by {escape(each.metrics[each.sync.by].title)}</span>" if each.sync.by else ""
        )
        lines.append(
            f"<p class='verdict'>{escape(name)}: <b class='{kind}'>{escape(each.sync.words)}</b>{by}</p>"
        )
        lines += [f"<p class='bad'>{escape(name)}: {escape(told.message)}</p>" for told in each.warnings]
    return "".join(lines)


# --- one clip: players, curves, pictures


def _clip(shown: Shown, figures: str, show: Show) -> str:
    reels = _reels(shown, show)
    heading = f"<h2>Clip {escape(shown.id)}</h2>" if shown.id else ""
    own = "".join(_folded(f"All figures of {name}", _table(each)) for name, each in shown.evaluations.items())
    parts = [heading, _players(reels), figures, own if len(shown.evaluations) > 1 else "", _curves(shown)]
    return f"<section class='clip'>{''.join(parts)}{_moments(shown, reels)}</section>"


def _folded(title: str, body: str, is_open: bool = False) -> str:
    return f"<details{' open' if is_open else ''}><summary>{escape(title)}</summary>{body}</details>"


def _reels(shown: Shown, show: Show) -> list[Reel]:
    """The source and every output, small."""
    settings, entry = Settings.read(), shown.entry
    limits, sound = Limits.of(settings), read_audio(entry.audio, Limits.of(settings))
    frames, wanted = next(iter(shown.evaluations.values())).frames, _wanted(shown.evaluations)
    total, as_it_is = 1 + len(entry.outputs), JobOptions(sync_mode="freeze")
    show("players", 0, total)
    all_wanted: set[int] = set().union(*wanted.values())
    reels = [reel(SOURCE, entry.source, frames, entry.options, sound, all_wanted, limits)]
    for done, (name, path) in enumerate(entry.outputs.items(), 1):
        show("players", done, total)
        reels.append(reel(name, path, frames, as_it_is, sound, wanted[name], limits))
    return reels


def _players(reels: Sequence[Reel]) -> str:
    videos = "".join(
        f"<figure><video src='{each.film}' playsinline preload='auto' muted></video>"
        f"<figcaption>{escape(each.name)} <button>listen</button></figcaption></figure>"
        for each in reels
    )
    bar = "<div class='bar'><button class='play'>play</button><input class='seek' type='range' min='0' max='1' step='0.0001' value='0' aria-label='position'><span class='clock dim'></span></div>"
    hint = "<p class='dim'>Space plays, the arrow keys step by a frame, a click on a curve or a picture goes there.</p>"
    return f"<div class='players'>{videos}</div>{bar}{hint}"


def _curves(shown: Shown) -> str:
    first = next(iter(shown.evaluations.values()))
    if first.traces is None:
        return ""
    lips = [
        Line(f"lips, {name}", each.traces.aperture, COLOURS[index % len(COLOURS)])
        for index, (name, each) in enumerate(shown.evaluations.items())
        if each.traces
    ]
    if first.traces.source_aperture:
        lips.append(Line("lips, source", first.traces.source_aperture, "#98a2b3"))
    loud = Line("loudness of the audio (its own scale)", first.traces.loudness, "#475467", is_own_scale=True)
    drawn = over_time([loud, *lips], "lip aperture, over the height of the face")
    return f"<h2>Lips and loudness</h2>{drawn}{_shift_curve(shown)}"


def _shift_curve(shown: Shown) -> str:
    """SyncNet's curve where it was measured, else the correlation of lips and loudness."""
    for name, title, unit in (
        (
            "lse_d",
            "SyncNet: distance over the audio's shift",
            "mean distance; least where picture and sound go together",
        ),
        (
            "lip_correlation",
            "Lips and loudness over the audio's shift",
            "correlation; greatest where picture and sound go together",
        ),
    ):
        lines = [
            Line(video, each.metrics[name].about["curve"], COLOURS[index % len(COLOURS)])
            for index, (video, each) in enumerate(shown.evaluations.items())
            if "curve" in each.metrics[name].about
        ]
        if lines:
            about = next(
                each.metrics[name].about
                for each in shown.evaluations.values()
                if "shifts" in each.metrics[name].about
            )
            return f"<h2>{title}</h2>{over_shift(lines, about['shifts'], f'{unit}; frames of 40 ms, positive: the audio is early')}"
    return ""


def _wanted(evaluations: Mapping[str, Evaluation]) -> dict[str, set[int]]:
    """The frames of each video that are shown: whole ones are kept, so no more than these."""
    return {
        name: {index for figure in found.metrics.values() for _, index in _chosen(figure)}
        for name, found in evaluations.items()
    }


def _chosen(figure: Figure) -> list[tuple[str, int]]:
    """The frames where a figure is worst and best; none of a figure that is no frame's."""
    return [(kind, index) for kind in ("worst", "best") for index in figure.about.get(f"{kind}_frames", ())]


def _moments(shown: Shown, reels: Sequence[Reel]) -> str:
    """The frames where each figure is best and worst: the source's beside the video's."""
    source, models = reels[0], FaceModels.load(Settings.read().weights, 1)

    def pictures(made: Reel, index: int) -> str:
        face = FaceTracker(models, shown.entry.options.face, smooth=False).track(source.frames[index])
        pair: tuple[Frame, Frame] = (source.frames[index], made.frames[index])
        return "".join(f"<img src='{close_up(each, face)}' alt='frame {index}'>" for each in pair)

    def rows(made: Reel) -> str:
        figures = shown.evaluations[made.name].metrics.values()
        cards = {figure.title: "".join(card(made, *each) for each in _chosen(figure)) for figure in figures}
        return "".join(
            f"<h3>{escape(title)}</h3><div class='moments'>{each}</div>"
            for title, each in cards.items()
            if each
        )

    def card(made: Reel, kind: str, index: int) -> str:
        return f"<figure data-frame='{index}'>{pictures(made, index)}<figcaption>{kind}, frame {index}</figcaption></figure>"

    parts = [_folded(made.name, rows(made), is_open=len(reels) == 2) for made in reels[1:]]
    return f"<h2>Worst and best frames <span class='dim'>(source beside video)</span></h2>{''.join(parts)}"


# --- tables


def _table(found: Evaluation) -> str:
    there = {name for each in found.metrics.values() for name in each.controls}
    controls = [name for name in ("real", "do_nothing", "floor", "shuffled") if name in there]
    head = "".join(f"<th>{name.replace('_', ' ')}</th>" for name in controls)
    rows = "".join(_row(each, controls) for each in found.metrics.values() if each.status == "ok")
    return (
        f"<div class='wide'><table><tr><th class='words'></th><th>value</th><th>95 %</th>{head}<th>n</th></tr>{rows}</table></div>"
        f"{_lacking(found)}"
    )


def _row(figure: Figure, controls: Sequence[str]) -> str:
    interval = f"{number(figure.ci95[0])} to {number(figure.ci95[1])}" if figure.ci95 else ""
    cells = "".join(f"<td>{number(figure.controls.get(name))}</td>" for name in controls)
    unit = f" <span class='unit'>{escape(figure.unit)}</span>" if figure.unit else ""
    note = (
        f"<small>{escape(figure.better)} is better{'; ' if figure.hint else ''}{escape(figure.hint)}</small>"
    )
    return (
        f"<tr><td>{escape(figure.title)}{note}</td><td><b>{number(figure.value)}</b>{unit}</td><td>{interval}</td>"
        f"{cells}<td>{figure.n}</td></tr>"
    )


def _lacking(found: Evaluation) -> str:
    """What has no value, an item for each reason."""
    reasons: dict[str, list[str]] = {}
    for each in found.metrics.values():
        if each.status != "ok":
            reasons.setdefault(f"{each.status}: {each.reason}", []).append(each.title)
    items = "".join(
        f"<li>{escape(', '.join(titles))}: {escape(reason)}</li>" for reason, titles in reasons.items()
    )
    return f"<ul class='dim'>{items}</ul>" if items else ""


def _comparison_table(found: Comparison) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in found.outputs)
    rows = "".join(
        _compared_row(each, found.outputs)
        for each in found.comparison.values()
        if any(value is not None for value in each.values.values())
    )
    return (
        f"<div class='wide'><table><tr><th class='words'></th>{head}<th>difference</th><th>95 % of the gain</th><th>improvement</th>"
        f"<th class='words'>winner</th></tr>{rows}</table></div>"
    )


def _compared_row(compared: Compared, outputs: Sequence[str]) -> str:
    values = "".join(f"<td>{number(compared.values[name])}</td>" for name in outputs)
    only = compared.versus[0] if len(compared.versus) == 1 else None
    interval = (
        f"{number(only.gain_ci95[0])} to {number(only.gain_ci95[1])}" if only and only.gain_ci95 else ""
    )
    percent = "" if compared.improvement_pct is None else f"{compared.improvement_pct:+.1f} %"
    reason = next((each.reason for each in compared.versus if each.reason), "")
    kind = "dim" if compared.winner == INCONCLUSIVE else "good"
    why = f"<small>{escape(reason)}</small>" if compared.winner == INCONCLUSIVE and reason else ""
    return (
        f"<tr><td>{escape(compared.title)}<small>{escape(compared.better)} is better</small></td>{values}"
        f"<td>{number(only.difference) if only else ''}</td><td>{interval}</td><td>{percent}</td>"
        f"<td class='words {kind}'><b>{escape(compared.winner)}</b>{why}</td></tr>"
    )


def _inputs(found: Sequence[Evaluation]) -> str:
    """Hashes of what was measured, and by what."""
    records = {(each.sha256, each.uri) for one in found for each in (one.source, one.generated, one.audio)}
    files_ = "".join(
        f"<li>{escape(uri)} <code>{sha256[:16]}</code></li>"
        for sha256, uri in sorted(records, key=lambda r: r[1])
    )
    versions = ", ".join(
        f"{escape(name)} {escape(each)}" for one in found[:1] for name, each in one.versions.items()
    )
    if not found:
        return ""
    return f"<h2>Inputs</h2><ul class='dim'>{files_}</ul><p class='dim'>{versions}</p>"
