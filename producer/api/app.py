"""The HTTP API put together: services, routes, errors, and the gate before them."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from types import FrameType
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from contract import traces
from contract.errors import DublineError
from contract.journal import log_as
from contract.settings import Settings
from producer.api import about, batches, events, jobs, media, page
from producer.api.desk import Desk
from producer.api.gate import Gate
from producer.api.problems import Problem, on_defect, on_error, on_http, on_invalid
from producer.api.services import Services

DESCRIPTION = "Lip-synced videos from pairs of a video and an audio. Answers carry the links to go on with."


def app_of_environment() -> ASGIApp:
    """The app for a process that uvicorn starts."""
    settings = Settings.read()
    log_as(settings.log_format)
    return guarded(make_api(settings))


def make_api(settings: Settings) -> FastAPI:
    """The routes, without their gate."""
    services = Services(settings)
    api = FastAPI(
        title="Dubline",
        version=version("dubline"),
        description=DESCRIPTION,
        docs_url=None,  # they would be fetched from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    api.state.desk = Desk.of(services)
    for room in (jobs, events, media, batches, about, page):
        api.include_router(room.router)
    api.add_exception_handler(DublineError, on_error)
    api.add_exception_handler(RequestValidationError, on_invalid)
    api.add_exception_handler(HTTPException, on_http)
    api.add_exception_handler(Exception, on_defect)
    api.openapi = lambda: _openapi(api)  # type: ignore[method-assign]
    return api


def guarded(api: FastAPI) -> ASGIApp:
    """The same behind the gate; pages of `api_origins` may call it."""
    desk: Desk = api.state.desk
    gate = Gate(api, desk.services)
    origins = desk.services.settings.api_origins
    if not origins:
        return gate
    return CORSMiddleware(
        gate,
        allow_origins=origins,
        allow_methods=("GET", "POST", "DELETE"),
        allow_headers=("Authorization", "Content-Type", "Idempotency-Key"),
        expose_headers=("Retry-After", "Idempotency-Replayed", "Content-Range"),
    )


@asynccontextmanager
async def _lifespan(api: FastAPI) -> AsyncIterator[None]:
    services = api.state.desk.services
    _tell_when_stopped(services.stopping)
    traces.begin(services.settings, "api")
    try:
        yield
    finally:
        traces.end()
        services.stopping.set()
        services.close()


def _tell_when_stopped(stopping: asyncio.Event) -> None:
    """Uvicorn waits for answers before it ends the app: those that follow a job must hear of the signal themselves."""
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        before = signal.getsignal(number)

        def heard(sig: int, frame: FrameType | None, before: Any = before) -> None:
            loop.call_soon_threadsafe(stopping.set)
            if callable(before):
                before(sig, frame)

        signal.signal(number, heard)


def _openapi(api: FastAPI) -> dict[str, Any]:
    """The schema, with what is wrong the way it is told here, and how to show a key."""
    if api.openapi_schema is None:
        schema = get_openapi(title=api.title, version=api.version, description=DESCRIPTION, routes=api.routes)
        parts = schema.setdefault("components", {})
        shapes = parts.setdefault("schemas", {})
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        shapes |= problem.pop("$defs", {}) | {"Problem": problem}
        parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"key": []}, {}]
        api.openapi_schema = schema
    return api.openapi_schema
