"""`dubline watch`: the command, and what it starts and stops."""

import json
import logging
import signal
import threading
from contextlib import ExitStack
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.text import Text

from contract import traces
from contract.errors import BadRequest
from contract.journal import log_as
from contract.scrape import exposed
from contract.settings import Settings
from contract.storage import Storage
from producer.commands import FAILED, AsJson, tell
from producer.screen import count
from producer.watch.doorbell import Doorbell, answering
from producer.watch.folder import Folder
from producer.watch.queue import EventQueue
from producer.watch.scan import Scan
from producer.watch.watcher import Watcher

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 15.0


def watch(
    folder: Annotated[
        str | None,
        typer.Argument(metavar="S3://BUCKET/FOLDER/", show_default=False, help="Else the setting `drop`."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    interval: Annotated[float, typer.Option(help="Seconds between two looks.")] = INTERVAL_SECONDS,
    archive: Annotated[
        bool,
        typer.Option("--archive", help="Move inputs to archive/ beside the folder once their video is made."),
    ] = False,
    doorbell: Annotated[
        int | None, typer.Option(metavar="PORT", help="Look at once when somebody POSTs to 127.0.0.1:PORT.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Submit what is dropped into a folder of a bucket.

    A video and an audio of one name, a folder that holds one of each, or a CSV. NAME.json beside a pair holds options;
    what cannot be submitted gets NAME.error.json. Any number may run. With --once, exit code 1 says that something was refused.
    """
    settings = Settings.read()
    log_as(settings.log_format)
    storage = Storage(settings)
    watcher = Watcher(storage, settings, _folder(folder, interval, settings), archive=archive)
    with traces.traced(settings, "watch"):
        if not once:
            _serve(watcher, settings, interval, doorbell, as_json)
            return
        scan = watcher.scan()
    tell(scan_text(scan), record(scan), as_json)
    if scan.refused:
        raise typer.Exit(FAILED)


def _folder(text: str | None, interval: float, settings: Settings) -> Folder:
    if not interval > 0:
        raise BadRequest(f"--interval is {interval:g}; it must be more than 0 seconds")
    if (text or settings.drop) is None:
        raise BadRequest("there is no folder to watch; name one, s3://bucket/folder/, or set DUBLINE_DROP")
    return Folder.parse(str(text or settings.drop), settings.s3_bucket)


def _serve(watcher: Watcher, settings: Settings, interval: float, port: int | None, as_json: bool) -> None:
    """Look until SIGTERM or Ctrl-C."""
    queue = EventQueue(settings.drop_queue_url, settings) if settings.drop_queue_url else None
    bell, stop = Doorbell(interval, queue), threading.Event()

    def leave(*_: object) -> None:
        stop.set()
        bell.stop()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, leave)
    with ExitStack() as exits:
        exits.enter_context(exposed(settings, watcher.metrics.registry))
        if port is not None:
            logger.info("the doorbell is http://127.0.0.1:%d", exits.enter_context(answering(bell, port)))
        if queue:  # a long poll is not waited for at the end
            threading.Thread(target=bell.listen, name="queue", daemon=True).start()
        watcher.run(stop, bell, lambda scan: _say(scan, as_json))


def _say(scan: Scan, as_json: bool) -> None:
    """For a script one line for each look that changed something; people read the log."""
    if as_json and (scan.submitted or scan.archived):
        typer.echo(json.dumps(record(scan), ensure_ascii=False))


def record(scan: Scan) -> dict[str, Any]:
    """The look for a script."""
    return vars(scan) | {
        "submitted": [asdict(each) for each in scan.submitted],
        "singles": [each.record() for each in scan.singles],
        "refused": [each.model_dump(mode="json") for each in scan.refused],
    }


def scan_text(scan: Scan) -> Text:
    """The look for a person."""
    lines = [
        f"{scan.folder}: {count(scan.objects, 'object')}, {count(scan.pairs, 'pair')} submitted now or before"
    ]
    lines += [f"batch {each.batch}: {count(each.rows, 'row')} submitted" for each in scan.submitted]
    lines += (
        [f"{count(scan.unsettled, 'name')} written to a moment ago: the next look takes them"]
        if scan.unsettled
        else []
    )
    lines += (
        [f"{count(scan.pending, 'pair')} claimed by another watcher a moment ago"] if scan.pending else []
    )
    lines += [f"{each.name} waits for its {each.needs}" for each in scan.singles]
    lines += [f"refused {each}" for each in scan.refused]
    lines += [f"{count(scan.archived, 'object')} archived"] if scan.archived else []
    return Text("\n".join(lines))


COMMANDS = (watch,)
