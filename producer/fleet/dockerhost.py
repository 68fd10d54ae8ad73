"""A Docker engine as a host of workers: the only file that imports the SDK.

A worker's container has a read-only root, no capabilities, no way to more of them, and an init that passes signals on.
What it writes lies in the anonymous volume of its image, which goes with it.
"""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from docker.client import DockerClient
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container as DockerContainer
from docker.types import DeviceRequest, LogConfig
from docker.utils import kwargs_from_env

from contract.errors import BadRequest, ConfigurationError, HostUnavailable
from producer.fleet.host import NODE, Container, Exit, HostView, Order, Slot

FLEET, SLOT, DEATHS = "dubline.fleet", "dubline.slot", "dubline.deaths"
"""Labels."""
DRAINING = "-draining-"
"""In the name of a container whose worker takes no more jobs: a label cannot be changed, a name can."""
DRIVER = "nvidia"
CAPABILITIES = "compute,utility,video"
"""What the driver brings into a container; `video` is NVENC."""
PIDS = 4096
LOG_BYTES, LOG_FILES = "10m", "3"
ANSWER_SECONDS = 60
ALL_GPUS = -1
START_SECONDS = 120.0
"""A container that was made so long ago and not started was left behind by a fleet that was killed in between."""
NAME_TAKEN = 409
NO_NAMES = ("bridge", "default", "host", "none")
"""Docker's own networks, which know no names."""
_NO_DRIVER = "could not select device driver"


def connect_hosts(addresses: Iterable[str | None], fleet: str) -> list["DockerHost"]:
    """Hosts by their addresses as in DOCKER_HOST; None: the one that DOCKER_HOST names, else this machine's.

    Raises:
        ConfigurationError: an engine is away or refuses.
        BadRequest: two addresses lead to the same engine.
    """
    hosts = [DockerHost(each, fleet) for each in addresses]
    known: dict[str, str] = {}
    for each in hosts:
        engine = each.engine_id()
        if engine in known:
            raise BadRequest(f"--host {each.name} is the same engine as {known[engine]}; name it once")
        known[engine] = each.name
    return hosts


