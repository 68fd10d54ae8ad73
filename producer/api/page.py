"""The page at `/`: its files, which ask this API for everything else, and the demo's pair to try it with."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path, PurePosixPath

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import FileResponse, Response

import producer
from contract.errors import NotFound
from producer.kinds import kind_of

router = APIRouter(include_in_schema=False)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob:; "
    "media-src 'self' blob:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Script and style are files of ours, nothing is of elsewhere, and no text is ever taken for markup."""
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
DEMO = {"video": "portrait.mp4", "audio": "voice-short.wav"}
"""Of a checkout; a package that was installed has none."""


@dataclass(frozen=True)
class WebFile:
    """One file of the page."""

    body: bytes
    kind: str
    tag: str


@cache
def web_files() -> Mapping[str, WebFile]:
    """All of them by name; they do not change while the process runs."""
    folder = files("producer") / "web"
    return {
        each.name: _web_file(each.name, each.read_bytes())
        for each in folder.iterdir()
        if _is_shown(each.name)
    }


def _is_shown(name: str) -> bool:
    return PurePosixPath(name).suffix in KINDS


def _web_file(name: str, body: bytes) -> WebFile:
    return WebFile(body, KINDS[PurePosixPath(name).suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def demo_folder() -> Path:
    """Where the demo's material lies in a checkout."""
    return Path(producer.__file__).parent.parent / "demo"


@router.get("/")
def page(request: Request) -> Response:
    """The page itself; it tells nothing of anybody."""
    return _answer(request, "page.html")


@router.get("/web/{name}")
def web_file(request: Request, name: str) -> Response:
    """A file of the page."""
    return _answer(request, name)


def _answer(request: Request, name: str) -> Response:
    file = web_files().get(name)
    if file is None:
        raise NotFound("the page has no such file; load it anew")
    # asked for each time and mostly answered with 304: a server that was renewed is never met by an old page
    headers = {"ETag": file.tag, "Cache-Control": "no-cache", "Content-Security-Policy": POLICY}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    return Response(file.body, headers=headers, media_type=file.kind)


@router.get("/web/demo/pair")
def demo_pair() -> dict[str, str]:
    """Addresses of a pair to try; none where there is no demo."""
    is_here = all((demo_folder() / name).is_file() for name in DEMO.values())
    return {part: f"/web/demo/{name}" for part, name in DEMO.items()} if is_here else {}


@router.get("/web/demo/{name}")
def demo_file(name: str) -> Response:
    """A file of the demo's pair."""
    path = demo_folder() / name
    if name not in DEMO.values() or not path.is_file():
        raise NotFound("there is no demo here; `make demo` in a checkout has one")
    return FileResponse(path, media_type=kind_of(name))
