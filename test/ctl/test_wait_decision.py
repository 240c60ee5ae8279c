"""When a wait is over: at the end of the rollout, and not when sessions end."""

import re
from typing import Any

from support.group_samples import (
    NEW,
    OLD,
    PATH,
    duplicate,
    entry,
    failed_on,
    group_status,
    on,
    paused,
    waiting,
)
from zkexec.core.policy import MaxFailed, MaxUnavailable
from zkexec.core.rollout.limits import AgreedMaxFailed
from zkexec.core.rollout.record import EntryPhase, Hold
from zkexec.core.rollout.version_state import VersionState
from zkexec.ctl.exit_status import CANNOT_WORK, DONE, NO
from zkexec.ctl.status.group_status import GroupState, GroupStatus
from zkexec.ctl.status.wait_decision import DUPLICATE_S, LOST_TURN_S, RETURN_S, WaitDecision
from zkexec.frozen import replace

NOW = 1_800_000_100.0
HOLD = Hold(MaxUnavailable(2), "ann@hill", "more cache", (OLD,), NOW - 60.0)


def status(decision: WaitDecision, group: GroupStatus, clock: float = 0.0) -> int | None:
    """The exit status with which this ends, if it does."""
    outcome = decision.decide(group, NOW, clock)
    return None if outcome is None else outcome.status


def test_the_end_is_that_of_the_rollout() -> None:
    """Complete is 0, failed and paused are 1, and a rollout that goes on has no outcome."""
    assert status(WaitDecision(), group_status({"m1": on(NEW, 20)})) == DONE
    assert status(WaitDecision(), group_status({"m1": on(OLD, 10)})) is None
    assert status(WaitDecision(), group_status({"m1": waiting()}, versions=failed_on("m1"))) == NO
    assert status(WaitDecision(), group_status({"m1": waiting()}, paused=paused())) == NO
    assert status(WaitDecision(), group_status({"m1": on(NEW, 20)}, paused=paused())) == DONE


def test_a_missing_znode_and_different_contents_are_no_end() -> None:
    """The wait goes on while an input is missing, or members run different contents."""
    missing = group_status({"m1": on(NEW, 20)}, znodes={}, absent=(PATH,))
    two = {"m1": on(OLD, 20), "m2": on(NEW, 20), "m3": on(NEW, 20)}

    assert status(WaitDecision(), missing) is None
    assert status(WaitDecision(), group_status(two)) is None


def test_the_end_has_the_member_and_the_reason() -> None:
    """The text of a failure has the member and the reason."""
    end = WaitDecision().decide(group_status({"m1": waiting()}, versions=failed_on("m1")), NOW, 0.0)

    assert end is not None
    assert " failed on m1 (host-of-m) at " in end.text
    assert end.text.endswith(": the command ended (exit status 3)")


def test_no_group_and_no_member_are_ends() -> None:
    """No group, no member and a record that cannot be read end it at once."""
    assert status(WaitDecision(), group_status({}, exists=False)) == NO
    assert status(WaitDecision(), group_status({})) == NO
    assert status(WaitDecision(), group_status({}, error="junk")) == CANNOT_WORK


def test_a_lost_member_in_its_turn_is_no_end() -> None:
    """A member that is missing in its turn can come back or be forgotten; the wait goes on."""
    group = group_status({"m2": on(NEW, 20)}, in_flight={"m1": entry()})

    assert status(WaitDecision(), group) is None
    assert status(WaitDecision(), group, RETURN_S * 100) is None


def test_a_missing_member_is_waited_for() -> None:
    """A server that was down takes sessions with it; the wait is not over before it is clear."""
    decision = WaitDecision()
    both = group_status({"m1": on(NEW, 20), "m2": waiting()})
    one = group_status({"m1": on(NEW, 20)})

    assert status(decision, both) is None
    assert status(decision, one, 1.0) is None
    assert list(decision.away) == ["m2"]
    assert decision.deadline() == 1.0 + RETURN_S
    assert status(decision, both, 2.0) is None
    assert not decision.away
    assert status(decision, one, 3.0) is None
    assert status(decision, one, 3.0 + RETURN_S) == DONE


def test_all_members_can_be_missing_for_a_while() -> None:
    """A group whose sessions are all gone for a moment does not count as empty."""
    decision = WaitDecision()

    assert status(decision, group_status({"m1": waiting()})) is None
    assert status(decision, group_status({}), 1.0) is None
    assert status(decision, group_status({}), 1.0 + RETURN_S) == NO


def test_a_duplicate_is_waited_for() -> None:
    """It can get the ID of an earlier process; if not, the outcome names both, and what to do."""
    decision = WaitDecision()
    both = group_status({"m1": on(NEW, 20), "m1~0": duplicate("m1"), "m2": on(NEW, 20)})

    assert status(decision, both, 1.0) is None
    assert decision.deadline() == 1.0 + DUPLICATE_S
    more = group_status({"m1": on(NEW, 20), "m1~0": duplicate("m1"), "m2": waiting()})
    assert status(decision, more, 2.0) is None
    assert decision.deadline() is None
    assert status(decision, both, 3.0) is None
    end = decision.decide(both, NOW, 3.0 + DUPLICATE_S)
    assert end is not None
    assert end.status == NO
    assert end.text == (
        "web: m1~0 (host-of-m, pid 4711) has the member ID of m1 (host-of-m, pid 4711) and "
        "takes no turn: give it another --member-id"
    )


