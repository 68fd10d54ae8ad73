"""`dubline fleet`: the command, and its loop. The SDK of Docker is imported when it runs, and not to list the commands."""

import re
import signal
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Annotated

import typer

from contract.broker import Control
from contract.errors import BadRequest, BrokerUnavailable, ConfigurationError
from contract.metrics import FleetMetrics
from contract.scrape import exposed
from contract.settings import Settings
from contract.workers import Roster
from producer.commands import AsJson, console_for
from producer.fleet.crashes import Crashes
from producer.fleet.draining import LOOK_SECONDS, Draining
from producer.fleet.fleet import Fleet, Services
from producer.fleet.host import Host, Slot, slots_of
from producer.fleet.load import Demand
from producer.fleet.order import order_of, refuse_loopback
from producer.fleet.policy import Rules
from producer.fleet.report import Report

IMAGE_GPU, IMAGE_CPU = "dubline-worker:gpu", "dubline-worker:cpu"
MAX_GPUS = 64
LEFT = "the workers go on; `dubline fleet` finds them again, and with --max 0 it drains them"
DRAINING = "draining: each worker goes when it has no job; told once more, this command ends and leaves them"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


def fleet(
    minimum: Annotated[int, typer.Option("--min", min=0, help="Workers kept with nothing to do.")] = 0,
    maximum: Annotated[
        int | None,
        typer.Option(
            "--max", min=0, help="At most; 0 drains all and ends. Else: all slots.", show_default=False
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(help=f"Of a worker; {IMAGE_GPU}, without GPUs {IMAGE_CPU}.", show_default=False),
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Engine, as in DOCKER_HOST; again for more.", show_default=False),
    ] = None,
    gpus: Annotated[str, typer.Option(metavar="auto|N", help="Of each host; auto: as it says.")] = "auto",
    per_host: Annotated[int, typer.Option(min=1, help="Workers of a host with --gpus 0.")] = 1,
    network: Annotated[
        str | None,
        typer.Option(help="Docker's network, where they find Redis and the store.", show_default=False),
    ] = None,
    volume: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME:/PATH:ro", help="As Docker writes it.", show_default=False),
    ] = None,
    within: Annotated[str, typer.Option(help="All is to be done so soon: 90, 90s, 15m, 2h.")] = "15m",
    idle: Annotated[str, typer.Option(help="A worker without a job for so long goes.")] = "5m",
    patience: Annotated[str, typer.Option(help="When a job waits longer, one more comes.")] = "15m",
    name: Annotated[str, typer.Option(help="Of this fleet; its containers bear it.")] = "dubline",
    drain: Annotated[bool, typer.Option("--drain", help="At Ctrl-C end jobs at hand, then all.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Keep workers in containers, one for each free GPU, as many as the queue needs.

    They are told this process's settings. Ctrl-C leaves them at work, and the next fleet finds them again.
    """
    if find_spec("docker") is None:
        raise ConfigurationError("`dubline fleet` needs Docker's SDK: pip install 'dubline[fleet]'")
    from producer.fleet.dockerhost import connect_hosts

    settings = Settings.read()
    wanted = _gpus_wanted(gpus)
    _refuse_nonsense(minimum, maximum)
    rules = Rules(
        minimum, 0, seconds_of("within", within), seconds_of("idle", idle), seconds_of("patience", patience)
    )
    order = order_of(
        settings, _fleet_name(name), image or (IMAGE_CPU if wanted == 0 else IMAGE_GPU), network, volume or ()
    )
    if maximum != 0:  # nobody is started then
        refuse_loopback(settings, network)
    with ExitStack() as exits:
        hosts = connect_hosts(host or [None], order.fleet)
        for each in hosts:
            exits.callback(each.close)
        slots = () if maximum == 0 else _slots(hosts, order.image, wanted, per_host)
        rules = with_maximum(rules, maximum, len(slots))
        control = Control(settings)
        exits.callback(control.close)
        metrics = FleetMetrics()
        exits.enter_context(exposed(settings, metrics.registry))
        services = Services(Roster(settings), Demand(settings), Draining(control), Crashes())
        crew = Fleet(hosts, slots, order, rules, services)
        _run(crew, Report(as_json, metrics), drain=drain, once=once)


def _slots(hosts: Sequence[Host], image: str, gpus: int | None, per_host: int) -> tuple[Slot, ...]:
    found: list[Slot] = []
    for each in hosts:
        each.check(image)
        found += slots_of(each.name, each.gpus(image) if gpus is None else gpus, per_host)
    return tuple(found)


def with_maximum(rules: Rules, maximum: int | None, slots: int) -> Rules:
    """The rules for so many slots; without a maximum, all of them.

    Raises:
        BadRequest: there are not slots enough for the least of them.
    """
    most = slots if maximum is None else min(maximum, slots)
    if rules.minimum > most:
        raise BadRequest(
            f"--min is {rules.minimum}, and the hosts have slots for {most}; "
            "name more hosts with --host, or more workers with --gpus or --per-host"
        )
    return Rules(rules.minimum, most, rules.within_seconds, rules.idle_seconds, rules.patience_seconds)


def _refuse_nonsense(minimum: int, maximum: int | None) -> None:
    if maximum is not None and minimum > maximum:
        raise BadRequest(f"--min is {minimum} and --max is {maximum}; --min must not be more")


def _gpus_wanted(text: str) -> int | None:
    """None: to be asked."""
    if text == "auto":
        return None
    if not re.fullmatch(r"[0-9]{1,2}", text) or int(text) > MAX_GPUS:
        raise BadRequest(f"--gpus is {text}; it must be auto or a number from 0 to {MAX_GPUS}")
    return int(text)


def _fleet_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise BadRequest(
            f"--name is {text!r}; it must be of a-z, 0-9 and -, 32 at most: host names are made of it"
        )
    return text


def seconds_of(option: str, text: str) -> float:
    """Seconds of a duration as people write it: 90, 90s, 1.5m, 2h.

    Raises:
        BadRequest: it is none, or not more than 0.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([smh]?)", text.strip())
    seconds = float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]] if found else 0.0
    if not seconds > 0:
        raise BadRequest(f"--{option} is {text}; it must be more than 0, as 90, 90s, 15m or 2h")
    return seconds


def _run(fleet: Fleet, report: Report, *, drain: bool, once: bool) -> None:
    """Look again and again until told to stop, or until a fleet that is to have no worker has none."""
    stop, console = threading.Event(), console_for(as_json=True)
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    while not _is_over_after_a_look(fleet, report, once=once):
        if not stop.wait(LOOK_SECONDS):
            continue
        if not drain:
            console.print(LEFT, style="dim", soft_wrap=True)
            return
        console.print(DRAINING, style="dim", soft_wrap=True)
        stop.clear()
        fleet.dismiss()
        drain = False  # once more: leave them


def _is_over_after_a_look(fleet: Fleet, report: Report, *, once: bool) -> bool:
    """Without Redis nothing is known, and workers are left as they are."""
    try:
        report.tell(fleet.step())
    except BrokerUnavailable as error:
        if once:
            raise
        report.waits(error.message)
    return once or fleet.is_over
