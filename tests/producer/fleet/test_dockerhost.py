"""The SDK-facing side, on a real engine: where none answers these tests are skipped.

The image has no file but a mark: a container of it runs this machine's own programs, which are mounted. Where the engine
has a stub in the place of NVIDIA's hook, containers with GPUs start, too.
"""

import os
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("docker", reason="Docker's SDK is not installed")
from contract.errors import BadRequest, ConfigurationError, HostUnavailable
from producer.fleet.dockerhost import DEATHS, FLEET, SLOT, DockerHost, connect_hosts
from producer.fleet.host import Order, Slot, slots_of

HERE = tuple(f"{each}:{each}:ro" for each in ("/usr", "/lib", "/lib64", "/bin") if Path(each).exists())
STUB_SECONDS = 20


SHELL = ("/bin/sh", "-c")


@pytest.fixture(scope="module")
def sleeper(image):
    """An image that runs until it is told to stop, and says what it was told."""
    return image(*SHELL, "env; trap exit TERM; while :; do sleep 0.1; done")


def order(host, image, **more):
    return Order(
        **{
            "image": image,
            "fleet": host._fleet,
            "environment": {},
            "volumes": HERE,
            "stop_seconds": 5,
            **more,
        }
    )


def attrs(host, container):
    return host._client.containers.get(container.id).attrs


def until(true, seconds=STUB_SECONDS):
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
    return found


def test_a_worker_is_found_again_by_its_labels(host, sleeper):
    made = host.start(Slot(host.name, "cpu0"), order(host, sleeper), deaths=2)
    (seen,) = host.look().containers
    assert seen == made
    assert (seen.slot, seen.deaths, seen.exit, seen.draining) == ("cpu0", 2, None, False)
    assert seen.node == f"worker@{attrs(host, made)['Config']['Hostname']}"
    labels = attrs(host, made)["Config"]["Labels"]
    assert labels == {FLEET: host._fleet, SLOT: "cpu0", DEATHS: "2"}


def test_of_one_slot_there_is_one_worker_whoever_starts_it(host, sleeper):
    slot = Slot(host.name, "cpu0")
    assert host.start(slot, order(host, sleeper), 0)
    assert host.start(slot, order(host, sleeper), 0) is None
    assert len(host.look().containers) == 1


def test_a_worker_is_told_what_it_is_told_and_is_shut_in(host, sleeper):
    told = order(host, sleeper, environment={"DUBLINE_NAMESPACE": "night"}, network="none")
    made = host.start(Slot(host.name, "cpu0"), told, 0)
    found = attrs(host, made)
    config, limits = found["Config"], found["HostConfig"]
    assert {"DUBLINE_NAMESPACE=night", "TMPDIR=/scratch"} <= set(config["Env"])
    assert not [each for each in config["Env"] if each.startswith("NVIDIA")]
    assert (limits["ReadonlyRootfs"], limits["CapDrop"], limits["Init"]) == (True, ["ALL"], True)
    assert (limits["SecurityOpt"], limits["NetworkMode"]) == (["no-new-privileges"], "none")
    assert limits["LogConfig"]["Config"]["max-size"] and limits["PidsLimit"] > 0
    assert (limits["DeviceRequests"], config["StopTimeout"]) == ([], 5)
    assert [each["Destination"] for each in found["Mounts"] if each["Type"] == "volume"] == ["/scratch"]
    assert not [each["RW"] for each in found["Mounts"] if each["Type"] == "bind" and each["RW"]]


@pytest.fixture
def network(host):
    made = host._client.networks.create(f"{host._fleet}-network")
    yield made
    for each in host.look().containers:
        made.disconnect(each.id, force=True)
    made.remove()


def test_in_a_network_of_its_own_a_worker_is_found_by_the_name_by_which_prometheus_asks(
    host, sleeper, network
):
    made = host.start(Slot(host.name, "cpu0"), order(host, sleeper, network=network.name), 0)
    assert "worker" in attrs(host, made)["NetworkSettings"]["Networks"][network.name]["Aliases"]
    prometheus = (Path(__file__).parents[3] / "docker/prometheus/prometheus.yml").read_text()
    assert "names: [worker], type: A" in prometheus


@pytest.fixture
def with_gpus(host, sleeper):
    """Workers in the slots of four GPUs, of an engine that has some, or a stub in their place."""
    made = []
    try:
        for each in slots_of(host.name, 4, 1):
            made.append(host.start(each, order(host, sleeper), 0))
    except ConfigurationError as error:
        assert "no GPU to give" in error.message
        pytest.skip(error.message)
    return made


def test_each_gpu_of_a_host_is_given_to_one_worker(host, with_gpus):
    for index, each in enumerate(with_gpus):
        (request,) = attrs(host, each)["HostConfig"]["DeviceRequests"]
        assert (request["Driver"], request["DeviceIDs"]) == ("nvidia", [str(index)])
        assert request["Capabilities"] == [["gpu"]]
        said = until(lambda each=each: host.last_lines(each, 100))
        assert f"NVIDIA_VISIBLE_DEVICES={index}" in said
        assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility,video" in said


def test_gpus_of_somebody_else_s_containers_are_taken(host, with_gpus):
    assert host.look().taken == frozenset()
    other = DockerHost(None, "another-fleet")
    assert {0, 1, 2, 3} <= other.look().taken
    other.close()