def test_a_duplicate_that_gets_the_id_is_not_missed() -> None:
    """The name that it had meanwhile is not waited for."""
    decision = WaitDecision()

    assert status(decision, group_status({"m1": on(NEW, 20), "m1~0": duplicate("m1")})) is None
    assert status(decision, group_status({"m1": on(NEW, 20)}), 1.0) == DONE


def test_a_member_must_have_what_was_pushed_as_an_input() -> None:
    """If no living member has what was pushed as an input, the group is the wrong one."""
    group = group_status({"m1": on(NEW, 20)})

    assert status(WaitDecision(at_least=20), group) == DONE
    assert status(WaitDecision(at_least=21), group) == NO


def held_group(succeeded: int, hold: Hold = HOLD, **changes: Any) -> GroupStatus:
    """Three members of which this many have the new version, under a hold after two."""
    members = {f"m{n}": on(NEW, 20) if n < succeeded else waiting() for n in range(3)}
    state = VersionState(20, "", known_good=bool(succeeded), succeeded=succeeded)
    return group_status(members, **{"versions": {NEW: state}, "hold": hold, **changes})


def test_a_hold_ends_the_wait_if_all_that_it_allows_have_succeeded() -> None:
    """It is the end that a push with a hold waits for, and a no for every other wait."""
    assert status(WaitDecision(), held_group(1)) is None
    assert status(WaitDecision(until_held=True), held_group(1)) is None
    assert status(WaitDecision(), held_group(2)) == NO
    assert status(WaitDecision(until_held=True), held_group(2)) == DONE


def test_a_member_in_flight_under_a_hold_is_waited_for() -> None:
    """A member that is admitted under a hold has still to succeed."""
    flying = held_group(1, in_flight={"m1": entry()})

    assert status(WaitDecision(until_held=True), flying) is None


def test_a_hold_ends_the_wait_when_the_members_show_that_they_are_done() -> None:
    """The record counts a success a moment before the member's own status shows it."""
    group = held_group(2)
    late = on(OLD, 20, phase="verifying", wanted=NEW)
    behind = replace(group, members={**group.members, "m1": late})

    assert behind.state is GroupState.HELD
    assert status(WaitDecision(until_held=True), behind) is None
    assert status(WaitDecision(until_held=True), group) == DONE


def test_a_tolerated_failure_under_a_hold_is_no_success() -> None:
    """A failed member has the version as well: no more are admitted, and the push is not done."""
    many = {f"m{n}": on(NEW, 20) for n in range(11)}
    members = {**many, "m11": waiting(), "m12": waiting()}
    state = VersionState(20, "", known_good=True, succeeded=11, failed_by=("m11",), reason="why")
    group = group_status(
        members,
        versions={NEW: state},
        hold=replace(HOLD, after=MaxUnavailable(12)),
        max_failed=AgreedMaxFailed(MaxFailed(1), "m0"),
        in_flight={"m11": entry(EntryPhase.FAILED)},
    )

    end = WaitDecision(until_held=True).decide(group, NOW, 0.0)

    assert end is not None
    assert (end.status, end.is_held) == (NO, True)
    assert ", but not all of these have succeeded; " in end.text


def test_the_end_by_a_hold_names_it_and_the_way_on() -> None:
    """The text has number, operator and reason, and the command that lets all follow."""
    tenth = replace(HOLD, after=MaxUnavailable(70, percent=True))
    for hold, number in ((HOLD, "2 members"), (tenth, "70% of the members (2 of 3)")):
        end = WaitDecision().decide(held_group(2, hold), NOW, 0.0)

        assert end is not None
        assert end.is_held
        assert re.fullmatch(
            rf"web: held after {re.escape(number)} by ann@hill since 2027-\S+ \S+ \S+: more cache; "
            "to let all members follow: zkexecctl approve web",
            end.text,
        )


def test_a_hold_is_no_end_if_it_keeps_no_member() -> None:
    """A hold is none for a version that was known good before, and if all have the new one."""
    undone = replace(HOLD, known_good=(OLD, NEW))

    assert status(WaitDecision(), held_group(2, undone)) is None
    assert status(WaitDecision(), held_group(3)) == DONE
    assert status(WaitDecision(until_held=True), held_group(3)) == DONE


def test_a_failure_and_a_pause_come_before_a_hold() -> None:
    """If the version has failed, or an operator has paused, a push with a hold is not done."""
    failed = replace(held_group(2).record.versions[NEW], failed_by=("m1",), reason="exit status 3")

    for group in (held_group(2, versions={NEW: failed}), held_group(2, paused=paused())):
        end = WaitDecision(until_held=True).decide(group, NOW, 0.0)

        assert end is not None
        assert (end.status, end.is_held) == (NO, False)


def test_a_turn_that_is_lost_at_the_end_is_an_answer() -> None:
    """If only members are left that are missing in their turns, the wait ends with the way out."""
    decision = WaitDecision()
    members = {"m1": on(NEW, 20), "m3": on(NEW, 20)}
    lost = group_status(members, in_flight={"m2": entry()})
    busy = group_status({"m1": on(NEW, 20), "m3": waiting()}, in_flight={"m2": entry()})

    assert status(decision, lost) is None
    assert status(decision, busy, LOST_TURN_S) is None
    assert status(decision, lost, LOST_TURN_S + 1.0) is None
    assert decision.deadline() == 2 * LOST_TURN_S + 1.0
    end = decision.decide(lost, NOW, 2 * LOST_TURN_S + 1.0)

    assert end is not None
    assert end.status == NO
    assert end.text == "web: the turn of m2 is lost; to end it: zkexecctl forget web m2"
