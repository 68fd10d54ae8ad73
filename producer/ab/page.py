"""What raters open: one page, and beside it its videos. It works from a disk, without a server and without the internet.

Blind: neither the page nor the names of the videos tell what made which; that is in the key, which raters do not get.
Who is determined can still look for traces inside the videos themselves, such as what an encoder writes into them.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from contract.errors import ResourceExhausted
from producer.ab.study import Pair, Study

PAGE = "index.html"
PLACE = "{}"
"""Where the template holds its study."""


def write_page(folder: Path, study: Study) -> Path:
    """Write `index.html` into the folder and say where it is.

    Raises:
        ResourceExhausted: it cannot be written.
    """
    told = {"study": study.id, "pairs": [_shown(pair) for pair in study.pairs]}
    text = (files("producer.ab") / "page.html").read_text(encoding="utf-8")
    page = folder / PAGE
    try:
        page.write_text(text.replace(f">{PLACE}<", f">{json.dumps(told)}<", 1), encoding="utf-8")
    except OSError as error:
        raise ResourceExhausted(f"{page} cannot be written: {error.strerror}; free the disk") from error
    return page


def _shown(pair: Pair) -> dict[str, Any]:
    left, right = pair.takes
    return {"id": pair.id, "left": left.name, "right": right.name}