def test_gpus_are_counted_as_nvidia_smi_says(host, image, monkeypatch):
    """Without a GPU: a shell in its place, in a container that is given all GPUs all the same."""
    lines = "GPU 0: NVIDIA L4 (UUID: GPU-1)\n  MIG 1g.5gb Device 0\nGPU 1: NVIDIA L4 (UUID: GPU-2)"
    asked, said_by = [], host._said_by

    def said(config):
        asked.append(config["HostConfig"]["DeviceRequests"])
        config |= {"Entrypoint": [*SHELL, f"echo '{lines}'"], "Cmd": []}
        config["HostConfig"]["Binds"] = list(HERE)
        return said_by(config)

    monkeypatch.setattr(host, "_said_by", said)
    try:
        assert host.gpus(image("nothing")) == 2
    except ConfigurationError as error:
        pytest.skip(error.message)
    ((request,),) = asked
    assert (request["Driver"], request["Count"], request["Capabilities"]) == ("nvidia", -1, [["gpu"]])


def test_where_gpus_cannot_be_counted_it_says_what_to_do(host, image):
    before = {each.id for each in host._client.containers.list(all=True)}
    with pytest.raises(
        ConfigurationError, match=r"has no GPU to give .*; say how many with --gpus 4, or --gpus 0"
    ):
        host.gpus(image(*SHELL, "sleep 0"))
    assert {each.id for each in host._client.containers.list(all=True)} <= before, "nothing is left behind"


def test_a_missing_image_is_said_before_anything_starts_and_when_it_starts(host):
    for act in (
        lambda: host.check("nobody/has:this"),
        lambda: host.start(Slot(host.name, "cpu0"), order(host, "nobody/has:this"), 0),
        lambda: host.gpus("nobody/has:this"),
    ):
        with pytest.raises(ConfigurationError, match=r"has no image nobody/has:this; .*--image"):
            act()
    assert host.look().containers == ()


def test_a_network_that_is_not_there_is_said_and_nothing_is_left_behind(host, sleeper):
    with pytest.raises(ConfigurationError, match=r"does not start a worker in cpu0: .*no-such-network"):
        host.start(Slot(host.name, "cpu0"), order(host, sleeper, network="no-such-network"), 0)
    assert host.look().containers == ()


def test_a_worker_that_drains_says_so_to_the_next_process_and_leaves_its_name_to_another(host, sleeper):
    slot = Slot(host.name, "cpu0")
    first = host.start(slot, order(host, sleeper), 0)
    host.mark_draining(first)
    assert [(each.id, each.draining, each.slot) for each in host.look().containers] == [
        (first.id, True, "cpu0")
    ]
    assert host.start(slot, order(host, sleeper), 0)


def test_a_stopped_worker_is_asked_first_and_goes_with_its_volume(host, sleeper):
    made = host.start(Slot(host.name, "cpu0"), order(host, sleeper), 0)
    until(lambda: host.last_lines(made, 1))
    (volume,) = [each["Name"] for each in attrs(host, made)["Mounts"] if each["Type"] == "volume"]
    began = time.monotonic()
    host.stop(made, 30)
    assert time.monotonic() - began < 25, "it heard the signal, and was not killed after its time"
    assert host.look().containers == ()
    assert volume not in [each.name for each in host._client.volumes.list()]


def test_how_a_worker_ended_is_told_with_the_end_of_its_log(host, image):
    made = host.start(
        Slot(host.name, "cpu0"), order(host, image(*SHELL, "echo one; echo two; sleep 1; exit 7")), 0
    )
    seen = until(lambda: (found := host.look().containers[0]).exit and found)
    assert seen.exit.code == 7
    assert seen.exit.lived_seconds == pytest.approx(1, abs=1.5)
    assert host.last_lines(made, 1) == ["two"]
    host.remove(seen)
    assert host.look().containers == ()


def test_a_worker_that_runs_is_never_removed(host, sleeper):
    made = host.start(Slot(host.name, "cpu0"), order(host, sleeper), 0)
    host.remove(made)
    assert host.look().containers[0].exit is None


def test_a_container_that_somebody_removed_is_gone_and_that_is_all(host, sleeper):
    made = host.start(Slot(host.name, "cpu0"), order(host, sleeper), 0)
    host._client.containers.get(made.id).remove(v=True, force=True)
    host.mark_draining(made)
    host.stop(made, 1)
    host.remove(made)
    assert host.last_lines(made, 5) == []


def test_one_engine_by_two_addresses_is_said(engine):
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    with pytest.raises(BadRequest, match="is the same engine as"):
        connect_hosts([address, address.replace("unix:///", "unix:////")], "test")


def test_an_engine_that_is_away_is_said_at_the_start():
    with pytest.raises(
        ConfigurationError, match=r"does not answer .*; start it, or see --host and DOCKER_HOST"
    ):
        connect_hosts(["tcp://127.0.0.1:1"], "test")


def test_an_address_that_is_none_is_said():
    with pytest.raises(ConfigurationError, match=r"ftp://gpu2 does not answer"):
        connect_hosts(["ftp://gpu2"], "test")


@pytest.mark.skipif(find_spec("paramiko") is not None, reason="paramiko is installed")
def test_a_host_by_ssh_without_what_it_needs_is_said():
    with pytest.raises(
        ConfigurationError, match=r"ssh://gpu2 is reached by ssh.*pip install 'docker\[ssh\]'"
    ):
        connect_hosts(["ssh://gpu2"], "test")


class Version(BaseHTTPRequestHandler):
    """All that an engine says to a client that begins."""

    def do_GET(self):
        body = b'{"ApiVersion": "1.45"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_an_engine_that_goes_away_later_is_an_outage():
    with HTTPServer(("127.0.0.1", 0), Version) as server:
        threading.Thread(target=server.handle_request).start()
        host = DockerHost(f"tcp://127.0.0.1:{server.server_port}", "test")
    with pytest.raises(HostUnavailable, match="does not answer"):
        host.look()
    host.close()
