"""What happened in a rollout, as far as the znodes still show it."""

import re
from pathlib import Path

import pytest

from support.fleet import Fleet
from support.group_samples import (
    NEW,
    PATH,
    START,
    entry,
    group_status,
    on,
    parsed,
    pushed,
    waiting,
)
from support.zkexecctl import Zkexecctl
from support.zookeeper import Server
from zkexec.core.rollout.record import AuditEntry, EntryPhase
from zkexec.core.rollout.version_state import VersionState
from zkexec.ctl.status.event_lines import event_lines
from zkexec.ctl.status.member_row import MemberZnode
from zkexec.ctl.status.rollout_events import rollout_events
from zkexec.frozen import replace
from zkexec.group.member_profile import LastTurn
from zkexec.group.version_codec import MemberFailure

SHORT = NEW[:12]


@pytest.fixture
def zkexecctl(zookeeper: Server, tmp_path: Path) -> Zkexecctl:
    """An operator at the shared server."""
    return Zkexecctl(zookeeper.hosts, tmp_path)


def with_turn(member: MemberZnode, turn: LastTurn) -> MemberZnode:
    """The same member, which shows a turn."""
    assert member.facts is not None
    return replace(member, facts=replace(member.facts, turn=turn))


def test_a_rollout_is_read_from_its_znodes() -> None:
    """The push, the turns of members, failures with reasons, and what operators did, in order."""
    good = LastTurn(START + 22, SHORT, START + 26, "restart", "succeeded")
    bad = LastTurn(START + 27, SHORT, START + 29, "restart", "failed")
    earlier = LastTurn(START + 11, "0" * 12, START + 15, "restart", "succeeded")
    failure = MemberFailure("exit status 3", "start", START + 29, 20)
    group = group_status(
        {
            "m1": with_turn(on(NEW, 20), good),
            "m2": with_turn(replace(waiting(), error=""), bad),
            "m3": with_turn(waiting(), earlier),
        },
        in_flight={"m2": entry(EntryPhase.FAILED), "m3": entry(since=30.0)},
        versions={NEW: VersionState(20, "", known_good=True, lost_turns=2)},
        failures={NEW: {"m2": failure}},
        histories={PATH: (pushed(3, 20, "anna", "more cache"),), "/app/": ()},
        audit=(
            AuditEntry("pause", "ben", "long ago", "t1", at=START + 5),
            AuditEntry("pause", "cleo", "lunch", "t2", at=START + 28),
            AuditEntry("forget", "cleo", "", "t3", member="m9", at=START + 31),
        ),
    )
    lines = [line.split("  ", 1)[1] for line in event_lines(rollout_events(group), START)]

    assert lines == [
        f"anna: pushed {PATH}@3: more cache",
        f"m1: began its restart to {PATH}@3",
        f"m1: succeeded on {PATH}@3",
        f"m2: began its restart to {PATH}@3",
        "cleo: pause: lunch",
        f"m2: failed on {PATH}@3 in step start: exit status 3",
        "m3: admitted",
        "cleo: forget m9",
        f"lost turns with {PATH}@3: 2",
    ]


def test_the_events_of_a_fleet(fleet: Fleet, zkexecctl: Zkexecctl) -> None:
    """After a push each member has begun and succeeded, in lines and in JSON."""
    (conf,) = fleet.znodes
    fleet.launch(2)
    zkexecctl.push(conf, b"good 1", "--by=anna", "--lock", fleet.lock, "--wait", "--timeout=60")
    zkexecctl.does("pause", fleet.lock, "--by=ben", "--reason=lunch")
    lines = zkexecctl.does("status", fleet.lock, "--events").out.splitlines()
    (group,) = parsed(zkexecctl.does("status", fleet.lock, "--events", "--json").out)["groups"]
    plain = zkexecctl.does("status", fleet.lock, "--json").out

    assert lines[0].startswith(f"{fleet.lock}: paused, 2 of 2 updated to {conf}@2")
    texts = [re.sub(r"^\d\d:\d\d:\d\d +", "", line) for line in lines[1:]]
    assert texts[0] == f"anna: pushed {conf}@2"
    assert texts[-1] == "ben: pause: lunch"
    for member in ("m0", "m1"):
        began = texts.index(f"{member}: began its restart to {conf}@2")
        assert texts.index(f"{member}: succeeded on {conf}@2") > began
    assert [event["event"] for event in group["events"]][:1] == ["pushed"]
    assert len(group["events"]) == len(texts)
    assert "events" not in parsed(plain)["groups"][0]
