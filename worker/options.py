"""The options of a job as people write them on a command line or in a table."""

from typing import Any

from pydantic import ValidationError

from contract.errors import BadRequest
from contract.job import JobOptions


def options_of(**given: Any) -> JobOptions:
    """Those options; the others have their defaults.

    Raises:
        BadRequest: it names all that are wrong.
    """
    face = str(given.get("face", "largest"))
    try:
        return JobOptions.model_validate({**given, "face": int(face) if face.isdecimal() else face})
    except ValidationError as error:
        faults = (
            (" ".join(map(str, each["loc"][:1])), each["msg"].removeprefix("Value error, "))
            for each in error.errors()
        )
        raise BadRequest("; ".join(f"{name}: {fault}".strip(": ") for name, fault in faults)) from error
