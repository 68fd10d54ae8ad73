"""The videos of a study come into the folder of its raters, under names that tell nothing."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from contract.errors import InputChanged, InputNotFound
from contract.storage import Storage
from producer.ab.study import Pair, Study, Take
from producer.results import THREADS, bring

DATED_SECONDS = 1_000_000_000
"""Since 1970: what every video is dated, for the order in which they came would tell something."""


def fetch_videos(
    storage: Storage, study: Study, folder: Path, advance: Callable[[int], None]
) -> tuple[Pair, ...]:
    """The pairs whose two videos are in the folder now; of the others, whose video the store has lost, nothing is there.

    Videos that are here already, with their SHA-256, are not fetched again.

    Raises:
        DiskFull: the disk is.
    """
    takes = [take for pair in study.pairs for take in pair.takes]
    with ThreadPoolExecutor(THREADS) as pool:
        brought = list(pool.map(lambda take: _is_brought(storage, take, folder, advance), takes))
    lost = {take.file for take, is_here in zip(takes, brought, strict=True) if not is_here}
    whole = tuple(pair for pair in study.pairs if lost.isdisjoint(take.file for take in pair.takes))
    for pair in set(study.pairs) - set(whole):
        for take in pair.takes:
            (folder / take.name).unlink(missing_ok=True)
    return whole


def _is_brought(storage: Storage, take: Take, folder: Path, advance: Callable[[int], None]) -> bool:
    path = folder / take.name
    try:
        bring(storage, take, path, advance=advance)
    except (InputNotFound, InputChanged):
        path.with_name(f"{path.name}.part").unlink(missing_ok=True)
        return False
    os.utime(path, (DATED_SECONDS, DATED_SECONDS))
    return True
