"""What is shipped for Prometheus and Grafana speaks of metrics that exist, and its reference of all of them."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from api.web.metrics import catalogue
from api.web.metrics.catalogue import Kind

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES, DASHBOARD = DEPLOY / "prometheus/rules.yml", DEPLOY / "grafana/dashboard.json"
REFERENCE = DEPLOY / "prometheus/README.md"
NAME = re.compile(r"\bollama_fleet_\w+")


def series() -> set[str]:
    """The names under which the metrics are stored."""
    names: set[str] = set()
    for metric in catalogue.ALL:
        if metric.kind is Kind.HISTOGRAM:
            names |= {f"{metric.name}_{part}" for part in ("bucket", "sum", "count")}
        else:
            names.add(metric.name)
    return names


def expressions() -> list[str]:
    """All queries of the dashboard."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_the_rules_ask_for_metrics_that_exist() -> None:
    asked = set(NAME.findall(RULES.read_text()))
    assert asked
    assert asked <= series()


def test_the_dashboard_asks_for_metrics_that_exist_and_leaves_none_out() -> None:
    asked = {name for expression in expressions() for name in NAME.findall(expression)}
    assert asked <= series()
    shown = {name.removesuffix("_bucket") for name in asked} | {"ollama_fleet_build_info"}
    in_alerts_only = {
        "ollama_fleet_api_listener_connected",
        "ollama_fleet_monitor_stats_age_seconds",
        "ollama_fleet_server_tls_expires_timestamp_seconds",
        "ollama_fleet_monitor_history_pages_lost_total",
    }
    not_shown = {"ollama_fleet_monitor_history_pages_total", "ollama_fleet_monitor_results_dropped_total"}
    assert shown == {metric.name for metric in catalogue.ALL} - in_alerts_only - not_shown


def test_the_labels_that_are_asked_for_exist() -> None:
    known = {label for metric in catalogue.ALL for label in metric.labels} | {"instance", "le"}
    text = "\n".join(expressions()) + RULES.read_text()
    asked = {label for group in re.findall(r"\bby \(([^)]*)\)", text) for label in re.split(r",\s*", group)}
    asked |= set(re.findall(r"[{,](\w+)=~?[\"']", text))
    assert {"instance", "le", "status"} <= asked <= known


def test_the_panels_do_not_lie_upon_one_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_the_reference_names_every_metric_as_the_code_does() -> None:
    rows = [line for line in REFERENCE.read_text().splitlines() if line.startswith("| `ollama_fleet_")]
    assert rows == [
        f"| `{metric.name}` | {metric.kind} | {', '.join(metric.labels)} | {metric.help} |" for metric in catalogue.ALL
    ]


def test_promtool_takes_the_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    done = subprocess.run([promtool, "check", "rules", RULES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
