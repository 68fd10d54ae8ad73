"""The files of a job: its video, what it was made of, the curves of its sync check, and what its attempts said."""

import re
import threading
from collections.abc import AsyncIterator, Generator
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from contract.errors import NotFound, NotReady, RangeUnsatisfiable, StoreUnavailable
from contract.job import Source
from contract.manifest import Curves, Manifest
from contract.storage import StoredObject
from producer.api.desk import Asking, AtDesk, BatchQuery, Desk
from producer.api.lookup import Found
from producer.api.problems import documented, problem
from producer.api.services import Services
from producer.kinds import kind_of
from producer.show import show

router = APIRouter(tags=["files"])

LINK_SECONDS = 3600
"""For so long an address of the store can be read from."""
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_BYTES: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_FILES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file", "content": {"*/*": _BYTES}},
    206: {"description": "The part of it that was asked for", "content": {"*/*": _BYTES}},
    302: {"description": "It lies there, for an hour"},
    304: {"description": "It is what the client has"},
    **documented(NotFound, NotReady, RangeUnsatisfiable, StoreUnavailable),
}

Streamed = Annotated[bool, Query(description="From here, in ranges, instead of by a redirect to the store.")]


class LogLineAnswer(BaseModel):
    """One line of an attempt's log."""

    time: str
    level: str
    message: str


class AttemptAnswer(BaseModel):
    """What one attempt left."""

    id: str
    number: int | None
    outcome: str
    error: str | None
    log: list[LogLineAnswer]


class LogAnswer(BaseModel):
    """What the attempts at a job said: the ends of their logs."""

    id: str
    attempts: list[AttemptAnswer]


@router.get("/jobs/{job}/result", response_class=Response, responses=_FILES, summary="The video")
async def result(
    request: Request,
    job: str,
    desk: AtDesk,
    owner: Asking,
    batch: BatchQuery = None,
    stream: Streamed = False,
) -> Response:
    """A redirect to the store, or with `stream=1` the video itself."""
    found = await desk.lookup.job(owner, job, batch)
    standing = await desk.lookup.standing(found)
    made = standing.manifest.output if standing.manifest else None
    if made is None:
        raise NotReady(f"the job has no video: it is {standing.row.state}")
    if not stream:
        return _redirect(desk.services, made.key, f"{found.row}.mp4", "video/mp4")
    return await _file(request, desk.services, made.key, "video/mp4", made.sha256)


@router.get(
    "/jobs/{job}/source", response_class=Response, responses=_FILES, summary="The video it was made of"
)
async def source(
    request: Request, job: str, desk: AtDesk, owner: Asking, batch: BatchQuery = None, redirect: bool = False
) -> Response:
    """The input as it was submitted, in ranges; with `redirect=1` a redirect to the store."""
    found = await desk.lookup.job(owner, job, batch)
    return await _input(request, desk, found, found.job.video, redirect)


@router.get(
    "/jobs/{job}/audio", response_class=Response, responses=_FILES, summary="The audio it was made of"
)
async def audio(
    request: Request, job: str, desk: AtDesk, owner: Asking, batch: BatchQuery = None, redirect: bool = False
) -> Response:
    """The input as it was submitted, in ranges; with `redirect=1` a redirect to the store."""
    found = await desk.lookup.job(owner, job, batch)
    return await _input(request, desk, found, found.job.audio, redirect)


async def _input(request: Request, desk: Desk, found: Found, source: Source, redirect: bool) -> Response:
    kind = kind_of(source.uri)
    if not source.uri.startswith("s3://"):
        return RedirectResponse(source.uri, 302)
    if redirect:
        return _redirect(desk.services, source.uri, source.uri.rpartition("/")[2], kind)
    return await _file(request, desk.services, source.uri, kind, source.sha256)


@router.get(
    "/jobs/{job}/curves",
    response_model=Curves,
    responses=documented(NotFound, NotReady, StoreUnavailable),
    summary="Lips against loudness",
)
async def curves(job: str, desk: AtDesk, owner: Asking, batch: BatchQuery = None) -> Response:
    """What the sync check compared, one value a frame of the video."""
    found = await desk.lookup.job(owner, job, batch)
    manifest = (await desk.lookup.standing(found)).manifest
    key = manifest.sync_check.curves_key if manifest and manifest.sync_check else None
    body = await desk.services.store(desk.services.storage.get, key) if key else None
    if body is None:
        raise NotReady("the job has no curves: it has no video yet, or its sync could not be checked")
    return Response(body, media_type="application/json")


