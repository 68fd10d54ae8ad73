"""One job: submitted with its files or by reference, looked at, cancelled, retried."""

import json

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from contract.errors import (
    BadRequest,
    BrokerUnavailable,
    EmptyInput,
    InputForbidden,
    InputNotFound,
    InputTooLarge,
    NotFound,
    RepeatDiffers,
    SourceUnsupported,
    StoreUnavailable,
)
from producer.api.answers import JobAnswer, UploadAnswer
from producer.api.bodies import RowBody, UploadBody, described, read_json, row_schema, text_of
from producer.api.desk import Asking, AtDesk, BatchQuery, Desk, as_json
from producer.api.intake import cells_of
from producer.api.lookup import Found
from producer.api.problems import documented
from producer.api.repeats import once
from producer.api.submitting import single_name
from producer.api.uploads import direct_upload
from producer.cancel import cancel_rows
from producer.cells import refuse_size
from producer.kinds import KINDS, suffix_of
from producer.requeue import requeue_rows
from producer.table import COLUMNS, REQUIRED

router = APIRouter(tags=["jobs"])

FILE = {"type": "string", "format": "binary"}
ROW_EXAMPLE = {"video": "s3://media/face.mp4", "audio": "s3://media/voice.wav", "sync_mode": "loop"}
SUBMITTING = documented(
    BadRequest, EmptyInput, InputTooLarge, SourceUnsupported, RepeatDiffers, StoreUnavailable
)


@router.get(
    "/jobs/{job}",
    response_model=JobAnswer,
    responses=documented(NotFound, BadRequest, StoreUnavailable),
    summary="Where a job stands",
)
async def job(job: str, desk: AtDesk, owner: Asking, batch: BatchQuery = None) -> Response:
    """A job, its progress, and what was made of it."""
    found = await desk.lookup.job(owner, job, batch)
    return as_json(await desk.answer(owner, found))


@router.post(
    "/generate",
    status_code=202,
    response_model=JobAnswer,
    responses=SUBMITTING,
    openapi_extra=described(form={"schema": row_schema(video=FILE, audio=FILE)}),
    summary="Submit a video and an audio",
)
async def generate(request: Request, desk: AtDesk, owner: Asking) -> Response:
    """Files of a form, in any order, beside the columns of a CSV as fields. The files stream into the store."""
    fields = [name for name in COLUMNS if name not in REQUIRED]
    form = await desk.intake.receive(request, REQUIRED, fields)
    missing = [name for name in REQUIRED if name not in form.files]
    if missing:
        raise BadRequest(f"the form has no file {' and no file '.join(map(repr, missing))}")
    return await _submit(request, desk, owner, dict(cells_of(form)))


@router.post(
    "/jobs",
    status_code=202,
    response_model=JobAnswer,
    responses=SUBMITTING | documented(InputNotFound, InputForbidden),
    openapi_extra=described(json={"schema": row_schema(), "example": ROW_EXAMPLE}),
    summary="Submit a video and an audio by their addresses",
)
async def by_reference(request: Request, desk: AtDesk, owner: Asking) -> Response:
    """One row of a CSV as JSON."""
    cells = text_of((await read_json(request, RowBody)).root)
    return await _submit(request, desk, owner, cells)


async def _submit(request: Request, desk: Desk, owner: str | None, cells: dict[str, str]) -> Response:
    async def work() -> Response:
        row = await desk.services.store(desk.submitter(owner).one, cells)
        found = desk.lookup.remember(owner, single_name(owner, row.job.id), row)
        return as_json(await desk.answer(owner, found), 202)

    asked = json.dumps(cells, sort_keys=True)
    return await once(desk.services, request, owner, asked, work)


@router.post(
    "/uploads",
    status_code=201,
    response_model=UploadAnswer,
    responses=SUBMITTING,
    openapi_extra=described(
        json={
            "schema": UploadBody.model_json_schema(),
            "example": {"filename": "face.mp4", "bytes": 2_000_000_000},
        }
    ),
    summary="Get an address to put a large file to",
)
async def upload(request: Request, desk: AtDesk, owner: Asking) -> Response:
    """The file goes straight into the store; then name its `reference` in POST /jobs."""
    body = await read_json(request, UploadBody)
    suffix = suffix_of(body.filename)
    refuse_size(body.filename, body.bytes, desk.services.settings)

    async def work() -> Response:
        answer = direct_upload(desk.services.storage, suffix, body.bytes, KINDS[suffix])
        return Response(answer.model_dump_json(), 201, media_type="application/json")

    return await once(desk.services, request, owner, body.model_dump_json(), work)


@router.delete(
    "/jobs/{job}",
    status_code=202,
    response_model=JobAnswer,
    responses=documented(NotFound, BadRequest, StoreUnavailable),
    summary="Cancel a job",
)
async def cancel(job: str, desk: AtDesk, owner: Asking, batch: BatchQuery = None) -> Response:
    """What waits is not begun, what runs stops within seconds, what has ended keeps its result."""
    found = await desk.lookup.job(owner, job, batch)
    services = desk.services
    await services.store(cancel_rows, services.storage, services.ledger, found.batch, [found.row])
    return await _changed(desk, owner, found)


@router.post(
    "/jobs/{job}/retry",
    status_code=202,
    response_model=JobAnswer,
    responses=documented(NotFound, BadRequest, BrokerUnavailable),
    summary="Render a failed or cancelled job after all",
)
async def retry(job: str, desk: AtDesk, owner: Asking, batch: BatchQuery = None) -> Response:
    """Attempts are counted from the start again. A job that has its video keeps it."""
    found = await desk.lookup.job(owner, job, batch)
    services = desk.services
    await services.store(requeue_rows, services.storage, services.ledger, found.batch, [found.row])
    return await _changed(desk, owner, found)


async def _changed(desk: Desk, owner: str | None, found: Found) -> Response:
    desk.lookup.forget(found)
    return as_json(await desk.answer(owner, found), 202)
