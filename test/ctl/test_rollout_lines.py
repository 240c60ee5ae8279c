"""What `wait` writes while it follows a rollout: a line for each change, with its reason."""

from support.group_samples import (
    NEW,
    OLD,
    START,
    entry,
    facts,
    failed_on,
    group_status,
    on,
    paused,
    waiting,
)
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.record import EntryPhase, Hold
from zkexec.core.rollout.version import short
from zkexec.ctl.status.group_status import GroupStatus
from zkexec.ctl.status.rollout_lines import rollout_changes, rollout_start, unavailable_text
from zkexec.frozen import replace
from zkexec.group.member_profile import LastTurn
from zkexec.group.version_codec import MemberFailure

NOW = START + 40.0
HOLD = Hold(MaxUnavailable(1), "ann", "more cache", (OLD,), START)


def changes(before: GroupStatus, after: GroupStatus) -> list[str]:
    """The lines for a change."""
    return rollout_changes(before, after, NOW)


def test_admitted_and_updated() -> None:
    """A member that is admitted, and one that is up to date, have a line with how many are."""
    before = group_status({"m1": waiting(), "m2": waiting(), "m3": on(NEW, 20)})
    admitted = group_status(
        {"m1": waiting(), "m2": waiting(), "m3": on(NEW, 20)}, in_flight={"m1": entry()}
    )
    updated = group_status({"m1": on(NEW, 20), "m2": waiting(), "m3": on(NEW, 20)})

    assert changes(before, admitted) == ["m1 admitted"]
    assert changes(admitted, updated) == ["m1 updated, healthy: 2 of 3"]
    assert changes(updated, updated) == []


def test_a_success_comes_before_the_admission_that_follows_it() -> None:
    """If both are found at once, the member that is done has the first line."""
    before = group_status({"m1": waiting(), "m2": waiting()}, in_flight={"m2": entry()})
    after = group_status({"m1": waiting(), "m2": on(NEW, 20)}, in_flight={"m1": entry()})

    assert changes(before, after) == ["m2 updated, healthy: 1 of 2", "m1 admitted"]


def test_restarted_and_reloaded() -> None:
    """If the last turn of a member is of this rollout, the line has what was done in it."""
    names = {"m1": "restart", "m2": "reload", "m3": "restart", "m4": "reload"}
    before = group_status({name: waiting() for name in names})
    members = {name: on(NEW, 20, health="unknown") for name in names}
    turns = {
        name: LastTurn(START + 21, short(NEW), START + 30, action) for name, action in names.items()
    }
    turns["m3"] = replace(turns["m3"], digest=short(OLD))
    # An undo has brought back the content of an earlier rollout.
    turns["m4"] = replace(turns["m4"], began=START + 10, ended=START + 12)
    after = group_status(
        {
            name: replace(one, facts=replace(one.facts or facts(), turn=turns[name]))
            for name, one in members.items()
        }
    )

    assert changes(before, after) == [
        "m1 restarted: 4 of 4",
        "m2 reloaded: 4 of 4",
        "m3, m4 updated: 4 of 4",
    ]


def test_many_members_share_a_line() -> None:
    """Members that do the same at once are one line."""
    names = [f"m{number}" for number in range(1, 51)]
    before = group_status({name: waiting() for name in names})
    after = group_status({name: on(NEW, 20) for name in names})

    assert changes(before, after) == ["m1, m2, m3 and 47 more updated, healthy: 50 of 50"]


def test_an_unhealthy_member_is_no_healthy_one() -> None:
    """A member that is up to date and unhealthy is written as unavailable, also at the end."""
    before = group_status({"m1": waiting()})
    after = group_status({"m1": on(NEW, 20, health="unhealthy", reason="exit status 1")})

    assert changes(before, after) == ["m1 updated, but unavailable: 1 of 1"]
    assert unavailable_text(after) == "but unavailable: m1 (exit status 1)"
    assert unavailable_text(group_status({"m1": on(NEW, 20)})) == ""


