"""Requests that are no forms: JSON, and a CSV as it is. They are read within bounds, and described to OpenAPI."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, RootModel, StringConstraints, ValidationError
from starlette.requests import Request

from contract.errors import BadRequest
from contract.job import Boundary, JobOptions, Priority, Sha256
from producer.api.intake import body_of
from producer.api.problems import in_words
from producer.cells import MAX_MINUTES
from producer.table import COLUMNS, REQUIRED

M = TypeVar("M", bound=BaseModel)

JSON_BYTES = 64 * 2**10
"""Most of a request about one job."""
ROWS_BYTES = 16 * 2**20
"""Most of a batch: some hundred thousand rows."""

Cell = str | int | float | None
Cells = dict[str, Cell]
"""A row of a CSV as JSON: the columns by name, empty or null where the default is meant."""
BatchName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$")]


class RowBody(RootModel[Cells]):
    """A row; its columns are looked at where those of all rows are."""


class BatchBody(Boundary):
    """Rows to submit together."""

    name: BatchName | None = None
    """Without it: made of the rows, so that the same rows are the same batch."""
    skip_bad: bool = False
    webhook_url: str | None = None
    """Is told when all rows have ended."""
    rows: Annotated[list[Cells], Field(min_length=1)]


class UploadBody(Boundary):
    """A file that the client will put into the store itself."""

    filename: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    bytes: Annotated[int, Field(gt=0)]
    sha256: Sha256 | None = None


async def read_json(request: Request, model: type[M], limit_bytes: int = JSON_BYTES) -> M:
    """The body as the model says.

    Raises:
        BadRequest: it is something else.
        InputTooLarge: it is longer than the limit.
    """
    try:
        return model.model_validate_json(await read_body(request, limit_bytes))
    except ValidationError as error:
        raise BadRequest("; ".join(in_words(each) for each in error.errors()[:20])) from error


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The body whole."""
    return b"".join([chunk async for chunk in body_of(request, limit_bytes)])


def media_type(request: Request) -> str:
    """What the client calls its body, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def text_of(cells: Mapping[str, Cell]) -> dict[str, str]:
    """The same row as the cells of a CSV."""
    return {name: "" if value is None else str(value).strip() for name, value in cells.items()}


def _columns() -> dict[str, Any]:
    options = JobOptions.model_json_schema()["properties"]
    special = {
        "id": {"type": "string", "maxLength": 200, "description": "Name of the output; else the two stems."},
        "priority": {"type": "string", "enum": list(Priority.__args__), "default": "normal"},  # type: ignore[attr-defined]
        "time_limit": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": MAX_MINUTES,
            "description": "Minutes that one attempt may take.",
        },
    }
    return {name: special.get(name) or options.get(name) or {"type": "string"} for name in COLUMNS}


def row_schema(**files: Any) -> dict[str, Any]:
    """A row for OpenAPI; `files`: columns that are something else than an address."""
    address = {
        "type": "string",
        "examples": ["s3://media/face.mp4"],
        "description": "s3://bucket/key or https://host/path",
    }
    columns = {name: _without_null(each) for name, each in _columns().items()} if files else _columns()
    properties = {**columns, **dict.fromkeys(REQUIRED, address), **files}
    return {
        "type": "object",
        "required": list(REQUIRED),
        "additionalProperties": False,
        "properties": properties,
    }


def _without_null(column: dict[str, Any]) -> dict[str, Any]:
    """The same for a form, where nothing but leaving it out means nothing."""
    kinds = [each for each in column.get("anyOf", ()) if each != {"type": "null"}]
    return {**column, "anyOf": kinds} if kinds else column


def described(**contents: dict[str, Any]) -> dict[str, Any]:
    """A request's body for OpenAPI, by media type (`json`, `csv`, `form`)."""
    types = {"json": "application/json", "csv": "text/csv", "form": "multipart/form-data"}
    return {
        "requestBody": {"required": True, "content": {types[kind]: each for kind, each in contents.items()}}
    }
