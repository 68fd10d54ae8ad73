"""`batches/<batch>/cancel.json`: a person's wish that rows of a batch be not rendered, all of them or those it names."""

from collections.abc import Collection
from datetime import datetime
from functools import cached_property
from typing import Literal, Self

from contract.job import Boundary, RowId


class CancelRequest(Boundary):
    """Rows of one batch that shall not be rendered; those that have ended already stay as they are."""

    schema_version: Literal[1] = 1
    rows: tuple[RowId, ...] | None = None
    """In the order of the alphabet; None: all of the batch."""
    asked: datetime
    """When it was first asked for, in UTC."""

    @cached_property
    def _named(self) -> frozenset[str] | None:
        return None if self.rows is None else frozenset(self.rows)

    def covers(self, row: str) -> bool:
        """Whether this row is among them."""
        return self._named is None or row in self._named

    def with_rows(self, rows: Collection[str] | None) -> Self:
        """This wish and another one; None: all rows."""
        united = None if self.rows is None or rows is None else tuple(sorted({*self.rows, *rows}))
        return self.model_copy(update={"rows": united})
