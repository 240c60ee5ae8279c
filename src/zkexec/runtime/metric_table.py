"""The metrics of one zkexec for Prometheus: the table of them, and their text.

The text is the format of Prometheus's textfile collector.  It is written here, as zkexec needs no
package.
"""

from __future__ import annotations

from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    Samples: TypeAlias = Mapping[tuple[str, ...], float]
    """The values of the metrics: by the name, and the values of the labels of its own."""


@frozen(kw_only=True)
class Metric:
    """One metric: a gauge, or a counter if it is `counted`; all metrics have `COMMON_LABELS`.

    `labels` are those of its own, with the values that they can have.
    """

    name: str
    meaning: str
    labels: Mapping[str, tuple[str, ...]] = {}
    counted: bool = False

    @property
    def kind(self) -> str:
        """The type, as Prometheus calls it."""
        return "counter" if self.counted else "gauge"


COMMON_LABELS = ("lock", "member")

METRICS = (
    Metric(name="zkexec_command_up", meaning="Whether the command runs"),
    Metric(
        name="zkexec_command_start_timestamp_seconds",
        meaning="When the command was started last; absent before the first start",
    ),
    Metric(
        name="zkexec_healthy",
        meaning="Whether the last health check succeeded; absent before the first one of a "
        "command, and without --health",
    ),
    Metric(name="zkexec_cluster_connected", meaning="Whether zkexec is connected to the cluster"),
    Metric(
        name="zkexec_config_pending",
        meaning="Whether the command does not run on what the cluster contains: a change waits, is "
        "being applied, has failed, or cannot be used",
    ),
    Metric(
        name="zkexec_config_written_timestamp_seconds",
        meaning="When the configuration that the command runs on was written to the cluster; "
        "absent if that is not known",
    ),
    Metric(
        name="zkexec_changes_total",
        meaning="Changes that were applied, that failed, or that this host could not apply and "
        "tries again (blocked)",
        labels={
            "action": ("restart", "reload", "none"),
            "result": ("succeeded", "failed", "blocked"),
        },
        counted=True,
    ),
    Metric(
        name="zkexec_checks_total",
        meaning="Health checks, and checks of new files; a check that could not run is blocked",
        labels={"kind": ("health", "check"), "result": ("passed", "failed", "blocked")},
        counted=True,
    ),
    Metric(
        name="zkexec_sessions_lost_total",
        meaning="Sessions with the cluster that have expired",
        counted=True,
    ),
    Metric(
        name="zkexec_alerts_total",
        meaning="Runs of the alert command",
        labels={
            "event": (
                *("zkexec-failed", "command-failed", "health-failed", "restart-failed"),
                "recovered",
            )
        },
        counted=True,
    ),
)
"""All metrics, in the order of the file.  To each label there can be values that are seldom."""


def metrics_text(samples: Samples, common: tuple[str, ...]) -> str:
    """Write all samples, which have these values of the common labels."""
    lines = []
    for metric in METRICS:
        own = {key[1:]: value for key, value in samples.items() if key[0] == metric.name}
        if not own:
            continue
        lines += [f"# HELP {metric.name} {metric.meaning}", f"# TYPE {metric.name} {metric.kind}"]
        names = (*COMMON_LABELS, *metric.labels)
        for values, number in own.items():
            pairs = zip(names, (*common, *values), strict=True)
            labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs)
            lines.append(f"{metric.name}{{{labels}}} {_written(number)}")
    return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    r"""Escape what ends a value, and what is no UTF-8."""
    text = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return text.encode("utf-8", "replace").decode()


def _written(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:.3f}"