class DockerHost:
    """One engine, and the containers of one fleet on it."""

    def __init__(self, address: str | None, fleet: str) -> None:
        where = {**os.environ, "DOCKER_HOST": address} if address else dict(os.environ)
        self.name = where.get("DOCKER_HOST") or "this machine"
        self._fleet = fleet
        try:
            self._client = DockerClient(**kwargs_from_env(where), use_ssh_client=True, timeout=ANSWER_SECONDS)
        except (DockerException, OSError, ValueError) as error:
            raise ConfigurationError(_unreachable(self.name, error)) from error

    def engine_id(self) -> str:
        """Which engine it is, by whatever address. Raises ConfigurationError while it is away."""
        try:
            with self._translated():
                found = self._client.info()["ID"]
        except HostUnavailable as error:  # at the start it is a mistake, later an outage
            raise ConfigurationError(error.message) from error
        return str(found)

    def check(self, image: str) -> None:
        """Raises ConfigurationError when the engine does not have the image."""
        with self._translated():
            try:
                self._client.images.get(image)
            except ImageNotFound as error:
                raise ConfigurationError(self._no_image(image)) from error

    def gpus(self, image: str) -> int:
        """As nvidia-smi counts them in a container that is given all.

        Raises:
            ConfigurationError: the engine has none to give, or the image has no nvidia-smi.
        """
        remedy = "say how many with --gpus 4, or --gpus 0 for workers without"
        config = self._config(
            image,
            ["-L"],
            entrypoint=["nvidia-smi"],
            environment={"NVIDIA_DRIVER_CAPABILITIES": CAPABILITIES},
            labels={},  # no worker
            device_requests=[_gpus(count=ALL_GPUS)],
        )
        with self._translated():
            try:
                said = self._said_by(config)
            except ImageNotFound as error:
                raise ConfigurationError(self._no_image(image)) from error
            except APIError as error:
                raise ConfigurationError(
                    f"{self.name} has no GPU to give ({_reason(error)}); {remedy}"
                ) from error
        found = sum(line.startswith("GPU ") for line in said.splitlines())
        if not found:
            last = said.strip().splitlines()[-1:] or ["nvidia-smi says nothing"]
            raise ConfigurationError(f"{self.name} has no GPU to give ({last[0]}); {remedy}")
        return found

    def _said_by(self, config: dict[str, Any]) -> str:
        made = self._client.api.create_container_from_config(config)
        container = self._client.containers.get(made["Id"])
        try:
            container.start()
            container.wait(timeout=ANSWER_SECONDS)
            return str(container.logs(), errors="replace")
        finally:
            container.remove(v=True, force=True)

    def look(self) -> HostView:
        """What is on it now."""
        with self._translated():
            found = self._client.containers.list(all=True, ignore_removed=True)
        own = [each for each in found if each.labels.get(FLEET) == self._fleet]
        foreign = [
            each for each in found if each.labels.get(FLEET) != self._fleet and each.status == "running"
        ]
        return HostView(
            tuple(map(_container, own)), frozenset(gpu for each in foreign for gpu in _gpus_given(each))
        )

    def start(self, slot: Slot, order: Order, deaths: int) -> Container | None:
        """Start a worker in a slot; None when another fleet process of the same name did in this moment.

        The name of a container is its slot's, so that an engine has one at most.

        Raises:
            ConfigurationError: the engine does not have the image, the network or the GPU.
        """
        hostname = f"{order.fleet}-{slot.name}-{secrets.token_hex(4)}"
        config = self._config(
            order.image,
            None,
            hostname=hostname,
            environment=_environment(order, slot),
            labels={FLEET: order.fleet, SLOT: slot.name, DEATHS: str(deaths)},
            network_mode=order.network,
            binds=list(order.volumes),
            device_requests=[] if slot.device is None else [_gpus(device=slot.device)],
        )
        config["NetworkingConfig"] = _endpoints(order.network)
        config["StopTimeout"] = order.stop_seconds  # for a `docker stop` by hand, too
        with self._translated():
            try:
                return self._started(config, f"dubline-{order.fleet}-{slot.name}")
            except ImageNotFound as error:
                raise ConfigurationError(self._no_image(order.image)) from error
            except APIError as error:
                if error.status_code == NAME_TAKEN:
                    return None
                raise ConfigurationError(self._refused(slot, error)) from error

    def _started(self, config: dict[str, Any], name: str) -> Container:
        made = self._client.api.create_container_from_config(config, name)
        container = self._client.containers.get(made["Id"])
        try:
            container.start()
        except DockerException:
            container.remove(v=True, force=True)
            raise
        return _container(container)

    def mark_draining(self, container: Container) -> None:
        """Note it in the container's name."""
        slot_name, draining = container.name.partition(DRAINING)[0], f"{DRAINING}{container.id[:8]}"
        with self._translated(), _gone_already():
            self._client.containers.get(container.id).rename(slot_name + draining)

    def stop(self, container: Container, seconds: int) -> None:
        """`docker stop`, and remove it with its anonymous volume."""
        with self._translated(), _gone_already():
            self._client.containers.get(container.id).stop(timeout=seconds)
        self.remove(container)

    def remove(self, container: Container) -> None:
        """With its anonymous volume; never one that runs."""
        with self._translated(), _gone_already():
            self._client.containers.get(container.id).remove(v=True)

    def last_lines(self, container: Container, lines: int) -> list[str]:
        """The end of its log; nothing of one that is gone."""
        with self._translated(), _gone_already():
            log = self._client.containers.get(container.id).logs(tail=lines)
            return [each for each in log.decode(errors="replace").splitlines() if each.strip()]
        return []

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def _config(self, image: str, command: list[str] | None, **given: Any) -> dict[str, Any]:
        """A container's configuration: closed, but for what is given."""
        about = {
            name: given.pop(name)
            for name in ("hostname", "environment", "labels", "entrypoint")
            if name in given
        }
        host_config = self._client.api.create_host_config(
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            init=True,
            pids_limit=PIDS,
            log_config=LogConfig(
                type=LogConfig.types.JSON, config={"max-size": LOG_BYTES, "max-file": LOG_FILES}
            ),
            **given,
        )
        made = self._client.api.create_container_config(image, command, host_config=host_config, **about)
        return dict(made)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The one door for the SDK's exceptions; those that its calls mean something by are caught before.

        Raises:
            HostUnavailable: the engine is away, or does not serve.
        """
        try:
            yield
        except (DockerException, OSError) as error:  # what `requests` raises is an OSError
            raise HostUnavailable(_unreachable(self.name, error)) from error

    def _no_image(self, image: str) -> str:
        return (
            f"{self.name} has no image {image}; `docker pull` or build it there, or name another with --image"
        )

    def _refused(self, slot: Slot, error: APIError) -> str:
        if _NO_DRIVER in str(error):
            return (
                f"{self.name} has no GPU to give ({_reason(error)}); install nvidia-container-toolkit there, "
                "or give --gpus 0 for workers without"
            )
        return f"{self.name} does not start a worker in {slot.name}: {_reason(error)}"


@contextmanager
def _gone_already() -> Iterator[None]:
    """Somebody else removed the container, or is about to: that is what was wanted."""
    try:
        yield
    except NotFound:
        return
    except APIError as error:
        if error.status_code != NAME_TAKEN:
            raise


def _unreachable(name: str, error: Exception) -> str:
    if "paramiko" in str(error):
        return f"{name} is reached by ssh, which needs paramiko: pip install 'docker[ssh]'"
    return f"the container engine of {name} does not answer ({_reason(error)}); start it, or see --host and DOCKER_HOST"


def _reason(error: Exception) -> str:
    explanation = getattr(error, "explanation", None) or error
    return " ".join(str(explanation).split())


def _gpus(*, count: int | None = None, device: int | None = None) -> Any:
    ids = None if device is None else [str(device)]
    return DeviceRequest(driver=DRIVER, count=count, device_ids=ids, capabilities=[["gpu"]])


def _endpoints(network: str | None) -> dict[str, Any]:
    """Known in a network of somebody's own as `worker`, as those of Compose are: so Prometheus finds them."""
    if network is None or network in NO_NAMES or network.startswith("container:"):
        return {}
    return {"EndpointsConfig": {network: {"Aliases": [NODE]}}}


