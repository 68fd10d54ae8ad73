"""Two batches become a blind study: a folder for its raters, and a key for whoever counts their votes."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.errors import BadRequest, InputNotFound
from contract.storage import Storage
from producer.ab.draw import Matches, draw, find_matches
from producer.ab.fetch import fetch_videos
from producer.ab.page import PAGE, write_page
from producer.ab.study import Study, System, read_study
from producer.results import make_folder

SEED_BITS = 64
VIDEOS = "videos"


@dataclass(frozen=True)
class Order:
    """What somebody wants compared, and where it is to lie."""

    a: System
    b: System
    folder: Path
    key: Path
    seed: int | None = None
    """None: any, or that of the study that was drawn before."""
    limit: int | None = None


@dataclass(frozen=True)
class Drawn:
    """The study of an order, and which rows are not in it."""

    study: Study
    before: bool = False
    """Its key was there: the study goes on, and nothing was drawn anew."""
    left_out: dict[str, list[str]] = field(default_factory=dict)
    """Rows by the reason."""
    other_sources: list[str] = field(default_factory=list)
    """Rows of it whose two videos were made from different ones."""

    @property
    def bytes(self) -> int:
        """Of all videos."""
        return sum(take.bytes for pair in self.study.pairs for take in pair.takes)


@dataclass(frozen=True)
class Made:
    """A study that can go to its raters."""

    page: Path
    key: Path
    drawn: Drawn

    def record(self) -> dict[str, Any]:
        """For scripts."""
        study = self.drawn.study
        return {
            "page": str(self.page),
            "key": str(self.key),
            "study": study.id,
            "seed": study.seed,
            "pairs": len(study.pairs),
            "systems": [study.a.model_dump(), study.b.model_dump()],
            "drawn_before": self.drawn.before,
            "left_out": self.drawn.left_out,
            "other_sources": self.drawn.other_sources,
        }


def draw_study(storage: Storage, order: Order) -> Drawn:
    """Draw the study and keep its key; the same order again finds the key and goes on with its study.

    Raises:
        BadRequest: the order contradicts itself, its folder or key is another's, or there is nothing to compare.
        NotFound: there is no such batch.
        ConfigurationError: the key or the folder cannot be written.
    """
    _refuse_contradictions(order)
    if order.key.exists():
        study = read_study(order.key)
        _refuse_another_study(study, order)
        _refuse_another_folder(order.folder, study)
        return Drawn(study, before=True)
    _refuse_another_folder(order.folder, None)
    matches = find_matches(storage, order.a, order.b)
    seed = secrets.randbits(SEED_BITS) if order.seed is None else order.seed
    study = draw(matches.matched, order.a, order.b, seed, order.limit)
    for folder in (order.folder, order.key.parent):
        make_folder(folder)
    study.write(order.key)
    return _drawn(study, matches)


def _drawn(study: Study, matches: Matches) -> Drawn:
    rows = {pair.row for pair in study.pairs}
    left_out = dict(matches.left_out)
    if beyond := [each.row for each in matches.matched if each.row not in rows]:
        left_out["beyond --limit"] = beyond
    return Drawn(
        study, left_out=left_out, other_sources=[row for row in matches.other_sources if row in rows]
    )


def make(
    storage: Storage, order: Order, drawn: Drawn, advance: Callable[[int], None] = lambda _: None
) -> Made:
    """Fill the folder of a study that was drawn; `advance` is told of bytes that are there.

    Pairs of which the store has lost a video leave the study.

    Raises:
        ConfigurationError: the folder cannot be written.
        InputNotFound: the store has lost all of them.
        ResourceExhausted: the disk is full.
    """
    make_folder(order.folder / VIDEOS)
    whole = fetch_videos(storage, drawn.study, order.folder, advance)
    if not whole:
        raise InputNotFound("the store has lost a video of every pair; render one of the batches again")
    study, left_out = drawn.study.model_copy(update={"pairs": whole}), dict(drawn.left_out)
    if lost := [pair.row for pair in drawn.study.pairs if pair not in whole]:
        left_out["whose video the store has lost"] = lost
        study.write(order.key)
    page = write_page(order.folder, study)
    return Made(page, order.key, Drawn(study, drawn.before, left_out, drawn.other_sources))


def _refuse_contradictions(order: Order) -> None:
    if order.a.batch == order.b.batch:
        raise BadRequest(f"both batches are {order.a.batch}; name two that were rendered differently")
    if order.a.name == order.b.name:
        raise BadRequest(
            f"both systems are called {order.a.name}; tell them apart with --name-a and --name-b"
        )
    if order.key.resolve().is_relative_to(order.folder.resolve()):
        raise BadRequest(
            f"the key {order.key} would lie in {order.folder}, and go to the raters with it; "
            "choose a file elsewhere with --key"
        )


def _refuse_another_study(study: Study, order: Order) -> None:
    is_same = (study.a, study.b) == (order.a, order.b) and order.seed in (None, study.seed)
    if not is_same or (order.limit is not None and order.limit < len(study.pairs)):
        raise BadRequest(
            f"{order.key} is the key of another study: {study.a.name} against {study.b.name}, "
            f"{len(study.pairs)} pairs, seed {study.seed}; keep it for its votes, and choose another folder or --key"
        )


def _refuse_another_folder(folder: Path, study: Study | None) -> None:
    """A folder may be missing, empty, or that of the study. Files of a desktop, with a dot before their names, do not count."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    names = {name for name in names if not name.startswith(".")}
    if not names:
        return
    if study is None:
        raise BadRequest(f"{folder} holds files, and no key beside it tells of them; choose another folder")
    page = folder / PAGE
    is_ours = not page.is_file() or study.id in page.read_text(encoding="utf-8", errors="replace")
    if not (is_ours and names <= {PAGE, VIDEOS}):
        raise BadRequest(f"{folder} holds other files than those of this study; choose another folder")
