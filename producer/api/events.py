"""A job followed as server-sent events: what it looks like whenever that changes, until it has ended."""

import asyncio
import time
from collections.abc import AsyncIterator

from fastapi import APIRouter
from starlette.responses import StreamingResponse

from contract.errors import NotFound, StoreUnavailable, TemporaryFailure
from producer.api.answers import FINAL
from producer.api.desk import Asking, AtDesk, BatchQuery, Desk
from producer.api.lookup import Found
from producer.api.problems import documented

router = APIRouter(tags=["jobs"])

LOOK_SECONDS = 0.5
BEAT_SECONDS = 15.0
"""A comment so often, for proxies that close what is silent."""


@router.get(
    "/jobs/{job}/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "`progress` events and at last one `end`, each with the job as JSON",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **documented(NotFound, StoreUnavailable),
    },
    summary="Follow a job",
)
async def events(job: str, desk: AtDesk, owner: Asking, batch: BatchQuery = None) -> StreamingResponse:
    """Whoever comes back begins with the job as it stands: a Last-Event-ID is welcome and not needed."""
    found = await desk.lookup.job(owner, job, batch)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_counted(desk, owner, found), media_type="text/event-stream", headers=headers)


async def _counted(desk: Desk, owner: str | None, found: Found) -> AsyncIterator[str]:
    with desk.services.figures.followers.track_inprogress():
        async for each in _follow(desk, owner, found):
            yield each


async def _follow(desk: Desk, owner: str | None, found: Found) -> AsyncIterator[str]:
    """Events until the job has ended, or this process ends: browsers come back by themselves."""
    told, number, beat = "", 0, time.monotonic()
    while not desk.services.stopping.is_set():
        try:
            answer = await desk.answer(owner, found)
        except TemporaryFailure:  # the store is away: what it knows can wait
            answer = None
        if answer and (body := answer.model_dump_json()) != told:
            told, number, beat = body, number + 1, time.monotonic()
            is_end = answer.state in FINAL
            yield f"event: {'end' if is_end else 'progress'}\nid: {number}\ndata: {body}\n\n"
            if is_end:
                return
        elif time.monotonic() - beat > BEAT_SECONDS:
            beat = time.monotonic()
            yield ": still here\n\n"
        await _pause(desk.services.stopping)


async def _pause(stopping: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            await stopping.wait()
    except TimeoutError:
        return
