"""The metrics of a member, derived from the stories: what counts as a change, and how it ended."""

from pathlib import Path

import pytest

from scenarios.script import play, policy_of
from zkexec.core.actions import Action
from zkexec.core.events import Event
from zkexec.core.member import Member
from zkexec.runtime.member_metrics import MemberMetrics


def played(story: str) -> MemberMetrics:
    """The metrics at the end of a story."""
    text = (Path(__file__).parent / f"{story}.txt").read_text(encoding="utf-8")
    metrics = MemberMetrics(policy_of(text), clock=lambda: 1000.0)

    def watch(event: Event, decided: list[Action], member: Member) -> None:
        metrics.take_in(event)
        metrics.count(decided, member)

    play(text, watch)
    return metrics


def counted(metrics: MemberMetrics, counter: str) -> str:
    """The values of a counter that are not 0, each with its labels."""
    return " ".join(
        "/".join([*labels, f"{value:g}"])
        for (name, *labels), value in metrics.samples.items()
        if name == f"zkexec_{counter}_total" and value
    )


def gauge(metrics: MemberMetrics, name: str) -> float | None:
    """The value of a gauge, None if it is absent."""
    return metrics.samples.get((f"zkexec_{name}",))


CHANGES = {
    "first-start": "",
    "restart-on-change": "restart/succeeded/1",
    "reload-newer-meanwhile": "reload/succeeded/2",
    "reload-none": "none/succeeded/1",
    "reload-and-restart": "restart/succeeded/2 reload/succeeded/1",
    "back-again-while-settling": "",
    "newest-wins-during-a-stop": "restart/succeeded/1",
    "reload-command-exits": "reload/failed/1",
    "disk-full-at-staging": "restart/succeeded/1 restart/blocked/2",
    "reload-refused": "reload/succeeded/1 reload/failed/1",
    "template-error": "restart/succeeded/1 restart/failed/1 unknown/failed/1",
    "core-fails": "restart/succeeded/1",
    "group-core-fails-while-verifying": "restart/succeeded/1",
    "group-without-health-checks": "restart/succeeded/1",
    "group-fails-by-health": "restart/failed/1",
    "group-reverted-then-back": "restart/failed/1",
    "group-new-content-while-verifying": "restart/succeeded/1",
}


@pytest.mark.parametrize(("story", "changes"), CHANGES.items(), ids=list(CHANGES))
def test_a_change_counts_by_its_end(story: str, changes: str) -> None:
    """A change counts once, by its action and its end; to revert and to start count as none."""
    assert counted(played(story), "changes") == changes


@pytest.mark.parametrize(
    ("story", "checks"),
    [
        ("check-passes", "check/passed/2"),
        ("check-fails", "check/passed/2 check/failed/1"),
        ("check-hangs", "check/passed/1 check/failed/1"),
        ("check-passes-as-it-is-killed", "check/passed/1 check/failed/1"),
        ("check-not-found", "check/passed/2 check/blocked/2"),
        ("check-undone-meanwhile", "check/passed/1"),
        ("check-term", "check/passed/1"),
        ("group-fails-by-health", "health/passed/1 health/failed/4"),
    ],
)
def test_a_check_counts_if_its_result_does(story: str, checks: str) -> None:
    """One that took too long has failed; one that was ended for newer content does not count."""
    assert counted(played(story), "checks") == checks


def test_alerts_and_lost_sessions_are_counted() -> None:
    """Each run of the alert command counts by its event, and each session that has expired."""
    assert counted(played("reload-refused"), "alerts") == "restart-failed/1 recovered/1"
    assert counted(played("session-expired"), "sessions_lost") == "1"
    assert counted(played("connection-lost-and-back"), "sessions_lost") == ""


@pytest.mark.parametrize(
    ("story", "up", "healthy", "pending", "connected"),
    [
        ("first-start", 1, None, 0, 1),
        ("command-fails", 0, None, 0, 1),
        ("znode-missing-fresh", 0, None, 1, 1),
        ("cluster-silent-fresh", 0, None, 1, 0),
        ("check-fails-again", 1, None, 1, 1),
        ("group-fails-by-exit", 0, None, 1, 1),
        ("group-fails-by-health", 1, 0, 1, 1),
        ("group-failure-recovers", 1, 1, 0, 1),
        ("group-pre-stop-hangs", 1, 1, 1, 1),
        ("reload-by-signal-with-health", 1, 0, 0, 1),
        ("group-end-without-ensemble", 0, None, 1, 0),
    ],
)
def test_the_gauges_show_the_present_state(
    story: str, up: float, healthy: float | None, pending: float, connected: float
) -> None:
    """Of a command that does not run or was not checked yet, no health is shown."""
    metrics = played(story)
    names = ("command_up", "healthy", "config_pending", "cluster_connected")

    assert [gauge(metrics, name) for name in names] == [up, healthy, pending, connected]


def test_only_what_has_failed_counts_as_failed() -> None:
    """A requested end is none, and neither is an exit with 0."""
    failures = ("command-fails", "start-fails-at-first", "znode-missing-fresh", "check-at-first")
    ends = ("term-while-running", "command-succeeds", "interrupt-ends-the-command")

    assert [story for story in failures if played(story).has_failed] == list(failures[:3])
    assert not [story for story in ends if played(story).has_failed]
