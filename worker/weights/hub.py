"""The Hugging Face Hub: where a file of a pinned commit lies today, and that the hub agrees on what it is.

huggingface_hub is asked for that alone (endpoint, token, mirrors are its business). The bytes come by download.py: since
2.4 that library throws a partial file away, and 3.4 GB should not start anew. Nothing here sends telemetry or needs xet.
"""

import contextlib
import os
from collections.abc import Iterator
from urllib.parse import urlsplit

from contract.errors import ConfigurationError
from worker.weights.download import Address, Interrupted
from worker.weights.registry import Hub, Weight

_AGENT = {"user-agent": "dubline"}
"""Instead of the library's own, which lists versions and programs of this machine."""
_TEMPORARY = {408, 429, 500, 502, 503, 504}


def locate(wanted: Weight, source: Hub) -> Address:
    """Where the bytes are. The address may be signed and short-lived: ask again before going on later.

    Raises:
        ConfigurationError: huggingface_hub is not installed or is offline, the hub refuses, or its commit, LFS SHA-256
            or size is not the registry's.
        Interrupted: the hub does not answer.
    """
    try:
        from httpx2 import HTTPError  # heavy, and of an extra
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # documented, not listed
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"weights {wanted.name} come from the Hugging Face Hub ({error}): pip install 'dubline[musetalk]'"
        ) from error
    url = hf_hub_url(
        source.repository, source.file, revision=source.commit, endpoint=os.environ.get("HF_ENDPOINT") or None
    )
    try:
        with _quiet():
            headers = build_hf_headers(headers=_AGENT)  # and the user's own token, if there is one
            found = get_hf_file_metadata(url, headers=headers)
    except OfflineModeIsEnabled as error:
        raise ConfigurationError(
            f"weights {wanted.name} cannot be fetched while HF_HUB_OFFLINE is set: unset it"
        ) from error
    except HfHubHTTPError as error:
        if error.response.status_code in _TEMPORARY:
            raise Interrupted(f"{url}: {error.response.status_code}") from error
        raise ConfigurationError(_refusal(url, wanted, error.response.status_code)) from error
    except HTTPError as error:
        raise Interrupted(f"{url}: {error or type(error).__name__}") from error
    _agree(wanted, source, url, (found.commit_hash, found.etag, found.size))
    same_host = urlsplit(found.location)[:2] == urlsplit(url)[:2]
    return Address(found.location, headers if same_host else _AGENT)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """As HF_HUB_DISABLE_TELEMETRY, which the library reads once, at its import.

    Without it, even a request for metadata first downloads a list of programs that may be driving this one.
    """
    from huggingface_hub import constants

    before, constants.HF_HUB_DISABLE_TELEMETRY = constants.HF_HUB_DISABLE_TELEMETRY, True
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY = before


def _refusal(url: str, wanted: Weight, status: int) -> str:
    remedy = {
        401: "check HF_TOKEN",
        403: "check HF_TOKEN",
        404: "check that HF_ENDPOINT mirrors that commit",
    }
    return f"the hub answers {status} for weights {wanted.name} at {url}; {remedy.get(status, 'check HF_ENDPOINT')}"


def _agree(wanted: Weight, source: Hub, url: str, found: tuple[str | None, str | None, int | None]) -> None:
    for what, expected, got in zip(
        ("commit", "LFS SHA-256", "size"), (source.commit, wanted.sha256, wanted.size), found, strict=True
    ):
        if got != expected:
            raise ConfigurationError(
                f"the hub's {what} of {url} is {got}, not {expected} as the registry says of weights "
                f"{wanted.name}; nothing was fetched; check HF_ENDPOINT"
            )
