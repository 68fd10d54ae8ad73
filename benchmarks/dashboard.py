"""The dashboard under load, as a picture: `python -m benchmarks.dashboard docs/dashboard.jpg [--minutes 5]`.

A whole stack of this machine with two workers, batches of good and bad rows, a drop folder and visitors of the API; a real Prometheus
(Debian's `prometheus`) that scrapes it. Then every query of `docker/grafana/dashboards/dubline.json` is put to that Prometheus, and what
it answers is drawn by `benchmarks.drawn` and photographed in chromium. Grafana itself takes no part, and the picture says so.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import wave
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from playwright.sync_api import sync_playwright

from benchmarks.drawn import COLUMN, LINE, Line, Span, page
from contract.settings import Settings
from contract.storage import Storage
from producer.local import LocalStack, _environment, _free_ports

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "demo"
DASHBOARD = ROOT / "docker" / "grafana" / "dashboards" / "dubline.json"
ALERTS = ROOT / "docker" / "prometheus" / "alerts.yml"
CHROMIUM = "/usr/bin/chromium"
SCRAPE_SECONDS = 5
RATE = "30s"
"""What Grafana would put for $__rate_interval: at least four scrapes."""
BATCH_SECONDS = 12.0
"""Between two submissions."""
ROWS = """id,video,audio,priority
{n}-a,portrait.mp4,{n}-1.wav,normal
{n}-b,portrait.mp4,{n}-2.wav,high
{n}-c,still.jpg,{n}-1.wav,low
{n}-d,portrait.mp4,{n}-3.wav,normal
{n}-e,still.jpg,{n}-2.wav,low
{n}-f,still.jpg,{n}-3.wav,normal
{n}-bad,{video},{audio},normal
"""
BAD = (("text.mp4", "{n}-1.wav"), ("{n}-2.wav", "{n}-2.wav"), ("portrait.mp4", "{n}-0.03.wav"))
"""Pairs that cannot become a video, each in its turn: no media, no picture, too little sound."""


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("picture", type=Path, help="a JPEG")
    words.add_argument("--minutes", type=float, default=5.0)
    told = words.parse_args()
    (port,) = _free_ports(1)
    with tempfile.TemporaryDirectory(prefix="dubline-dashboard-") as name:
        folder = Path(name)
        first = _free_ports(1, 4)[0]
        settings = Settings(metrics_port=first, drop="s3://dubline/drop/", prepared=folder / "prepared")
        with (
            LocalStack.start(folder / "stack", workers=2, flower=False, api=True, settings=settings) as stack,
            prometheus(stack, folder, port) as address,
        ):
            began = time.time()
            load(stack, folder, began + told.minutes * 60)
            span = Span(began, time.time())
            body = page(json.loads(DASHBOARD.read_text()), asking(address, span), span, caption(told.minutes))
    photograph(body, told.picture)


def caption(minutes: float) -> str:
    return (
        f"Drawn by benchmarks/dashboard.py, not by Grafana: the panels of docker/grafana/dashboards/dubline.json, each query answered by a "
        f"real Prometheus after {minutes:g} minutes of load on a stack with 2 workers on 2 cores and no GPU. In the middle a job's process was killed."
    )


@contextmanager
def prometheus(stack: LocalStack, folder: Path, port: int) -> Iterator[str]:
    """A Prometheus that scrapes the stack, with our alerts; its address."""
    jobs: dict[str, list[str]] = {"api": [urllib.parse.urlsplit(str(stack.api_url)).netloc]}
    for name, url in stack.metrics_urls.items():
        job = {"watch": "watcher"}.get(name, name.rstrip("0123456789"))
        jobs.setdefault(job, []).append(urllib.parse.urlsplit(url).netloc)
    config = {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{SCRAPE_SECONDS}s"},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": targets}]} for job, targets in jobs.items()
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    argv = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([*argv, f"--web.listen-address=127.0.0.1:{port}"], stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def load(stack: LocalStack, folder: Path, until: float) -> None:
    """Submit, visit, drop and break until then."""
    for name in ("portrait.mp4", "still.jpg"):
        (folder / name).write_bytes((DEMO / name).read_bytes())
    (folder / "text.mp4").write_text("This is not a video.\n" * 50)
    storage, half = Storage(stack.settings), time.time() + (until - time.time()) / 2
    next_batch, number = 0.0, 0
    while time.time() < until:
        if time.time() >= next_batch:
            next_batch, number = time.time() + BATCH_SECONDS, number + 1
            submit(stack, folder, number)
            storage.put(f"drop/lonely-{number}.mp4", b"video")
        if half and time.time() >= half:
            half = 0.0
            kill_a_child(stack)
        visit(stack)
        time.sleep(0.3)


def submit(stack: LocalStack, folder: Path, number: int) -> None:
    for seconds in (0.03, 1, 2, 3):
        shorten(DEMO / "voice-short.wav", folder / f"{number}-{seconds}.wav", seconds, number)
    path = folder / f"lessons {number}.csv"
    video, audio = (each.format(n=number) for each in BAD[number % len(BAD)])
    path.write_text(ROWS.format(n=number, video=video, audio=audio))
    words = [sys.executable, "-m", "producer.cli", "submit", str(path)]
    subprocess.run(words, env=_environment(stack.settings), check=True, capture_output=True)


def shorten(source: Path, target: Path, seconds: float, number: int) -> None:
    """Each batch has other sound, so that no job has been done before."""
    with wave.open(str(source)) as long, wave.open(str(target), "wb") as short:
        short.setparams(long.getparams())
        long.readframes(number * 100)
        short.writeframes(long.readframes(int(seconds * long.getframerate())))


def visit(stack: LocalStack) -> None:
    for path in ("/batches", "/version", "/nothing"):
        with suppress(urllib.error.HTTPError):
            urllib.request.urlopen(f"{stack.api_url}{path}", timeout=30).read()


def kill_a_child(stack: LocalStack) -> None:
    """As the kernel does when memory is short."""
    worker = next(each.pid for each in stack.services if each.name == "worker1")
    children = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
    child = next(each for each in children if "spawn_main" in Path(f"/proc/{each}/cmdline").read_text())
    os.kill(int(child), signal.SIGKILL)


def asking(address: str, span: Span) -> Any:
    """Puts queries to a Prometheus."""
    firing = get(address, "alerts", {})["alerts"]
    print("alerts:", sorted(f"{each['labels']['alertname']} {each['state']}" for each in firing) or "none")

    def ask(expr: str, legend: str) -> list[Line]:
        words = {
            "query": expr.replace("$__rate_interval", RATE),
            "start": span.began,
            "end": span.ended,
            "step": SCRAPE_SECONDS,
        }
        found = [line_of(each, legend) for each in get(address, "query_range", words)["result"]]
        if not any(line.points for line in found):
            print("no data:", expr)
        return found

    return ask


def get(address: str, what: str, words: dict[str, Any]) -> Any:
    url = f"{address}/api/v1/{what}?{urllib.parse.urlencode(words)}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)["data"]


def line_of(series: dict[str, Any], legend: str) -> Line:
    name = legend
    for label, value in series["metric"].items():
        name = name.replace(f"{{{{{label}}}}}", value)
    points = [(at, float(value)) for at, value in series["values"] if value not in ("NaN", "+Inf", "-Inf")]
    return Line(name, points)


def photograph(body: str, picture: Path) -> None:
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.html"
        path.write_text(body)
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        shown = chromium.new_page(viewport={"width": 24 * COLUMN + 16, "height": 58 * LINE})
        shown.goto(path.as_uri())
        shown.screenshot(path=picture, type="jpeg", quality=70, full_page=True)
        chromium.close()
    print(f"{picture}: {picture.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
