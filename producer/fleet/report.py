"""What a fleet tells, and counts: a line for each change and one of how it stands; for scripts the same as JSON, an object a line."""

import time
from collections import Counter
from dataclasses import asdict
from typing import Any

from rich.text import Text

from contract.metrics import FleetMetrics
from producer.commands import console_for, tell
from producer.fleet.fleet import Change, Standing, What
from producer.screen import clock, count

STANDING_SECONDS = 10.0
"""Between two lines of how the fleet stands, when nothing but that has changed."""
_STYLES: dict[What, str] = {
    "started": "green",
    "draining": "yellow",
    "ended": "yellow",
    "crash loop": "bold red",
    "refused": "bold red",
    "away": "bold red",
}


class Report:
    """Tells what has changed, and nothing twice."""

    def __init__(self, as_json: bool, metrics: FleetMetrics) -> None:
        self._as_json = as_json
        self._metrics = metrics
        self._told: tuple[Any, ...] = ()
        self._told_at = float("-inf")
        self._waits = False

    def tell(self, standing: Standing) -> None:
        """All changes of a look; how the fleet stands, where that has changed, and not too often."""
        self._waits = False
        loops = sum(each.what == "crash loop" for each in standing.changes)
        self._metrics.looked((each.state for each in standing.members), loops, standing.done_in_seconds)
        for each in standing.changes:
            tell(change_text(each), {"change": each.what, **_without(asdict(each), "what")}, self._as_json)
        stands = (_states(standing), standing.load.jobs)
        is_due = time.monotonic() - self._told_at >= STANDING_SECONDS or bool(standing.changes)
        if stands != self._told and is_due:
            self._told, self._told_at = stands, time.monotonic()
            tell(standing_text(standing), {"standing": record(standing)}, self._as_json)

    def waits(self, reason: str) -> None:
        """Say that nothing can be decided now; once, until it can again."""
        if not self._waits:
            console_for(as_json=True).print(Text(f"the fleet waits: {reason}", "yellow"), soft_wrap=True)
        self._waits = True


def change_text(change: Change) -> Text:
    """One line, and below it the end of a log."""
    where = f"{change.slot} of {change.host}" if change.slot else change.host
    words = [change.what, where, change.worker or "", change.note]
    line = Text(
        ": ".join(filter(None, (" ".join(filter(None, words[:3])), change.note))),
        _STYLES.get(change.what, ""),
    )
    return Text("\n").join([line, *(Text(f"    {each}", "dim") for each in change.log)])


def standing_text(standing: Standing) -> Text:
    """3 workers (2 busy, 1 idle) · 17 jobs to do · 12.0 s a job · 600 jobs an hour · done in 1:08."""
    load, states = standing.load, _states(standing)
    doing = ", ".join(f"{number} {state}" for state, number in states.items())
    workers = count(len(standing.members), "worker") + (f" ({doing})" if doing else "")
    parts = [workers]
    parts += [f"{count(load.others, 'worker')} of others"] if load.others else []
    parts += [f"{count(load.jobs, 'job')} to do"]
    parts += [f"{load.seconds_per_job:.1f} s a job{' (assumed)' if load.assumed else ''}"]
    parts += [f"{load.jobs_per_hour:,.0f} jobs an hour"] if load.jobs_per_hour else []
    ends = standing.done_in_seconds
    parts += [f"done in {clock(ends)}" if ends is not None else "nobody is at it"] if load.jobs else []
    return Text(" · ".join(parts))


def record(standing: Standing) -> dict[str, Any]:
    """How the fleet stands, for a script."""
    return {
        "workers": [asdict(each) for each in standing.members],
        **asdict(standing.load),
        "done_in_seconds": standing.done_in_seconds,
    }


def _states(standing: Standing) -> dict[str, int]:
    found = Counter(each.state for each in standing.members)
    return {state: found[state] for state in ("busy", "idle", "starting", "leaving") if found[state]}


def _without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}
