"""The server itself: is it well, what does it count, which version is it; and what would a job cost."""

from dataclasses import asdict
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Query
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.responses import Response

from contract.errors import BadRequest, BrokerUnavailable, StoreUnavailable
from contract.job import EngineName
from producer.api.desk import AtDesk
from producer.api.problems import documented
from producer.estimate import estimate_lengths

router = APIRouter(tags=["server"])

MAX_SECONDS = 10_000_000
MAX_JOBS = 1_000_000


class HealthAnswer(BaseModel):
    """It is well."""

    status: str = "ok"


class VersionAnswer(BaseModel):
    """What answers here."""

    name: str = "dubline"
    version: str
    key_needed: bool
    """All else answers only to those who have a key."""


class OptionsAnswer(BaseModel):
    """What this server is set to, where a request says nothing; the columns themselves are in /openapi.json."""

    engine: EngineName
    max_input_bytes: int


class EstimateAnswer(BaseModel):
    """What so much work would take, and on what that rests."""

    jobs: int
    output_seconds: float
    worker_seconds: float
    cost: float
    currency: str
    assumptions: list[str]


@router.get("/health/live", summary="Does the process answer?")
async def live() -> HealthAnswer:
    """Nothing else is asked."""
    return HealthAnswer()


@router.get(
    "/health/ready", responses=documented(BrokerUnavailable, StoreUnavailable), summary="Can it do its work?"
)
async def ready(desk: AtDesk) -> HealthAnswer:
    """Redis and the store answer it."""
    services = desk.services
    await services.redis(services.ledger.ping)
    await services.store(services.storage.stat, "ready")
    return HealthAnswer()


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {
            "description": "Figures for Prometheus",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        }
    },
    summary="Figures for Prometheus",
)
async def metrics(desk: AtDesk) -> Response:
    """Requests, times and uploads; of all processes, and of no owner by name."""
    return Response(desk.services.figures.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/version", summary="Which version this is")
async def about(desk: AtDesk) -> VersionAnswer:
    """Of the package, and whether one needs a key here."""
    return VersionAnswer(version=version("dubline"), key_needed=not desk.services.keyring.is_empty)


@router.get("/options", summary="What holds where a request says nothing")
async def options(desk: AtDesk) -> OptionsAnswer:
    """So that a form can show it."""
    settings = desk.services.settings
    return OptionsAnswer(engine=settings.engine, max_input_bytes=settings.max_input_bytes)


@router.get("/estimate", responses=documented(BadRequest), summary="What work would cost")
async def estimate(
    desk: AtDesk,
    seconds: Annotated[float, Query(gt=0, le=MAX_SECONDS, description="Of all audios together.")],
    jobs: Annotated[int, Query(ge=1, le=MAX_JOBS)] = 1,
    engine: Annotated[EngineName | None, Query(description="Without it: the server's.")] = None,
) -> EstimateAnswer:
    """From the length of the audio and how fast one worker is."""
    settings = desk.services.settings
    expected = asdict(estimate_lengths([(seconds / jobs, engine or settings.engine)] * jobs, settings))
    return EstimateAnswer(
        jobs=jobs, **{name: expected[name] for name in EstimateAnswer.model_fields if name != "jobs"}
    )