@router.get(
    "/jobs/{job}/manifest",
    response_model=Manifest,
    responses=documented(NotFound, NotReady, StoreUnavailable),
    summary="All that is known of a job that has ended",
)
async def manifest(job: str, desk: AtDesk, owner: Asking, batch: BatchQuery = None) -> Response:
    """What was made, from what, by what, how well and at what cost; or why not."""
    found = await desk.lookup.job(owner, job, batch)
    ended = (await desk.lookup.standing(found)).manifest
    if ended is None:
        raise NotReady("the job has no manifest: it has not ended")
    return Response(ended.model_dump_json(), media_type="application/json")


@router.get(
    "/jobs/{job}/log", responses=documented(NotFound, StoreUnavailable), summary="What its attempts said"
)
async def log(job: str, desk: AtDesk, owner: Asking, batch: BatchQuery = None) -> LogAnswer:
    """The last lines of each attempt's log, without tracebacks."""
    found = await desk.lookup.job(owner, job, batch)
    services = desk.services
    view = await services.store(show, services.storage, services.ledger, found.batch, found.row)
    return LogAnswer(
        id=found.id,
        attempts=[
            AttemptAnswer(
                id=each.id,
                number=each.number,
                outcome=each.outcome,
                error=each.error,
                log=[
                    LogLineAnswer(**{k: v for k, v in asdict(line).items() if k != "traceback"})
                    for line in each.log
                ],
            )
            for each in view.attempts
        ],
    )


def _redirect(services: Services, address: str, name: str, kind: str) -> Response:
    url = services.storage.url_to_read(address, LINK_SECONDS, name, kind)
    return RedirectResponse(url, 302, {"Cache-Control": "no-store"})


async def _file(
    request: Request, services: Services, address: str, kind: str, sha256: str | None
) -> Response:
    """An object of the store, or the part of it that is asked for."""
    found = await services.store(services.storage.stat, address)
    if found is None:
        raise NotFound("the file is not in the store any more")
    tag = f'"{sha256 or found.etag}"'
    headers = {
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=3600",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    try:
        asked = _range(request, found, tag)
    except RangeUnsatisfiable as error:
        return problem(error, {"Content-Range": f"bytes */{found.bytes}"})
    start, end = asked or (0, found.bytes)
    headers["Content-Length"] = str(end - start)
    if asked:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{found.bytes}"
    body = _Stream(services, services.storage.read(address, start, end))
    await body.begin()
    return StreamingResponse(body.chunks(), 206 if asked else 200, headers, kind)


def _range(request: Request, found: StoredObject, tag: str) -> tuple[int, int] | None:
    """First byte and the one behind the last; None: all of it. Of several ranges none is served.

    Raises:
        RangeUnsatisfiable: the file ends before it begins.
    """
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    if asked is None or not any(asked.groups()) or request.headers.get("if-range", tag) != tag:
        return None
    first, last = asked.groups()
    start = int(first) if first else max(0, found.bytes - int(last))
    end = min(int(last) + 1, found.bytes) if first and last else found.bytes
    if first and last and int(last) < int(first):
        return None
    if start >= end:
        raise RangeUnsatisfiable(f"the file has {found.bytes:,} bytes")
    return start, end


class _Stream:
    """Reads from the store in threads, a chunk at a time; a slow client holds no thread."""

    def __init__(self, services: Services, chunks: Generator[bytes, None, None]) -> None:
        self._services = services
        self._chunks = chunks
        self._lock = threading.Lock()
        self._first: bytes | None = None

    async def begin(self) -> None:
        """Read the first chunk, so that what the store refuses is answered as a problem."""
        self._first = await self._services.store(self._next)

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            chunk, self._first = self._first, None
            while chunk is not None:
                yield chunk
                chunk = await self._services.store(self._next)
        finally:
            await self._services.store(self._close)

    def _next(self) -> bytes | None:
        with self._lock:
            return next(self._chunks, None)

    def _close(self) -> None:
        with self._lock:
            self._chunks.close()
