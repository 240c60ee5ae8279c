"""The metrics of groups: names, numbers and labels, and that Prometheus takes them."""

import re
import subprocess

from support.group_samples import (
    NEW,
    START,
    entry,
    failed_on,
    group_status,
    on,
    paused,
    waiting,
)
from zkexec.core.rollout.record import EntryPhase
from zkexec.ctl.status.group_status import GroupStatus
from zkexec.ctl.web.group_metrics import GroupMetrics
from zkexec.frozen import replace

GROUP = group_status(
    {
        "m1": on(NEW, 20),
        "m2": on(NEW, 20, phase="failed", health="unhealthy"),
        "m3": waiting(),
        "m4": on(NEW, 20, health="unknown"),
    },
    in_flight={"m2": entry(EntryPhase.FAILED), "m9": entry()},
    queue=("m3",),
)


def samples(*groups: GroupStatus, has_members: bool = True) -> dict[str, float]:
    """The samples of some groups, by their names with labels."""
    text = exposed(*groups, has_members=has_members)
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def exposed(*groups: GroupStatus, has_members: bool = True) -> str:
    """The text that Prometheus gets."""
    return GroupMetrics(groups, has_members=has_members).encoded("")[0].decode()


def test_the_numbers_of_a_group() -> None:
    """Each number is that of the status, and one state is 1."""
    found = samples(GROUP, has_members=False)

    numbers = {
        name.removesuffix('{group="web"}').removeprefix("zkexec_group_"): value
        for name, value in found.items()
        if name.endswith('{group="web"}')
    }
    assert numbers == {
        "members": 5,
        "up_to_date": 2,
        "serving": GROUP.serving_count,
        "in_flight": 2,
        "waiting": 1,
        "missing": 1,
        "failed": 1,
        "max_unavailable": 1,
        "written_timestamp_seconds": START + 20,
    }
    states = {name: value for name, value in found.items() if "_state{" in name}
    assert len(states) == 8
    assert [name for name, value in states.items() if value] == [
        'zkexec_group_state{group="web",state="rolling"}'
    ]
    assert found["zkexec_cluster_connected"] == 1


def test_the_numbers_of_members() -> None:
    """A member has its health if it is known, and the time of its turn if it has one."""
    found = samples(GROUP)

    def of(metric: str) -> dict[str, float]:
        pattern = rf'zkexec_member_{metric}{{group="web",member="(\w+)"}}'
        return {
            match[1]: value
            for name, value in found.items()
            if (match := re.fullmatch(pattern, name))
        }

    assert of("healthy") == {"m1": 1, "m2": 0, "m3": 1}
    assert of("up_to_date") == {"m1": 1, "m2": 0, "m3": 0, "m4": 1, "m9": 0}
    assert of("in_flight_since_timestamp_seconds") == {"m2": START + 21, "m9": START + 21}


def test_a_failed_and_a_paused_group() -> None:
    """The state is that of `status`."""
    failed = group_status({"m1": on(NEW, 20), "m2": waiting()}, versions=failed_on("m1"))
    stopped = replace(group_status({"m1": on(NEW, 20)}, paused=paused()), name="other")

    found = samples(failed, stopped)

    assert found['zkexec_group_state{group="web",state="failed"}'] == 1
    assert found['zkexec_group_state{group="other",state="paused"}'] == 1


def test_an_unreadable_group_has_only_its_state() -> None:
    """A number that is not known is absent, and not 0."""
    found = samples(group_status({}, error="no permission", is_forbidden=True))

    assert found['zkexec_group_state{group="web",state="unreadable"}'] == 1
    assert not [name for name in found if "_state{" not in name and "_group_" in name]


def test_while_the_cluster_is_away_all_else_is_absent() -> None:
    """An old number would be a lie."""
    text = GroupMetrics(None, has_members=True).encoded("")[0].decode()

    assert text.splitlines()[-1] == "zkexec_cluster_connected 0.0"
    assert "zkexec_group" not in text


def test_hostile_names_are_labels() -> None:
    """A name cannot end its label, nor begin a line, nor make the text unreadable."""
    name = 'a"b\\c\nzkexec_evil 1\ud800é'
    found = exposed(replace(GROUP, name=name))

    assert not [line for line in found.splitlines() if line.startswith("zkexec_evil")]
    assert r'group="a\"b\\c\nzkexec_evil 1' in found
    assert NEW[:12] not in found


def test_prometheus_takes_them() -> None:
    """`promtool check metrics` finds nothing to complain about."""
    run = subprocess.run(
        ("promtool", "check", "metrics"),
        input=exposed(GROUP),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_openmetrics_is_an_answer_as_well() -> None:
    """A client that prefers OpenMetrics gets it."""
    accept = "application/openmetrics-text; version=1.0.0"
    content, media_type = GroupMetrics((GROUP,), has_members=True).encoded(accept)

    assert media_type.startswith("application/openmetrics-text")
    assert content.endswith(b"# EOF\n")
