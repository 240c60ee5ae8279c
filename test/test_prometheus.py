"""What is for Prometheus: the alert rules, the example of a configuration, the page of metrics."""

import re
import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from zkexec.ctl.web.group_metrics import CONNECTED, GROUP_METRICS, MEMBER_METRICS, STATE
from zkexec.runtime.metric_table import COMMON_LABELS, METRICS

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "share" / "prometheus"
RULES = FOLDER / "zkexec.rules.yml"
CONFIGURATION = FOLDER / "zkexec.prometheus.yml"
PLAYED = ROOT / "test" / "prometheus" / "zkexec.rules.test.yml"
PAGE = ROOT / "docs" / "metrics.md"
OF_OTHERS = {"node_textfile_mtime_seconds", "up"}


def rules() -> list[dict[str, Any]]:
    """All alert rules."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.mark.parametrize(
    "words",
    [("check", "rules", RULES), ("check", "config", CONFIGURATION), ("test", "rules", PLAYED)],
    ids=lambda words: " ".join(map(str, words[:2])),
)
def test_promtool_accepts_it(words: tuple[str | Path, ...]) -> None:
    """The rules and the configuration are valid, and each alert is raised by what it is for."""
    run = subprocess.run(("promtool", *words), capture_output=True, check=False, text=True)

    assert run.returncode == 0, run.stdout + run.stderr


def test_each_alert_is_played() -> None:
    """The file of unit tests raises every alert at least once."""
    played = yaml.safe_load(PLAYED.read_text(encoding="utf-8"))["tests"]
    raised = {
        test["alertname"]
        for one in played
        for test in one["alert_rule_test"]
        if test.get("exp_alerts")
    }

    assert raised == {rule["alert"] for rule in rules()}


def test_the_rules_use_only_metrics_that_there_are() -> None:
    """Each name and each value of a label in an expression is in the tables of the code."""
    names = {metric.name for metric in METRICS} | {CONNECTED[0], STATE[0], *OF_OTHERS}
    names |= {metric[0] for metric in (*GROUP_METRICS, *MEMBER_METRICS)}
    values = {value for metric in METRICS for label in metric.labels.values() for value in label}
    for rule in rules():
        used = set(re.findall(r"\b(?:(?:zkexec|node)_\w+|up(?={))", rule["expr"]))
        assert used, rule
        assert used <= names, rule
        for label, value in re.findall(r'\b(event|result|action|kind)="([^"]+)"', rule["expr"]):
            assert value in values, (rule, label)


def test_all_metrics_of_a_command_are_those_of_the_contract() -> None:
    """The names and the labels are those that dashboards and rules of users rely on."""
    assert COMMON_LABELS == ("lock", "member")
    assert {metric.name: tuple(metric.labels) for metric in METRICS} == {
        "zkexec_command_up": (),
        "zkexec_command_start_timestamp_seconds": (),
        "zkexec_healthy": (),
        "zkexec_cluster_connected": (),
        "zkexec_config_pending": (),
        "zkexec_config_written_timestamp_seconds": (),
        "zkexec_changes_total": ("action", "result"),
        "zkexec_checks_total": ("kind", "result"),
        "zkexec_sessions_lost_total": (),
        "zkexec_alerts_total": ("event",),
    }


def test_the_page_is_drawn_and_shows_the_example() -> None:
    """The tables of the page are those of the code and the rules, its example that of the file."""
    [(page, text)] = runpy.run_path(str(ROOT / "tools" / "draw_metrics.py"))["drawn"]()
    shown = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)

    assert PAGE.read_text(encoding="utf-8") == text, "docs/metrics.md is out of date: make papers"
    assert page == PAGE
    assert shown is not None
    assert CONFIGURATION.read_text(encoding="utf-8").endswith(shown[1])
