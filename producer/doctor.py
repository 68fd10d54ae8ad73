"""Whether everything that Dubline stands on works here, and what to do where it does not."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points

from contract.checks import Check, Checks
from contract.errors import DublineError
from contract.ledger import Ledger
from contract.settings import Settings
from contract.storage import Storage

GROUP = "dubline.checks"
"""Entry points of this group are `contract.checks.Checks`."""


def examine(settings: Settings) -> Iterator[Check]:
    """All checks, one by one: broker, store, and what installed parts bring."""
    yield _broker(settings)
    yield _store(settings)
    for part in entry_points(group=GROUP):
        yield from _contributed(part, settings)


def _broker(settings: Settings) -> Check:
    try:
        Ledger(settings).ping()
    except DublineError as error:
        remedy = "start one with `dubline up`, or set DUBLINE_REDIS_URL"
        return Check("broker", False, error.message, remedy)
    return Check("broker", True, "Redis answers")


def _store(settings: Settings) -> Check:
    """The bucket is there, or can be made, and conditional puts, replacements and deletions have one winner."""
    try:
        storage = Storage(settings)
        storage.ensure_bucket()
        storage.check()
    except DublineError as error:
        remedy = (
            "start one with `dubline up`, or set DUBLINE_S3_ENDPOINT, _BUCKET, _ACCESS_KEY and _SECRET_KEY"
        )
        return Check("store", False, error.message, remedy)
    return Check(
        "store", True, f"bucket {settings.s3_bucket}: of racing conditional requests exactly one wins"
    )


def _contributed(part: EntryPoint, settings: Settings) -> list[Check]:
    try:
        checks: Checks = part.load()
        return list(checks(settings))
    except ImportError as error:
        remedy = f"pip install 'dubline[{part.name}]' on machines that render"
        return [Check(part.name, None, f"not installed ({error})", remedy)]
