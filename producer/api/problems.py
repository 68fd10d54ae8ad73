"""What is answered where something is wrong: application/problem+json (RFC 9457) with the stable codes of contract/errors.py."""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from contract.errors import (
    BadRequest,
    BatchConflict,
    ConfigurationError,
    DublineError,
    Fault,
    InputRejected,
    InputTooLarge,
    MethodNotAllowed,
    NotFound,
    NotReady,
    RangeUnsatisfiable,
    RequestForbidden,
    Stalled,
    TemporaryFailure,
    TooManyRequests,
    Unauthenticated,
)

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
STATUS: Mapping[type[DublineError], HTTPStatus] = {
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    RequestForbidden: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    MethodNotAllowed: HTTPStatus.METHOD_NOT_ALLOWED,
    Stalled: HTTPStatus.REQUEST_TIMEOUT,
    BatchConflict: HTTPStatus.CONFLICT,
    NotReady: HTTPStatus.CONFLICT,
    InputTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    RangeUnsatisfiable: HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    InputRejected: HTTPStatus.UNPROCESSABLE_ENTITY,
    TemporaryFailure: HTTPStatus.SERVICE_UNAVAILABLE,
    ConfigurationError: HTTPStatus.INTERNAL_SERVER_ERROR,
    DublineError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""Of an error the status of the nearest class above it: the one place where codes and statuses meet."""
RETRY_SECONDS = 5
"""What is said of a service that is away."""


class ProblemRow(BaseModel):
    """One thing that is wrong with one row, from 1; of a CSV its line."""

    line: int
    code: str
    message: str


class Problem(BaseModel):
    """Why a request was not done. `code` is stable: rely on it, and show `detail` to people."""

    type: str = Field(examples=["urn:dubline:not_found"])
    title: str = Field(examples=["No such batch or job."])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["there is no batch 'nightly'"])
    code: str = Field(examples=["not_found"])
    errors: list[ProblemRow] = []


def status_of(error: DublineError) -> HTTPStatus:
    """The status that an error is answered with."""
    return next(STATUS[each] for each in type(error).__mro__ if each in STATUS)


def problem(error: DublineError, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a request that met this error."""
    status = status_of(error)
    said = Problem(
        type=f"urn:dubline:{error.code}",
        title=(type(error).__doc__ or error.code).partition("\n")[0],
        status=status,
        detail=error.message,
        code=error.code,
        errors=_rows(error.faults if isinstance(error, BadRequest) else ()),
    )
    return Response(said.model_dump_json(), status, {**_headers(error), **(headers or {})}, MEDIA_TYPE)


def _rows(faults: Sequence[Fault]) -> list[ProblemRow]:
    return [ProblemRow(line=each.line, code=each.code, message=each.message) for each in faults]


def _headers(error: DublineError) -> dict[str, str]:
    if isinstance(error, Unauthenticated):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, TooManyRequests):
        return {"Retry-After": str(max(1, math.ceil(error.after_seconds)))}
    if status_of(error) == HTTPStatus.SERVICE_UNAVAILABLE:
        return {"Retry-After": str(RETRY_SECONDS)}
    return {}


async def on_error(request: Request, error: Exception) -> Response:
    """Of our own errors; what a person must mend is logged, and told to nobody else."""
    assert isinstance(error, DublineError)  # noqa: S101 - registered for no other
    if isinstance(error, ConfigurationError):
        logger.error("%s %s: %s", request.method, request.url.path, error.message)
        return problem(ConfigurationError("the server is not set up rightly; its log says more"))
    return problem(error)


async def on_invalid(request: Request, error: Exception) -> Response:
    """Of a parameter that FastAPI refuses."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for no other
    return problem(BadRequest("; ".join(map(in_words, error.errors()))))


def in_words(fault: Mapping[str, Any]) -> str:
    """What pydantic says is wrong, and where."""
    where = ".".join(str(each) for each in fault["loc"] if each not in ("query", "path", "body", "header"))
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


async def on_http(request: Request, error: Exception) -> Response:
    """Of what the framework finds: no such address, no such method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for no other
    if error.status_code == HTTPStatus.NOT_FOUND:
        return problem(NotFound("there is nothing at this address; /openapi.json lists what there is"))
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        refused = MethodNotAllowed(f"{request.method} is no method of this address")
        return problem(refused, error.headers)
    return problem(BadRequest(str(error.detail)), error.headers)


async def on_defect(request: Request, error: Exception) -> Response:
    """Of our own mistakes: the server logs the traceback, the client learns that it was not the request."""
    return problem(DublineError("this is a defect of the server; its log says more"))


def documented(*errors: type[DublineError]) -> dict[int | str, dict[str, Any]]:
    """How OpenAPI tells that an address answers with these errors."""
    statuses = sorted({status_of(each("")) for each in errors})
    schema = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        int(each): {"description": each.phrase, "content": json.loads(json.dumps(schema))}
        for each in statuses
    }
