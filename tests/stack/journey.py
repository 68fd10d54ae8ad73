"""The stack in containers, from nothing to nothing: built, used, broken and healed. Run by `make stack-test`, in this order.

One Docker project of its own is used, with ports, passwords and a network of its own; at the end nothing of it is left.
"""

import csv
import itertools
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PROJECT = "dubline-test"
MEGABYTE = 10**6
SIZES = {
    "dubline-producer:test": 250 * MEGABYTE,
    "dubline-worker:test": 800 * MEGABYTE,
    "dubline-s3:test": 350 * MEGABYTE,
}
PORTS = ("API_PORT", "FLOWER_PORT", "S3_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")
SECRETS = ("REDIS_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY", "FLOWER_PASSWORD", "GRAFANA_PASSWORD")
SERVICES = ("redis", "s3", "api", "feeder", "watcher", "worker", "flower", "prometheus")
"""All but Grafana, whose server is in no package registry: its files are tested by tests/test_dashboard.py."""
START_SECONDS, JOB_SECONDS, HEAL_SECONDS = 180, 240, 300


def until(ask, seconds, what):
    """What `ask` answers as soon as it is something."""
    deadline = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.5)
    return found


def run(*argv, check=True, env=None):
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True)
    assert not check or done.returncode == 0, f"{' '.join(argv)}\n{done.stdout}\n{done.stderr}"
    return done


