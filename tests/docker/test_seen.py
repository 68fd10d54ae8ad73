"""The dashboard and the alerts ask for metrics that exist, and each alert is explained."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.figures import names

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
DASHBOARDS = sorted((DOCKER / "grafana" / "dashboards").glob("*.json"))
RULES = [
    rule
    for group in yaml.safe_load((DOCKER / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
FOREIGN = {"up", "process_start_time_seconds", "process_resident_memory_bytes"}
"""What Prometheus and its library tell of any process."""


def panels():
    """Every panel that shows something."""
    found = [each for path in DASHBOARDS for each in json.loads(path.read_text(encoding="utf-8"))["panels"]]
    return [each for each in found if each["type"] != "row"]


def queries():
    shown = [(panel["title"], each["expr"]) for panel in panels() for each in panel["targets"]]
    return [*shown, *((rule["alert"], rule["expr"]) for rule in RULES)]


@pytest.fixture
def promtool():
    """Debian's package `prometheus` has it."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed")

    def run(*words):
        done = subprocess.run([program, *map(str, words)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    return run


@pytest.mark.parametrize(("name", "expr"), queries(), ids=lambda part: part[:40])
def test_a_query_asks_for_metrics_that_exist(name, expr):
    asked = set(re.findall(r"\b(?:dubline|process)_\w+|\bup\b", expr))
    assert asked and asked <= names() | FOREIGN, f"{name}: {asked - names() - FOREIGN}"


def test_every_metric_that_is_for_alarms_or_pictures_is_used_or_known_not_to_be():
    used = " ".join(expr for _, expr in queries())
    left = {name for name in names() if name not in used and not name.endswith(("_count", "_sum", "_bucket"))}
    assert left == {
        "dubline_api_followers", "dubline_api_uploaded_bytes_total", "dubline_attempts_total",
        "dubline_drop_batches_total", "dubline_drop_look_failures_total",
        "dubline_drop_look_timestamp_seconds", "dubline_drop_rows_total", "dubline_fleet_done_seconds",
        "dubline_fleet_look_timestamp_seconds", "dubline_fleet_workers", "dubline_queue_held",
    }  # fmt: skip


def test_every_alert_has_its_section_of_the_runbook_with_what_to_do_and_no_section_is_left_over():
    page = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert sections.keys() == {rule["alert"] for rule in RULES}
    for rule in RULES:
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"
        assert all(f"**{word}:**" in sections[rule["alert"]] for word in ("Means", "Look", "Do"))


def test_every_alert_is_proven_to_come_and_not_to_come():
    text = (ROOT / "tests" / "docker" / "alerts.test.yml").read_text(encoding="utf-8")
    asked = [each for test in yaml.safe_load(text)["tests"] for each in test["alert_rule_test"]]
    for name in (rule["alert"] for rule in RULES):
        expected = {bool(each["exp_alerts"]) for each in asked if each["alertname"] == name}
        assert expected == {True, False}, name


def test_prometheus_takes_the_configuration_and_the_rules(promtool):
    promtool("check", "config", DOCKER / "prometheus" / "prometheus.yml")


def test_each_alert_comes_when_it_should(promtool):
    promtool("test", "rules", ROOT / "tests" / "docker" / "alerts.test.yml")


def test_every_query_of_the_dashboard_is_promql(promtool, tmp_path):
    rules = [
        {"record": f"panel_{number}", "expr": expr.replace("$__rate_interval", "1m")}
        for number, (_, expr) in enumerate(queries())
    ]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", path)


def test_a_dashboard_is_loaded_without_a_click():
    provisioning = DOCKER / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "dubline.yml").read_text())["providers"]
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    assert provider["options"]["path"].endswith("/dashboards") and len(DASHBOARDS) == 1
    assert {panel["datasource"]["uid"] for panel in panels()} == {source["uid"]}


def test_panels_have_titles_and_descriptions_of_their_own_and_do_not_overlap():
    taken = set()
    for panel in json.loads(DASHBOARDS[0].read_text(encoding="utf-8"))["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
    shown = panels()
    assert len({panel["title"] for panel in shown}) == len({panel["id"] for panel in shown}) == len(shown)
    assert all(panel["description"] for panel in shown)
