"""Many jobs at once: submitted as a CSV or as JSON, listed, looked at row by row, cancelled, retried."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from contract.errors import (
    BadRequest,
    BatchConflict,
    BrokerUnavailable,
    InputTooLarge,
    NotFound,
    RepeatDiffers,
    StoreUnavailable,
)
from producer.api.answers import (
    BatchAnswer,
    BatchesAnswer,
    CancelledAnswer,
    RetriedAnswer,
    SubmittedAnswer,
    batch_links,
    row_answer,
    tokens,
)
from producer.api.bodies import (
    ROWS_BYTES,
    BatchBody,
    BatchName,
    described,
    media_type,
    read_body,
    read_json,
    row_schema,
)
from producer.api.desk import Asking, AtDesk, Desk
from producer.api.problems import documented
from producer.api.repeats import once
from producer.api.rows import Wanted, WantedRows
from producer.api.totals import Listed
from producer.batches import owned
from producer.cancel import cancel_rows
from producer.requeue import requeue_rows
from producer.submit import Submission

router = APIRouter(tags=["batches"])

PAGE_ROWS = 100
MAX_PAGE_ROWS = 1000
PAGE_BATCHES = 20
MAX_PAGE_BATCHES = 100
MAX_OFFSET = 10_000_000
CSV_EXAMPLE = "id,video,audio\nlesson-01,s3://media/lesson-01.mp4,s3://media/es/lesson-01.wav\n"

Offset = Annotated[int, Query(ge=0, le=MAX_OFFSET)]


def _json_schema() -> dict[str, object]:
    schema = BatchBody.model_json_schema()
    schema["properties"]["rows"] = {"type": "array", "minItems": 1, "items": row_schema()}
    return schema


@router.post(
    "/batches",
    status_code=202,
    response_model=SubmittedAnswer,
    responses=documented(BadRequest, BatchConflict, InputTooLarge, RepeatDiffers, StoreUnavailable),
    openapi_extra=described(
        json={"schema": _json_schema()}, csv={"schema": {"type": "string"}, "example": CSV_EXAMPLE}
    ),
    summary="Submit many pairs",
)
async def submit(
    request: Request,
    desk: AtDesk,
    owner: Asking,
    name: Annotated[BatchName | None, Query(description="Of a CSV; JSON has its own.")] = None,
    skip_bad: Annotated[bool, Query(description="Of a CSV: submit the good rows all the same.")] = False,
    webhook_url: Annotated[
        str | None, Query(description="Of a CSV: is told when all rows have ended.")
    ] = None,
) -> Response:
    """A CSV as the body, or rows as JSON. While a row is bad nothing is submitted, unless bad ones are skipped."""
    if media_type(request) == "text/csv":
        csv = await read_body(request, ROWS_BYTES)
        submitter = desk.submitter(owner)
        asked = f"csv {name} {skip_bad} {webhook_url} {hashlib.sha256(csv).hexdigest()}"
        return await _once(
            request, desk, owner, asked, lambda: submitter.table(csv, name, skip_bad, webhook_url)
        )
    if media_type(request) != "application/json":
        raise BadRequest("the body must be a CSV (Content-Type: text/csv) or rows (application/json)")
    body = await read_json(request, BatchBody, ROWS_BYTES)
    submitter = desk.submitter(owner)
    asked = f"json {body.model_dump_json()}"
    return await _once(
        request,
        desk,
        owner,
        asked,
        lambda: submitter.many(body.rows, body.name, body.skip_bad, body.webhook_url),
    )


async def _once(
    request: Request, desk: Desk, owner: str | None, asked: str, submit: Callable[[], Submission]
) -> Response:
    async def work() -> Response:
        done = await desk.services.store(submit)
        return Response(_submitted(owner, done).model_dump_json(), 202, media_type="application/json")

    return await once(desk.services, request, owner, asked, work)


def _submitted(owner: str | None, done: Submission) -> SubmittedAnswer:
    return SubmittedAnswer(
        id=done.batch,
        name=done.batch.removeprefix(owned(owner, "")),
        rows=done.rows,
        already=done.already,
        skipped=[asdict(fault) for fault in done.skipped],
        links=batch_links(done.batch),
    )


@router.get(
    "/batches", responses=documented(BadRequest, StoreUnavailable), summary="Your batches, newest first"
)
async def batches(
    desk: AtDesk,
    owner: Asking,
    jobs: Annotated[bool, Query(description="Also those of one job that was submitted alone.")] = True,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_BATCHES)] = PAGE_BATCHES,
) -> BatchesAnswer:
    """Each with the counts of its rows and what they came to."""

    def look() -> BatchesAnswer:
        single = owned(owner, "job-")
        listed = [each for each in desk.batches.of(owner) if jobs or not each.name.startswith(single)]
        page = listed[offset : offset + limit]
        following = offset + limit
        more = {"jobs": str(jobs).lower(), "offset": str(following), "limit": str(limit)}
        return BatchesAnswer(
            batches=[desk.batches.head(owner, each) for each in page],
            total=len(listed),
            next=tokens("/batches", None, **more) if following < len(listed) else None,
        )

    return await desk.services.store(look)


@router.get(
    "/batches/{batch}",
    responses=documented(NotFound, BadRequest, StoreUnavailable),
    summary="A batch and its rows",
)
async def batch(
    batch: str,
    desk: AtDesk,
    owner: Asking,
    wanted: WantedRows,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_ROWS)] = PAGE_ROWS,
) -> BatchAnswer:
    """Counts and totals of all of its rows, and a page of those that are asked for."""

    def look() -> BatchAnswer:
        return _batch_answer(desk, owner, desk.batches.find(owner, batch), wanted, offset, limit)

    return await desk.services.store(look)


def _batch_answer(
    desk: Desk, owner: str | None, listed: Listed, wanted: Wanted, offset: int, limit: int
) -> BatchAnswer:
    status, _ = desk.batches.look(listed)
    head = desk.batches.head(owner, listed)
    rows = wanted.of(status.rows)
    following = offset + limit
    more = [*wanted.query(), ("offset", str(following)), ("limit", str(limit))]
    return BatchAnswer(
        **dict(head),
        live=status.live,
        items=[row_answer(listed.name, row, desk.token(owner, row.job)) for row in rows[offset:following]],
        matching=len(rows),
        next=f"/batches/{listed.name}?{urlencode(more)}" if following < len(rows) else None,
    )


@router.delete(
    "/batches/{batch}",
    status_code=202,
    responses=documented(NotFound, BadRequest, StoreUnavailable),
    summary="Cancel a batch",
)
async def cancel(batch: str, desk: AtDesk, owner: Asking) -> CancelledAnswer:
    """What waits is not begun, what runs stops within seconds, what has ended keeps its result."""

    def work() -> CancelledAnswer:
        name = desk.batches.find(owner, batch).name
        done = cancel_rows(desk.services.storage, desk.services.ledger, name)
        return CancelledAnswer(
            id=name, running=done.running, waiting=done.waiting, ended=done.ended, told=done.told
        )

    return await desk.services.store(work)


@router.post(
    "/batches/{batch}/retry",
    status_code=202,
    responses=documented(NotFound, BadRequest, BrokerUnavailable),
    summary="Render failed and cancelled rows after all",
)
async def retry(
    batch: str,
    desk: AtDesk,
    owner: Asking,
    code: Annotated[str | None, Query(description="Only rows that ended with this code of error.")] = None,
) -> RetriedAnswer:
    """Attempts are counted from the start again. Rows that have their video keep it."""

    def work() -> RetriedAnswer:
        name = desk.batches.find(owner, batch).name
        done = requeue_rows(desk.services.storage, desk.services.ledger, name, (), code)
        return RetriedAnswer(id=name, requeued=done.requeued)

    return await desk.services.store(work)
