"""The whole road on this machine: an embedded stack, the rows of a CSV, and a page that shows what became of them."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from contract.errors import ConfigurationError
from contract.ledger import Ledger
from contract.storage import Storage
from producer.check import check
from producer.follow import follow
from producer.gallery.page import write_gallery
from producer.local import LocalStack
from producer.pairs import Pair
from producer.results import Result, entries, fetch_results, make_folder
from producer.status import BatchStatus, BatchView
from producer.submit import submit


@dataclass(frozen=True)
class Shown:
    """What a demo leaves behind."""

    status: BatchStatus
    results: list[Result]
    page: Path
    api_url: str | None
    """Where page and API were while the stack ran; None: they are not installed."""


def run_demo(csv: Path, folder: Path, console: Console) -> Shown:
    """Start a stack, render the rows of the CSV, bring everything into the folder, and stop the stack.

    Raises:
        ConfigurationError: the folder cannot be written, the stack does not start, or one of its services ends.
        BadRequest: rows of the CSV cannot become jobs.
    """
    if not csv.is_file():
        raise ConfigurationError(f"{csv} is not here; run this in a checkout of Dubline, or name a CSV")
    make_folder(folder)  # before anything is rendered for it
    with tempfile.TemporaryDirectory(prefix="dubline-") as data:
        console.print("starting broker, store and worker", style="dim")
        with LocalStack.start(Path(data), flower=False, api=True) as stack:
            if stack.api_url:
                console.print(f"page and API while this runs: {stack.api_url}")
            storage = Storage(stack.settings)
            checked = check(csv, storage, stack.settings)
            batch = submit(checked, storage).batch
            status = follow(BatchView(storage, Ledger(stack.settings), batch), console, stack.check)
            results = list(fetch_results(storage, batch, folder))
    page = write_gallery(folder, batch, entries(results, _copied(checked.pairs, folder / "sources")))
    return Shown(status, results, page, stack.api_url)


def _copied(pairs: Sequence[Pair], folder: Path) -> dict[str, Path]:
    """The local sources beside the results, by row, so that the page can show both."""
    folder.mkdir(exist_ok=True)
    local = {pair.id: pair.video for pair in pairs if isinstance(pair.video, Path)}
    return {row: Path(shutil.copyfile(path, folder / f"{row}{path.suffix}")) for row, path in local.items()}
