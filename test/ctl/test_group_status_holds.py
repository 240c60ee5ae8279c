"""The state of a group under a hold, and with failures that are tolerated."""

from collections.abc import Mapping
from typing import Any

from support.group_samples import (
    NEW,
    OLD,
    START,
    entry,
    facts,
    failed_on,
    group_status,
    held_in_zones,
    on,
    paused,
    waiting,
)
from zkexec.core.policy import MaxFailed, MaxUnavailable
from zkexec.core.rollout.limits import AgreedMaxFailed
from zkexec.core.rollout.record import EntryPhase, Hold, InFlightEntry
from zkexec.core.rollout.version_state import VersionState
from zkexec.ctl.status.group_status import GroupState
from zkexec.ctl.status.member_row import MemberZnode
from zkexec.ctl.status.phrases import (
    advice,
    headline,
    tolerated_failures,
)
from zkexec.frozen import replace
from zkexec.group.version_codec import MemberFailure

FAILURE = MemberFailure("exit status 1", "check", START + 22, 20)

HOLD = Hold(MaxUnavailable(2), "anna", "more cache", (OLD,), START + 20)


def known_good(succeeded: int, *failed: str) -> dict[str, VersionState]:
    """The versions of a record in which this many members have succeeded with the new one."""
    state = VersionState(20, "", known_good=True, succeeded=succeeded, failed_by=failed)
    return {NEW: state}


def test_a_hold_that_is_reached_is_a_state() -> None:
    """If the members that a hold allows have succeeded and others wait, the group is held."""
    members = {"m1": on(NEW, 20), "m2": on(NEW, 20), "m3": waiting()}
    group = group_status(members, hold=HOLD, versions=known_good(2), queue=("m3",))

    assert group.state is GroupState.HELD
    assert group.needs_operator
    assert headline(group, START) == f"web: held, 2 of 3 updated to {NEW[:12]}"
    assert "to let all members follow: zkexecctl approve web" in advice(group)


def test_a_hold_that_is_not_reached_lets_the_rollout_go_on() -> None:
    """While a member is in flight, or may be admitted, the group is not held."""
    members = {"m1": on(NEW, 20), "m2": waiting(), "m3": waiting()}
    first = group_status(members, hold=HOLD, versions=known_good(1))
    last = group_status(
        members, hold=HOLD, versions=known_good(1), in_flight={"m2": entry()}, in_flight_count=1
    )

    assert (first.state, last.state) == (GroupState.ROLLING, GroupState.ROLLING)


def test_a_member_that_failed_on_another_version_has_yet_to_try_the_held_one() -> None:
    """Its entry takes no place in the hold; one that failed on the held version does."""
    failed = on(OLD, 20, phase="failed", wanted=NEW)
    members = {"m1": failed, "m2": waiting()}
    hold = replace(HOLD, after=MaxUnavailable(1))
    own = entry(EntryPhase.FAILED)
    earlier = replace(own, digest="c" * 64)

    def state_with(entry: InFlightEntry, alive: Mapping[str, MemberZnode]) -> GroupState:
        known = {NEW: VersionState(20, "", known_good=True)}
        return group_status(
            alive, hold=hold, versions=known, in_flight={"m1": entry}, in_flight_count=1
        ).state

    assert state_with(own, members) is GroupState.HELD
    assert state_with(earlier, members) is GroupState.ROLLING
    assert state_with(earlier, {"m2": waiting()}) is GroupState.ROLLING


def test_a_hold_of_another_version_or_of_nothing_left_is_no_state() -> None:
    """A version that was known good before the hold, and a complete group, are not held."""
    members = {"m1": on(NEW, 20), "m2": waiting()}
    before = replace(HOLD, known_good=(NEW,), after=MaxUnavailable(1))
    exempt = group_status(members, hold=before, versions=known_good(1))
    all_have_it = {"m1": on(NEW, 20), "m2": on(NEW, 20)}
    complete = group_status(all_have_it, hold=HOLD, versions=known_good(2))

    assert exempt.state is GroupState.ROLLING
    assert complete.state is GroupState.COMPLETE


def test_an_operator_s_pause_and_a_failure_come_before_a_hold() -> None:
    """If several stop a rollout, the state is the failure, then the pause, then the hold."""
    members = {"m1": on(NEW, 20), "m2": on(NEW, 20), "m3": waiting()}
    both = group_status(members, hold=HOLD, versions=known_good(2), paused=paused())
    failed = group_status(members, hold=HOLD, versions=failed_on("m1"), paused=paused())

    assert (both.state, failed.state) == (GroupState.PAUSED, GroupState.FAILED)


def test_a_tolerated_failure_keeps_other_zones_waiting() -> None:
    """The line says so if a member of another zone waits."""
    alike = held_in_zones()
    known = alike.members["m10"]
    eastern = replace(known, facts=replace(known.facts or facts(), zone="east"))
    other = replace(alike, members={**alike.members, "m10": eastern})
    assert "the rollout goes on, and" in tolerated_failures(alike)[0]
    assert "the rollout goes on in zone west only, and" in tolerated_failures(other)[0]


def test_tolerated_failures_do_not_stop_the_group() -> None:
    """Once ten members have succeeded, as many failures as are allowed leave the group rolling."""
    members = {"m1": on(OLD, 20, phase="failed", wanted=NEW), "m2": waiting()}
    limit = AgreedMaxFailed(MaxFailed(1), "m2")
    changes: dict[str, Any] = {"max_failed": limit, "failures": {NEW: {"m1": FAILURE}}}
    tolerated = group_status(members, versions=known_good(10, "m1"), **changes)
    stopped = group_status(members, versions=known_good(10, "m1", "m3"), **changes)

    assert tolerated.state is GroupState.ROLLING
    assert not tolerated.needs_operator
    shown, warning = tolerated_failures(tolerated)
    assert shown.startswith(
        f"{NEW[:12]} failed on m1 (host-of-m), which is tolerated: max failed is 1"
    )
    assert "max failed (1) is not less than max unavailable (1)" in warning
    assert stopped.state is GroupState.FAILED
    assert tolerated_failures(stopped) == []
