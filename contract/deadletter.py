"""`dead/<batch>/<row>`: one failed row, for whoever looks for failures without reading every manifest."""

from typing import Literal

from contract.job import Boundary


class DeadLetter(Boundary):
    """Why a row has no output, and where its attempts' logs lie. Derived from its manifest, which is the truth."""

    schema_version: Literal[1] = 1
    job: str
    code: str
    message: str
    attempts: tuple[str, ...] = ()
    """Keys of the logs, one of each attempt that left one."""
