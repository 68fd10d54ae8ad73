"""Rows of a batch as a caller wants them: in some states, with some text, in some order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, Query

from producer.status import STATES, RowState, RowStatus

Order = Literal[
    "row", "state", "frames", "attempts", "error", "-row", "-state", "-frames", "-attempts", "-error"
]
"""By what rows are sorted; with a hyphen the other way round."""
_ORDERS: dict[str, Callable[[RowStatus], Any]] = {
    "row": lambda row: row.id.casefold(),
    "state": lambda row: STATES.index(row.state),
    "frames": lambda row: row.frames,
    "attempts": lambda row: row.attempts,
    "error": lambda row: row.error or "",
}


@dataclass(frozen=True)
class Wanted:
    """Which rows, and in which order."""

    states: frozenset[RowState]
    """Empty: all."""
    text: str
    """Part of the row's id, the job's or the error's code, in whatever case."""
    order: Order | None
    """None: the batch's own."""

    def of(self, rows: Sequence[RowStatus]) -> list[RowStatus]:
        """Those of the rows that are wanted."""
        text = self.text.casefold()
        found = [row for row in rows if self._has_state(row) and _has_text(row, text)]
        if self.order is None:
            return found
        return sorted(found, key=_ORDERS[self.order.lstrip("-")], reverse=self.order.startswith("-"))

    def _has_state(self, row: RowStatus) -> bool:
        return not self.states or row.state in self.states

    def query(self) -> list[tuple[str, str]]:
        """The same as parts of an address."""
        states = [("state", each) for each in sorted(self.states)]
        return states + [(k, v) for k, v in (("text", self.text), ("sort", self.order)) if v]


def _has_text(row: RowStatus, text: str) -> bool:
    return not text or any(text in each for each in (row.id.casefold(), row.job, row.error or ""))


def _wanted(
    state: Annotated[
        list[RowState] | None, Query(description=f"Only rows in one of these: {', '.join(STATES)}.")
    ] = None,
    text: Annotated[
        str,
        Query(max_length=200, description="Only rows with that in their id, or their job's, or their error."),
    ] = "",
    sort: Annotated[Order | None, Query(description="Without it: the order of the batch.")] = None,
) -> Wanted:
    return Wanted(frozenset(state or ()), text, sort)


WantedRows = Annotated[Wanted, Depends(_wanted)]
