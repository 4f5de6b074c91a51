"""Grafana's dashboards and the alert rules ask only for what the bridge exports, and say what to do."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.bridge.test_metrics import PREFIX, labels_of, ours

ROOT = Path(__file__).resolve().parents[2]
BOARDS = sorted((ROOT / "dashboard" / "grafana").glob("*.json"))
PROMETHEUS = ROOT / "dashboard" / "prometheus"
RULES: list[dict[str, Any]] = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"][0]["rules"]
SAMPLES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
ADDED = {"instance", "job"}  # by Prometheus itself


def exported() -> dict[str, set[str]]:
    """Label names by sample."""
    return {
        metric.name + suffix: {*labels_of(metric.name), *(["le"] if metric.type == "histogram" else [])}
        for metric in ours()
        for suffix in SAMPLES[metric.type]
    }


def selected(expression: str) -> list[tuple[str, set[str]]]:
    """Each sample that the expression asks for, with the labels of its selector."""
    found = re.findall(rf"({PREFIX}_\w+)(?:{{([^}}]*)}})?", expression)
    return [(name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))) for name, selector in found]


def grouped(expression: str) -> set[str]:
    return {
        label.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(",")
    }


def check(expression: str) -> None:
    known = exported()
    asked = selected(expression)
    for name, labels in asked:
        assert name in known, f"{name} is not exported"
        assert labels <= known[name] | ADDED, f"{name} has no label {labels - known[name]}"
    there = {label for name, _ in asked for label in known[name]} | ADDED
    assert grouped(expression) <= there


def panels() -> list[Any]:
    return [
        pytest.param(target["expr"], id=f"{path.stem}-{panel['title']}-{target['refId']}")
        for path in BOARDS
        for panel in json.loads(path.read_text())["panels"]
        for target in panel["targets"]
    ]


@pytest.mark.parametrize("expression", panels())
def test_a_panel_asks_for_what_is_exported(expression: str) -> None:
    assert selected(expression)
    check(expression)


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_dashboard_can_be_provisioned_as_it_is(path: Path) -> None:
    board = json.loads(path.read_text())
    assert board["uid"] == path.stem
    assert "__inputs" not in board
    assert board["templating"]["list"][0]["type"] == "datasource"
    for panel in board["panels"]:
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
    names = [panel["id"] for panel in board["panels"]]
    assert len(names) == len(set(names))
    used = set(re.findall(r"\$(\w+)", path.read_text())) - {"__rate_interval", "__all"}
    assert used <= {variable["name"] for variable in board["templating"]["list"]}


def test_every_metric_is_on_a_dashboard_or_in_an_alert() -> None:
    """A figure that nobody looks at costs memory and says nothing."""
    text = "".join(path.read_text() for path in (*BOARDS, PROMETHEUS / "alerts.yml"))
    assert [metric.name for metric in ours() if metric.name not in text] == []


def promtool(*arguments: object, cwd: Path = PROMETHEUS) -> str:
    done = subprocess.run(
        ["promtool", *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_expression_of_the_dashboards_is_promql(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": parameter.values[0].replace("$__rate_interval", "5m")}
        for number, parameter in enumerate(panels())
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", file, cwd=tmp_path)


def test_each_alert_fires_and_stays_silent_as_its_tests_say() -> None:
    promtool("check", "rules", "alerts.yml")
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yml")


def test_each_alert_has_a_test_that_it_fires_and_one_that_it_is_silent() -> None:
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    for rule in RULES:
        fires = {bool(case["exp_alerts"]) for case in cases if case["alertname"] == rule["alert"]}
        assert fires == {True, False}, rule["alert"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_is_exported_and_leads_to_its_runbook(rule: dict[str, Any]) -> None:
    check(rule["expr"])
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"]["summary"]
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    text = (ROOT / page).read_text(encoding="utf-8")
    assert anchor == rule["alert"].lower()
    section = re.search(rf"^### {rule['alert']}\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None, f"{page} has no section {rule['alert']}"
    assert len(section[1].split()) > 30
