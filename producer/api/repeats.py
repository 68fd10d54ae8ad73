"""Idempotency-Key: the same key and request get the same answer, whichever process is asked; another request is refused.

The claim is put before anything is done, the answer afterwards. What dies in between is done again by whoever asks again,
and that is the same work: batches are named by what they hold.
"""

import hashlib
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from contract import keys
from contract.errors import BadRequest, RepeatDiffers
from contract.job import Boundary, Sha256
from producer.api.services import Services

HEADER = "idempotency-key"
MAX_CHARACTERS = 255
REPLAYED = {"Idempotency-Replayed": "true"}


class _Repeat(Boundary):
    """What lies in the store under a key."""

    asked: Sha256
    status: int | None = None
    answer: str | None = None


async def once(
    services: Services,
    request: Request,
    owner: str | None,
    asked: str,
    work: Callable[[], Awaitable[Response]],
) -> Response:
    """The answer that `work` gives, or gave before to the same key and request. `asked`: all that makes the request.

    Raises:
        BadRequest: the key is none.
        RepeatDiffers: the key came before with another request.
    """
    said = request.headers.get(HEADER)
    if said is None:
        return await work()
    key = _key(said, owner)
    fresh = _Repeat(asked=hashlib.sha256(f"{request.url.path}\n{asked}".encode()).hexdigest())
    body = await services.store(services.storage.put_if_absent, key, fresh.model_dump_json().encode())
    standing = _Repeat.model_validate_json(body)
    if standing.asked != fresh.asked:
        raise RepeatDiffers(
            f"the Idempotency-Key {said[:50]!r} came before with another request; choose a new one"
        )
    if standing.status and standing.answer is not None:
        return Response(standing.answer, standing.status, REPLAYED, "application/json")
    answer = await work()
    done = fresh.model_copy(update={"status": answer.status_code, "answer": bytes(answer.body).decode()})
    await services.store(services.storage.put, key, done.model_dump_json().encode())
    return answer


def _key(said: str, owner: str | None) -> str:
    if not said.strip() or len(said) > MAX_CHARACTERS or not said.isprintable():
        raise BadRequest(f"the Idempotency-Key must be 1 to {MAX_CHARACTERS} printable characters")
    return keys.repeat(_digest(owner or ""), _digest(said))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
