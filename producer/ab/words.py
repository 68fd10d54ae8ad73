"""What `dubline ab` shows to a person, and the results as CSV."""

import csv
from collections.abc import Iterator
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from contract.errors import ConfigurationError
from producer.ab.count import Count
from producer.ab.make import Made
from producer.ab.sign import Sign
from producer.screen import DASH, count

RESULT_COLUMNS = ("pair", "row", "rater", "vote", "preferred", "voted_at", "seconds_watched")
SMALLEST_P = 0.0001
"""That is told as a number."""


def made_text(made: Made) -> Text:
    """Where a study lies, what is not in it, and what to do with it."""
    study = made.drawn.study
    lines = [f"{count(len(study.pairs), 'pair')}: {study.a.name} against {study.b.name}"]
    if made.drawn.before:
        lines[0] += ", as drawn before"
    lines += [f"left out: {count(len(rows), 'row')} {reason}" for reason, rows in made.drawn.left_out.items()]
    text = Text("\n".join(lines))
    if others := made.drawn.other_sources:
        text.append(
            f"\n{count(len(others), 'pair')} made from different source videos: {', '.join(others[:5])}",
            "yellow",
        )
    text.append(f"\nfor raters, the whole folder: {made.page.parent}")
    text.append(f"\nthe key, not for raters: {made.key}")
    return text.append(f"\nwhen votes are back: dubline ab count VOTES.csv... --key {made.key}", "dim")


def count_picture(counted: Count) -> RenderableType:
    """The verdict, and the figures that it rests on."""
    study, sign = counted.study, counted.by_pair
    table = Table(box=SIMPLE_HEAD)
    table.add_column("")
    for heading in (study.a.name, study.b.name, "ties", f"share of {study.a.name}", "95 % interval", "p"):
        table.add_column(heading, justify="right")
    table.add_row("pairs, by majority", *_cells(sign), style="bold", end_section=True)
    for name, of_rater in counted.by_rater.items():
        table.add_row(Text(name), *_cells(of_rater))
    table.add_section()
    table.add_row("all votes (not independent)", *_cells(counted.by_vote), style="dim")
    notes = [Text(each, "dim") for each in _notes(counted)] + [
        Text(each, "yellow") for each in _warnings(counted)
    ]
    return Group(_verdict(counted), table, *notes)


def _verdict(counted: Count) -> Text:
    sign = counted.by_pair
    p = _p(sign) if sign.p < SMALLEST_P else f"= {_p(sign)}"
    basis = f"(p {p} over {count(sign.decided, 'pair')})"
    if counted.winner:
        return Text(f"winner: {counted.winner} {basis}", "bold green")
    return Text(f"inconclusive {basis}", "bold yellow")


def _cells(sign: Sign) -> tuple[str, ...]:
    wins = f"{sign.a:,}", f"{sign.b:,}", f"{sign.ties:,}"
    if sign.share is None or sign.interval is None:
        return (*wins, DASH, DASH, DASH)
    low, high = sign.interval
    return (*wins, f"{100 * sign.share:.0f} %", f"{100 * low:.0f} to {100 * high:.0f} %", _p(sign))


def _p(sign: Sign) -> str:
    """Two digits, and never 0."""
    if sign.p < SMALLEST_P:
        return f"< {SMALLEST_P}"
    return f"{sign.p:.2f}" if sign.p >= 0.1 else f"{sign.p:.2g}"


def _notes(counted: Count) -> Iterator[str]:
    sides = counted.sides
    yield (
        f"{count(len(counted.seen), 'vote')} of {count(len(counted.by_rater), 'rater')}: "
        f"{sides['left']:,} left, {sides['right']:,} right, {sides['none']:,} no difference"
    )
    yield "a pair goes to the system that more raters preferred; p: exact two-sided sign test, ties left out"
    yield "interval: Clopper-Pearson"


def _warnings(counted: Count) -> Iterator[str]:
    if counted.replaced:
        yield f"{count(counted.replaced, 'vote')} given again by the same rater for the same pair: the last counts"
    if counted.glances:
        yield f"{count(counted.glances, 'vote')} given after less than a second of watching"
    if counted.unvoted:
        yield f"{count(len(counted.unvoted), 'pair')} of {len(counted.study.pairs):,} without a vote"


def write_results(counted: Count, path: Path) -> None:
    """One line a vote, with the name of the system that it was for; empty where it was for none.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(RESULT_COLUMNS)
            for each in counted.seen:
                vote, preferred = each.vote, each.preferred
                name = counted.study.name_of(preferred) if preferred else ""
                time = vote.voted_at.isoformat()
                writer.writerow(
                    (vote.pair, each.row, vote.rater, vote.vote, name, time, vote.seconds_watched)
                )
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}; choose another file with --csv"
        ) from error