def _environment(order: Order, slot: Slot) -> dict[str, str]:
    gpu = {} if slot.device is None else {"NVIDIA_DRIVER_CAPABILITIES": CAPABILITIES}
    return {**order.environment, **gpu}


def _gpus_given(container: DockerContainer) -> Iterator[int]:
    """Indices of the GPUs that a container was given; all there may be, for one that was given all."""
    for request in container.attrs["HostConfig"].get("DeviceRequests") or ():
        if request.get("Driver") not in ("", DRIVER):
            continue
        if request.get("Count") == ALL_GPUS:
            yield from range(64)
        yield from range(max(request.get("Count") or 0, 0))
        yield from (int(each) for each in request.get("DeviceIDs") or () if each.isdecimal())


def _container(found: DockerContainer) -> Container:
    state = found.attrs["State"]
    was_never_started = state["Status"] == "created" and _age(found.attrs["Created"]) > START_SECONDS
    has_ended = state["Status"] in ("exited", "dead") or was_never_started
    return Container(
        id=str(found.id),
        name=str(found.name),
        slot=found.labels.get(SLOT, ""),
        hostname=found.attrs["Config"]["Hostname"],
        draining=DRAINING in str(found.name),
        deaths=int(found.labels.get(DEATHS, "0")),
        exit=Exit(state["ExitCode"], _lived(state), state.get("OOMKilled", False)) if has_ended else None,
    )


def _lived(state: dict[str, Any]) -> float:
    """From its start to its end, both by the engine's clock; seconds."""
    began, ended = (_moment(state[name]) for name in ("StartedAt", "FinishedAt"))
    return max((ended - began).total_seconds(), 0.0)


def _age(created: str) -> float:
    """Seconds since then, by this machine's clock."""
    return (datetime.now(UTC) - _moment(created)).total_seconds()


def _moment(text: str) -> datetime:
    """Docker writes nanoseconds, which Python does not read."""
    whole = text.partition(".")[0].rstrip("Z")
    return datetime.fromisoformat(f"{whole}+00:00")
