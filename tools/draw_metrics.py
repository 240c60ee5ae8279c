"""Write the tables of docs/metrics.md: the metrics from their tables, the alerts from their rules.

`python tools/draw_metrics.py` writes; a test compares the page with what it would write.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from zkexec.ctl.web.group_metrics import CONNECTED, GROUP_METRICS, MEMBER_METRICS, STATE
from zkexec.runtime.metric_table import COMMON_LABELS, METRICS

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "metrics.md"
RULES = ROOT / "share" / "prometheus" / "zkexec.rules.yml"
HEAD = ("| metric | type | labels | meaning |", "| --- | --- | --- | --- |")


def of_commands() -> str:
    """Return the metrics of `--metrics-file` as Markdown."""
    rows = []
    for metric in METRICS:
        labels = [f"`{name}`" for name in COMMON_LABELS]
        for name, values in metric.labels.items():
            labels.append(f"`{name}` ({', '.join(f'`{value}`' for value in values)})")
        rows.append(f"| `{metric.name}` | {metric.kind} | {', '.join(labels)} | {metric.meaning} |")
    return "\n".join([*HEAD, *rows])


def of_groups() -> str:
    """Return the metrics of the exporter as Markdown."""
    metrics = [
        (*CONNECTED, ()),
        (*STATE, ("group", "state")),
        *((name, meaning, ("group",)) for name, meaning, _ in GROUP_METRICS),
        *((name, meaning, ("group", "member")) for name, meaning, _ in MEMBER_METRICS),
    ]
    rows = [
        f"| `{name}` | gauge | {', '.join(f'`{label}`' for label in labels)} | {meaning} |"
        for name, meaning, labels in metrics
    ]
    return "\n".join([*HEAD, *rows])


def alerts() -> str:
    """Return the alerts as Markdown."""
    rows = ["| alert | severity | expression | for |", "| --- | --- | --- | --- |"]
    rules: dict[str, Any] = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            expression = rule["expr"].replace("|", "\\|")
            severity = rule["labels"]["severity"]
            rows.append(
                f"| {rule['alert']} | {severity} | `{expression}` | {rule.get('for', '')} |"
            )
    return "\n".join(rows)


TABLES = {"commands": of_commands, "groups": of_groups, "alerts": alerts}


def drawn() -> Iterator[tuple[Path, str]]:
    """Return the page with its tables as they should be."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        begin = f"<!-- {name}: drawn by tools/draw_metrics.py -->\n"
        end = f"<!-- end of {name} -->"
        head, rest = text.split(begin)
        _, tail = rest.split(end)
        text = f"{head}{begin}{table()}\n\n{end}{tail}"
    yield PAGE, text


if __name__ == "__main__":
    for path, page_text in drawn():
        path.write_text(page_text, encoding="utf-8")
