"""The processes of `dubline api`, and the commands that start them and make keys."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import httpx2
import pytest

from contract.errors import ConfigurationError
from producer.api import cli
from producer.api.server import serve as run_server
from producer.local import _environment, _free_ports


@pytest.fixture
def command(settings, storage, tmp_path):
    """Run `dubline api` as a person would; it ends with the test."""
    running = []

    def start(*words, **changes):
        (port,) = _free_ports(1)
        line = [sys.executable, "-m", "producer.cli", "api", f"--port={port}", *words]
        environment = _environment(settings.model_copy(update=changes))
        with (tmp_path / "log").open("w") as log:
            running.append(subprocess.Popen(line, env=environment, stderr=log))
        url = f"http://127.0.0.1:{port}"
        until(lambda: answers(url))
        return running[-1], url

    yield start
    for each in running:
        each.terminate()  # a killed one would leave its children behind
        each.wait(60)


def answers(url):
    try:
        return httpx2.get(f"{url}/health/live", trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


def until(true, seconds=60):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_server_that_is_told_to_end_lets_followers_go_and_answers_what_it_began(
    command, pair, tmp_path, processes
):
    server, url = command(f"--processes={processes}")
    job = httpx2.post(f"{url}/generate", files=pair, trust_env=False).json()
    with httpx2.stream("GET", url + job["links"]["events"], trust_env=False, timeout=60) as following:
        lines = following.iter_lines()
        assert next(lines) == "event: progress"
        began = time.monotonic()
        server.send_signal(signal.SIGTERM)
        assert "event: end" not in list(lines), "it is let go without an end: the job has none yet"
    assert server.wait(60) in (0, -signal.SIGTERM)
    assert time.monotonic() - began < 15
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_figures_are_those_of_all_processes(command):
    _, url = command("--processes=2")

    def counted():
        httpx2.get(f"{url}/version", trust_env=False)
        told = httpx2.get(f"{url}/metrics", trust_env=False).text
        line = 'dubline_api_requests_total{address="/version",method="GET",status="200"} '
        return next(
            (float(each.removeprefix(line)) for each in told.splitlines() if each.startswith(line)), 0
        )

    numbers = [counted() for _ in range(12)]
    assert numbers == [float(n) for n in range(1, 13)]


@pytest.mark.parametrize("processes", [1, 2])
def test_figures_are_at_the_metrics_port_too_where_prometheus_needs_no_key(command, processes):
    (port,) = _free_ports(1)
    _, url = command(f"--processes={processes}", metrics_port=port)
    httpx2.get(f"{url}/version", trust_env=False)
    told = httpx2.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    assert 'dubline_api_requests_total{address="/version",method="GET",status="200"} 1.0' in told


def test_without_keys_a_host_that_others_reach_is_refused_with_what_to_do(settings):
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org", ""):
        with pytest.raises(ConfigurationError, match=r"without keys .* `dubline keys add NAME`"):
            run_server(settings, host, 0, 1)


def test_a_port_that_is_taken_is_told_of(settings):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port} cannot be listened on"):
            run_server(settings, "127.0.0.1", port, 1)


def test_keys_are_made_listed_and_removed(dubline, here, monkeypatch, tmp_path):
    monkeypatch.setenv("DUBLINE_API_KEYS", str(tmp_path / "keys.toml"))
    assert "there are no keys" in dubline("keys", "list").output
    made = json.loads(dubline("keys", "add", "studio", "--json").output)
    assert (made["name"], made["key"][:4]) == ("studio", "dub_")
    assert "only its hash stays here" in dubline("keys", "add", "team-b").output
    assert json.loads(dubline("keys", "list", "--json").output) == ["studio", "team-b"]
    assert dubline("keys", "remove", "studio").exit_code == 0
    assert dubline("keys", "list").output.split() == ["team-b"]
    assert dubline("keys", "remove", "studio").exit_code == 2
    assert dubline("keys", "add", "No Name").exit_code == 2


def test_without_a_file_of_keys_the_setting_is_named(dubline):
    told = dubline("keys", "list")
    assert (told.exit_code, "DUBLINE_API_KEYS" in told.output) == (1, True)


def test_without_its_extra_the_command_says_what_to_install(dubline, monkeypatch):
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    told = dubline("api")
    assert (told.exit_code, "pip install 'dubline[api]'" in told.output) == (1, True)


def test_listing_the_commands_imports_no_web_framework():
    code = "import sys, producer.cli; assert not {'fastapi', 'starlette', 'uvicorn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))


@pytest.mark.parametrize("processes", [1, 2])
def test_a_server_that_logs_for_machines_writes_objects_uvicorns_lines_too(
    command, pair, tmp_path, processes
):
    server, url = command(f"--processes={processes}", log_format="json")
    job = httpx2.post(f"{url}/generate", files=pair, trust_env=False).json()
    server.terminate()
    server.wait(60)
    told = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [each["batch"] for each in told if each.get("job") == job["id"]]
    assert any(each["logger"].startswith("uvicorn") for each in told)