def docker(*argv, check=True):
    return run("docker", *argv, check=check)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Stack:
    """The stack under test, by its command line alone."""

    folder: Path
    env: dict

    def compose(self, *argv, files=(), check=True, **more):
        chosen = [part for name in ("docker-compose.yml", *files) for part in ("-f", name)]
        env = {**os.environ, **self.env, **{name: str(value) for name, value in more.items()}}
        return run("docker", "compose", "--env-file", "/dev/null", *chosen, *argv, check=check, env=env)

    def containers(self, service):
        """What Docker says of each of a service's containers that run."""
        ids = self.compose("ps", "--quiet", service).stdout.split()
        return json.loads(docker("inspect", *ids).stdout) if ids else []

    def container(self, service):
        (found,) = self.containers(service)
        return found

    def get(self, path):
        with urlopen(f"http://127.0.0.1:{self.env['API_PORT']}{path}", timeout=30) as answer:
            return answer.read()

    def status_of(self, path, headers=None):
        try:
            with urlopen(
                Request(f"http://127.0.0.1:{self.env['API_PORT']}{path}", headers=headers or {}), timeout=30
            ) as answer:
                return answer.status
        except HTTPError as error:
            return error.code

    def answer(self, path):
        return json.loads(self.get(path))

    def submit(self, name, rows, *options):
        """Submit rows through the network of the stack; the name of their batch."""
        with (self.folder / "inputs" / f"{name}.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, ["id", "video", "audio", "start"], restval="")
            table.writeheader()
            table.writerows(rows)
        done = self.compose("run", "--rm", "--no-deps", "-T", "submit", f"{name}.csv", "--json", *options)
        return json.loads(done.stdout)["batch"]

    def ended(self, batch):
        """The batch when all its rows have ended; None also while what was killed is not back."""
        try:
            found = self.answer(f"/batches/{batch}")
        except OSError:
            return None
        return found if found["ended"] else None

    def until_done(self, batch, seconds=JOB_SECONDS):
        """Wait for a batch all of whose rows succeed; their manifests."""
        found = until(lambda: self.ended(batch), seconds, f"batch {batch} has ended")
        assert found["counts"] == {"done": found["rows"]}
        return self.manifests(batch)

    def manifests(self, batch):
        jobs = [each["id"] for each in self.answer(f"/batches/{batch}")["items"]]
        return [self.answer(f"/jobs/{job}/manifest") for job in jobs]

    def working(self):
        """Workers with a job, as `dubline status` shows them."""
        found = json.loads(self.compose("exec", "-T", "api", "dubline", "status", "--json").stdout)
        return [each for each in found["workers"] if each["doing"] == "busy"]


MOMENTS = itertools.count()


def rows_of(count, prefix, audio="voice-long.m4a"):
    """Rows whose jobs no other has: each begins at another millisecond of the portrait."""
    return [
        {"id": f"{prefix}-{number}", "video": "portrait.mp4", "audio": audio, "start": next(MOMENTS) / 1000}
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def stack(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("stack")
    shutil.copytree(ROOT / "demo", folder / "inputs")
    env = {
        "COMPOSE_PROJECT_NAME": PROJECT,
        "COMPOSE_PROFILES": "local,metrics",
        "TAG": "test",
        "GPU_TAG": "test",
        "INPUTS": str(folder / "inputs"),
        "SUBNET": "10.157.58.0/24",
        "GATEWAY": "10.157.58.1",
        **{name: secrets.token_hex(16) for name in SECRETS},
        **{name: str(free_port()) for name in PORTS},
    }
    made = Stack(folder, env)
    yield made
    if request.session.testsfailed:
        print(made.compose("ps", "--all", check=False).stdout)
        print(made.compose("logs", "--tail", "60", "--no-color", check=False).stdout)
    if left := fleet_workers():
        docker("rm", "--force", "--volumes", *left)
    made.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "5", check=False)


def test_the_images_are_built_within_their_sizes_for_nobody_in_particular_and_without_secrets(stack):
    stack.compose("build", "api", "s3", "worker")
    for name, limit in SIZES.items():
        (image,) = json.loads(docker("image", "inspect", name).stdout)
        config = image["Config"]
        print(f"{name}: {image['Size'] / MEGABYTE:.0f} MB")
        assert image["Size"] <= limit, name
        assert config["User"] == "10001:10001"
        assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
        assert not [
            each for each in config["Env"] if any(word in each for word in ("PASSWORD", "SECRET", "KEY="))
        ]
    there = docker("run", "--rm", "--entrypoint", "ls", "dubline-worker:test", "/weights").stdout
    assert there == "", "weights are in a layer"


@pytest.mark.parametrize(
    "missing", ["REDIS_PASSWORD", "S3_ACCESS_KEY", "FLOWER_PASSWORD", "GRAFANA_PASSWORD"]
)
def test_a_value_that_is_missing_is_named_with_what_writes_it(stack, missing):
    done = stack.compose("config", "--quiet", check=False, **{missing: ""})
    assert done.returncode != 0
    assert f"{missing} is missing a value: is not set; `make .env` writes" in done.stderr


def test_a_port_that_is_taken_is_named(stack):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = stack.compose("up", "--detach", "s3", check=False, S3_PORT=port)
    assert done.returncode != 0
    assert f"127.0.0.1:{port}" in done.stderr.splitlines()[-1]
    assert "in use" in done.stderr or "already allocated" in done.stderr


def test_the_stack_comes_up_healthy(stack):
    stack.compose("up", "--detach", "--wait", "--wait-timeout", str(START_SECONDS), *SERVICES)
    for service in SERVICES:
        assert stack.container(service)["State"]["Health"]["Status"] == "healthy", service


def test_no_container_runs_as_root_or_may_write_to_its_image(stack):
    for service in SERVICES:
        found = stack.container(service)
        status = Path(f"/proc/{found['State']['Pid']}/status").read_text()
        user = next(line for line in status.splitlines() if line.startswith("Uid:"))
        assert "0" not in user.split(), service
        host = found["HostConfig"]
        assert (host["ReadonlyRootfs"], host["CapDrop"], host["Init"]) == (True, ["ALL"], True), service


def test_nothing_is_published_but_on_this_machine_and_redis_not_at_all(stack):
    published = [
        (service, each["HostIp"])
        for service in SERVICES
        for bindings in stack.container(service)["NetworkSettings"]["Ports"].values()
        for each in bindings or ()
    ]
    assert {address for _, address in published} == {"127.0.0.1"}
    assert "redis" not in dict(published)


def test_a_csv_becomes_videos_with_manifests(stack):
    rows = [
        {"id": "short", "video": "portrait.mp4", "audio": "voice-short.wav"},
        {"id": "still", "video": "still.jpg", "audio": "voice-still.flac"},
    ]
    batch = stack.submit("first", rows)
    short, still = sorted(stack.until_done(batch), key=lambda each: each["row"])
    assert (short["row"], still["row"]) == ("short", "still")
    for each in (short, still):
        assert each["status"] == "succeeded"
        assert each["engine"]["name"] == "preview"
        assert each["attempt"]["host"] == stack.container("worker")["Config"]["Hostname"]
        assert each["frames"]["with_face"] > 0.9 * each["frames"]["total"]
        assert each["software"]["python"].startswith("3.12")
        video = stack.get(f"/jobs/{each['job_id']}/result")
        assert len(video) == each["output"]["bytes"]


def test_strangers_on_the_network_need_a_key(stack):
    done = stack.compose(
        *("run", "--rm", "--no-deps", "-T", "--entrypoint", "python", "submit", "-c"),
        "from urllib.request import urlopen; urlopen('http://api:8080/batches')",
        check=False,
    )
    assert "HTTP Error 403" in done.stderr


@pytest.mark.parametrize(
    ("port", "path", "says"),
    [
        (8333, "dubline/", "HTTP Error 403"),
        *((port, "", "Connection refused") for port in (8080, 8888, 9333, 18888, 19333)),
    ],
)
def test_the_store_gives_nothing_to_a_stranger_on_the_network(stack, port, path, says):
    done = stack.compose(
        *("run", "--rm", "--no-deps", "-T", "--entrypoint", "python", "submit", "-c"),
        f"from urllib.request import urlopen; urlopen('http://s3:{port}/{path}', timeout=10)",
        check=False,
    )
    assert says in done.stderr


def test_a_key_of_the_api_is_made_in_the_stack_and_from_then_on_everybody_needs_one(stack):
    done = stack.compose("exec", "-T", "api", "dubline", "keys", "add", "studio", "--json")
    key = {"Authorization": f"Bearer {json.loads(done.stdout)['key']}"}
    until(lambda: stack.status_of("/batches") == 401, 30, "a key is asked for")
    assert stack.status_of("/batches", key) == 200
    stack.compose("exec", "-T", "api", "dubline", "keys", "remove", "studio")
    until(lambda: stack.status_of("/batches") == 200, 30, "without keys this machine is served again")


def test_prometheus_finds_every_process(stack):
    def up():
        with urlopen(
            f"http://127.0.0.1:{stack.env['PROMETHEUS_PORT']}/api/v1/query?query=up", timeout=10
        ) as answer:
            found = json.load(answer)["data"]["result"]
        return {each["metric"]["job"]: each["value"][1] for each in found}

    wanted = dict.fromkeys(("api", "feeder", "watcher", "worker"), "1")
    until(lambda: wanted.items() <= up().items(), 60, "Prometheus sees all processes up")


def test_two_workers_both_work(stack):
    stack.compose("up", "--detach", "--wait", "--no-recreate", "--scale", "worker=2", "worker")
    manifests = stack.until_done(stack.submit("two", rows_of(6, "two", audio="voice-short.wav")))
    hosts = {each["Config"]["Hostname"] for each in stack.containers("worker")}
    assert {each["attempt"]["host"] for each in manifests} == hosts


def test_a_stop_is_a_drain(stack):
    """The worker that is stopped ends what it can, gives back the rest, and no attempt is counted for that."""
    batch = stack.submit("drain", rows_of(2, "drain"))
    busy = until(stack.working, 60, "a worker has a job")[0]["host"]
    docker("stop", "--time", "60", busy)
    (stopped,) = json.loads(docker("inspect", busy).stdout)
    assert stopped["State"]["ExitCode"] == 0
    manifests = stack.until_done(batch)
    assert {each["attempt"]["number"] for each in manifests} == {1}
    docker("start", busy)


@pytest.mark.parametrize("service", ["worker", "redis", "s3"])
def test_what_is_killed_comes_back_and_nothing_is_lost(stack, service):
    batch = stack.submit(f"killed-{service}", rows_of(2, service))
    until(stack.working, 60, "a worker has a job")
    before = stack.containers(service)[0]
    os.kill(before["State"]["Pid"], signal.SIGKILL)  # of the container's init, which is of our own making
    manifests = stack.until_done(batch, HEAL_SECONDS)
    assert len({each["job_id"] for each in manifests}) == 2
    (after,) = json.loads(docker("inspect", before["Id"]).stdout)
    assert after["RestartCount"] > before["RestartCount"]


def told(done):
    """The one line in which a process says why it does not go on."""
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    assert done.returncode != 0
    assert not [line for line in lines if "Traceback" in line], lines
    return lines[-1]


@pytest.mark.parametrize(
    ("service", "name", "value", "says"),
    [
        ("worker", "DUBLINE_ENGINE", "magic", "DUBLINE_ENGINE: Input should be 'preview'"),
        ("worker", "DUBLINE_LEASE_SECONDS", "soon", "DUBLINE_LEASE_SECONDS: Input should be a valid number"),
        ("worker", "DUBLINE_S3_SECRET_KEY", "wrong", "DUBLINE_S3"),
        ("worker", "DUBLINE_REQUIRE_GPU", "true", "no GPU is seen here"),
        ("feeder", "DUBLINE_REDIS_URL", "redis://redis:6379/0", "Redis refuses the credentials"),
        ("feeder", "DUBLINE_REDIS_URL", "redis://:wrong@redis:6379/0", "Redis refuses the credentials"),
        ("feeder", "DUBLINE_S3_SECRET_KEY", "wrong", "DUBLINE_S3"),
        ("feeder", "DUBLINE_S3_BUCKET", "another", "another"),
        ("api", "DUBLINE_API_TRUSTED", "everybody", "DUBLINE_API_TRUSTED: 'everybody' does not appear"),
        ("api", "DUBLINE_API_TRUSTED", "", "without keys the API serves this machine alone"),
    ],
)
def test_a_wrong_value_is_told_in_one_line(stack, service, name, value, says):
    done = stack.compose("run", "--rm", "--no-deps", "-T", "-e", f"{name}={value}", service, check=False)
    assert says in told(done)


def test_a_full_scratch_disk_costs_the_job_no_attempt_and_is_told(stack):
    full = ("tests/stack/full-disk.yml",)
    stack.compose("up", "--detach", "--wait", "--scale", "worker=1", "worker", files=full)
    batch = stack.submit("disk", rows_of(1, "disk", audio="voice-short.wav"))
    line = until(lambda: full_disk_line(stack), 90, "the worker says that its disk is full")
    print(line)
    stack.compose("up", "--detach", "--wait", "--scale", "worker=1", "worker")
    (manifest,) = stack.until_done(batch)
    assert manifest["attempt"]["number"] == 1


def full_disk_line(stack):
    log = stack.compose("logs", "--no-color", "worker").stdout
    return next((line for line in log.splitlines() if "disk_full" in line), None)


GPU = ("docker-compose.gpu.yml",)


def test_the_gpu_file_asks_for_devices_as_docker_wants_them(stack):
    """Under a stub of NVIDIA's hook, which gives no device: what Docker was asked for is what it is asked for with one."""
    stack.compose("up", "--detach", "--wait", "worker", files=GPU, REQUIRE_GPU="false", ENGINE="preview")
    host = stack.container("worker")["HostConfig"]
    (request,) = host["DeviceRequests"]
    assert (request["Driver"], request["Count"]) == ("nvidia", -1)
    assert request["Capabilities"] == [["gpu", "compute", "utility", "video"]]


def test_a_fleet_goes_from_none_to_two_and_back_to_none(stack):
    stack.compose("stop", "worker")
    how = {"FLEET_MAX": 2, "FLEET_IDLE": "5s", "FLEET_WITHIN": "5s", **docker_socket()}
    stack.compose("--profile", "fleet", "up", "--detach", "--wait", "fleet", **how)
    assert fleet_workers() == []
    batch = stack.submit("fleet", rows_of(6, "fleet", audio="voice-short.wav"))
    both = until(lambda: len(found := fleet_workers()) == 2 and found, 60, "two workers are there")
    manifests = stack.until_done(batch)
    hosts = {json.loads(docker("inspect", each).stdout)[0]["Config"]["Hostname"] for each in both}
    assert {each["attempt"]["host"] for each in manifests} == hosts
    assert {each["attempt"]["number"] for each in manifests} == {1}
    until(lambda: not fleet_workers(), 90, "both have gone")
    log = stack.compose("logs", "--no-color", "fleet").stdout
    assert "crash loop" not in log, log


def fleet_workers():
    return docker("ps", "--quiet", "--filter", f"label=dubline.fleet={PROJECT}").stdout.split()


def docker_socket():
    """Where the engine's socket is, and the group that may use it."""
    path = Path(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://"))
    return {"DOCKER_SOCKET": path, "DOCKER_GROUP": path.stat().st_gid}


def test_down_leaves_nothing(stack):
    label = f"label=com.docker.compose.project={PROJECT}"
    there = json.loads(
        docker("inspect", *docker("ps", "--all", "--quiet", "--filter", label).stdout.split()).stdout
    )
    volumes = {mount["Name"] for each in there for mount in each["Mounts"] if mount["Type"] == "volume"}
    assert {f"{PROJECT}_{name}" for name in ("redis", "s3", "weights", "scratch", "keys")} <= volumes
    stack.compose("--profile", "*", "down", "--volumes", "--timeout", "30", files=GPU)
    for kind, argv in {
        "containers": ("ps", "--all"),
        "volumes": ("volume", "ls"),
        "networks": ("network", "ls"),
    }.items():
        assert docker(*argv, "--quiet", "--filter", label).stdout == "", kind
    assert not volumes & set(docker("volume", "ls", "--quiet").stdout.split())
