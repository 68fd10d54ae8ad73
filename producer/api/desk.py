"""What a route is given: the parts of the process that answer requests, and who asks."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from producer.api.answers import JobAnswer, job_answer
from producer.api.intake import Intake
from producer.api.lookup import Found, Lookup
from producer.api.services import Services
from producer.api.submitting import Submitter
from producer.api.totals import Batches

BatchQuery = Annotated[
    str | None,
    Query(description="The batch to look in; without it: jobs that were submitted alone, or have ended."),
]


@dataclass(frozen=True)
class Desk:
    """Where requests are answered. One a process."""

    services: Services
    lookup: Lookup
    intake: Intake
    batches: Batches

    @classmethod
    def of(cls, services: Services) -> "Desk":
        """A desk over these services."""
        batches = Batches(services.storage, services.ledger, services.settings.currency)
        return cls(services, Lookup(services), Intake(services), batches)

    def submitter(self, owner: str | None) -> Submitter:
        """Submits for that owner."""
        return Submitter(self.services.storage, self.services.settings, owner)

    def token(self, owner: str | None, job: str) -> str | None:
        """For links of that job that a browser follows without a header; None where no key is needed."""
        return self.services.keyring.token(owner, job) if owner else None

    async def answer(self, owner: str | None, found: Found) -> JobAnswer:
        """A job as it stands now."""
        return job_answer(found, await self.lookup.standing(found), self.token(owner, found.id))


async def desk_of(request: Request) -> Desk:
    """The desk of this process. Asynchronous, or FastAPI would give each request a thread for it."""
    return cast(Desk, request.app.state.desk)


async def owner_of(request: Request) -> str | None:
    """Who asks, as the gate found; None: no keys are configured, and it is somebody at this machine."""
    return cast(str | None, request.state.owner)


AtDesk = Annotated[Desk, Depends(desk_of)]
Asking = Annotated[str | None, Depends(owner_of)]


def as_json(answer: JobAnswer, status: int = 200) -> Response:
    """The answer's own words: it was made of the model a moment ago, and is not checked against it once more."""
    return Response(answer.model_dump_json(), status, media_type="application/json")