def test_failed_and_blocked_members_have_their_reasons() -> None:
    """A failure and a blocked member are written once, each with its whole reason."""
    blocked = on(OLD, 20, phase="blocked", wanted=NEW, step="check", reason="no xmllint")
    failed = on(OLD, 20, phase="failed", wanted=NEW, reason="exit status 3")
    before = group_status({"m1": waiting(), "m2": waiting()})
    after = group_status(
        {"m1": blocked, "m2": failed},
        in_flight={"m2": entry(EntryPhase.FAILED)},
        versions=failed_on("m2"),
        failures={NEW: {"m2": MemberFailure("exit status 3", "", START, 20)}},
    )

    lines = [
        "m1 is blocked, failed its check: no xmllint; it tries again every ten seconds",
        "m2 failed: exit status 3",
    ]
    assert [line.replace(" in its check", " its check") for line in changes(before, after)] == lines
    assert changes(after, after) == []
    assert len(rollout_start(after, NOW)) == 3


def test_an_old_failure_is_not_about_a_newer_write() -> None:
    """A failure is written if it is of the newest write, even with the reason of an old one."""
    failed = on(OLD, 10, phase="failed", wanted=OLD, reason="exit status 3")
    again = on(OLD, 20, phase="failed", wanted=NEW, reason="exit status 3")
    turn = {"m1": entry(EntryPhase.FAILED)}
    old = {OLD: {"m1": MemberFailure("exit status 3", "", START, 10)}}
    retried = {**old, NEW: {"m1": MemberFailure("exit status 3", "", START, 15)}}
    new = {**old, NEW: {"m1": MemberFailure("exit status 3", "", START, 20)}}
    before = group_status({"m1": failed}, in_flight=turn, failures=old)
    meanwhile = group_status({"m1": again}, in_flight=turn, failures=retried)
    after = group_status({"m1": again}, in_flight=turn, versions=failed_on("m1"), failures=new)

    line = "m1 failed: exit status 3"
    for lines in (rollout_start(before, NOW), rollout_start(meanwhile, NOW)):
        assert line not in lines
    assert line not in changes(before, meanwhile)
    assert changes(meanwhile, after) == [line]
    assert changes(after, after) == []


def test_pauses_holds_and_members_that_come_and_go() -> None:
    """What happens to the group is written when it begins and when it ends."""
    rolling = group_status({"m1": waiting(), "m2": on(NEW, 20)})
    stopped = group_status({"m1": waiting(), "m3": waiting()}, paused=paused(), hold=HOLD)
    missing = group_status({"m2": on(NEW, 20)}, in_flight={"m1": entry()})

    begun, ended = changes(rolling, stopped), changes(stopped, rolling)

    assert begun[0].startswith("paused by anna since ")
    assert "held after 1 member by ann since " in begun[1]
    assert begun[2:] == ["m3 has started", "m2 has ended"]
    assert ended[:2] == ["no longer paused", "the hold has ended: all members follow"]
    (line,) = changes(rolling, missing)
    assert line.startswith("m1 is missing in its turn")
    assert line.endswith("zkexecctl forget web m1")


def test_a_newer_write_is_a_new_goal() -> None:
    """If something newer is written meanwhile, the line of the group is written again."""
    before = group_status({"m1": on(NEW, 20)})
    after = group_status({"m1": on(NEW, 20)}, zxid=30)

    (line,) = changes(before, after)

    assert line.startswith("web: 0 of 1 ")


def test_what_is_waited_for_beside_turns() -> None:
    """If no member has a turn or waits for one, it is written what the rollout waits for, once."""
    before = group_status({"m1": waiting(), "m2": on(OLD, 10)}, in_flight={"m1": entry()})
    after = group_status({"m1": on(NEW, 20), "m2": on(OLD, 10)})

    updated, line = changes(before, after)

    assert updated == "m1 updated, healthy: 1 of 2"
    assert line.startswith("web: 1 of 2 ")
    assert line.endswith(", m2 without the newest /app/first")
    assert changes(after, after) == []
