"""The page at `/`: one file, which asks this API for everything else."""

from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from contract.errors import NotFound

router = APIRouter()

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""It brings all of its script and style along, and nothing of elsewhere."""


@router.get("/", include_in_schema=False)
def page() -> HTMLResponse:
    """The page itself; it tells nothing of anybody."""
    file = files("producer") / "web" / "index.html"
    if not file.is_file():
        raise NotFound("this version has no page; /openapi.json describes the API")
    return HTMLResponse(file.read_text("utf-8"), headers={"Content-Security-Policy": POLICY})
