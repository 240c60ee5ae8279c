"""What a service manager gets to know of a member, and when health checks begin for it."""

import pytest

from core.tree_member import TreeMember
from core.turn_harness import AGREED, TurnHarness, entry_of
from zkexec.core import events
from zkexec.core.actions import Note, RunAlert, RunHealthCheck
from zkexec.core.caretaker import Caretaker
from zkexec.core.command import AdoptedCommand
from zkexec.core.events import ExitStatus, SignalReceived
from zkexec.core.input_options import InputOptions, Mirror
from zkexec.core.member import Member
from zkexec.core.phases import Phase
from zkexec.core.policy import ActionRule, ChangeAction, Notify, Policy, StartPolicy
from zkexec.core.rollout.group_events import GroupPart
from zkexec.core.service_state import (
    ServiceReport,
    ServiceState,
    ending_limit_s,
    report_on,
    report_on_caretaker,
    state_after,
)
from zkexec.core.snapshot import Snapshot
from zkexec.core.step import Step, StepOutcome
from zkexec.core.turn import FreeTurn
from zkexec.frozen import replace

STARTING, AWAITING, READY, APPLYING, ENDING = ServiceState
PLAIN = Policy(inputs=InputOptions(mirrors=(Mirror("/f", "/z"),)), notify=Notify.ZKEXEC)
HEALTH = replace(PLAIN, checks_health=True, health_delay_s=20.0, health_interval_s=8.0)
TERM = SignalReceived(15, from_terminal=False)
ERROR = Note("zkexec-failed", {"reason": "why", "retry_s": 1.0})


def begun(policy: Policy, content: bytes = b"1") -> TreeMember:
    """Return a member whose first command has started on this content."""
    member = TreeMember(policy)
    member.start()
    member.read({}, {"/z": content})
    assert member.is_in(Phase.RUNNING)
    return member


def state_of(member: TreeMember) -> ServiceState:
    """The state of the service, whatever it was before."""
    return report_on(member.member).state


def awaited_by(member: TreeMember) -> str:
    """The topic of what the member waits for; "" for nothing."""
    awaited = report_on(member.member).awaited
    return "" if awaited is None else awaited.topic


@pytest.mark.parametrize(
    ("before", "found", "after"),
    [
        (STARTING, STARTING, STARTING),
        (STARTING, AWAITING, AWAITING),
        (AWAITING, APPLYING, STARTING),
        (AWAITING, READY, READY),
        (READY, STARTING, READY),
        (READY, AWAITING, READY),
        (READY, APPLYING, APPLYING),
        (APPLYING, STARTING, READY),
        (APPLYING, READY, READY),
        (APPLYING, ENDING, ENDING),
        (STARTING, ENDING, ENDING),
        (ENDING, ENDING, ENDING),
    ],
)
def test_a_service_starts_only_once(
    before: ServiceState, found: ServiceState, after: ServiceState
) -> None:
    """What was ready applies changes, and is ready again, whatever it waits for."""
    assert state_after(before, found) is after


def test_a_command_without_health_checks_is_ready_when_it_runs() -> None:
    """Until then the start waits, first for the cluster, then for znodes."""
    member = TreeMember(replace(PLAIN, start=StartPolicy.WAIT))
    member.happen(events.Started())
    assert (state_of(member), awaited_by(member)) == (AWAITING, "cluster-awaited")
    member.connect()
    assert (state_of(member), awaited_by(member)) == (AWAITING, "")
    member.read({}, {"/z": b""})
    assert (state_of(member), awaited_by(member)) == (AWAITING, "waiting-for-znodes")
    member.push({}, {"/z": b"1"})
    assert (state_of(member), awaited_by(member)) == (READY, "")


def test_the_first_health_check_begins_at_once() -> None:
    """The command is ready when one succeeds; from then on the interval counts."""
    member = begun(HEALTH)
    assert member.requests(RunHealthCheck)
    assert state_of(member) is STARTING
    member.check(passed=False)
    member.wait(1)
    assert member.requests(RunHealthCheck)
    member.check(passed=True)
    assert state_of(member) is READY
    member.wait(7.9)
    assert not member.requests(RunHealthCheck)
    member.wait(0.1)
    assert member.requests(RunHealthCheck)


def test_a_command_that_is_not_healthy_in_its_delay_is_checked_at_the_interval() -> None:
    """Within the delay no alert is raised; after it not every second."""
    member = begun(replace(HEALTH, raises_alerts=True))
    while member.now < 20:
        member.check(passed=False)
        assert not member.requests(RunAlert)
        member.wait(1)
    member.check(passed=False)
    assert member.requests(RunAlert)
    member.wait(7.9)
    assert not member.requests(RunHealthCheck)
    member.wait(0.1)
    assert member.requests(RunHealthCheck)
    assert state_of(member) is STARTING


def test_a_restart_of_a_ready_service_waits_for_the_delay() -> None:
    """Only the start is awaited; another command is checked when its delay is over."""
    member = begun(HEALTH)
    member.check(passed=True)
    member.push({}, {"/z": b"2"})
    member.wait(10)
    assert not member.requests(RunHealthCheck)


def test_a_restart_before_the_service_is_ready_is_checked_at_once() -> None:
    """The manager still waits for a healthy command, whichever it is."""
    member = begun(HEALTH)
    member.check(passed=False)
    member.push({}, {"/z": b"2"})
    member.wait(0.2)
    assert member.requests(RunHealthCheck)
    member.check(passed=True)
    assert state_of(member) is READY


def test_the_command_itself_awaits_no_check() -> None:
    """Without --notify zkexec the health delay comes first, as always."""
    member = begun(replace(HEALTH, notify=Notify.COMMAND))
    member.wait(19.9)
    assert not member.requests(RunHealthCheck)


def test_a_command_that_is_not_in_traffic_is_not_ready() -> None:
    """It is when post-healthy has succeeded, which is checked for often, however late it is."""
    member = begun(replace(HEALTH, step_limits={Step.POST_HEALTHY: 5.0}))
    member.wait(25)
    member.check(passed=False)
    member.wait(1)
    member.check(passed=True)
    assert state_of(member) is STARTING
    member.end_step(Step.POST_HEALTHY, StepOutcome(True))
    assert state_of(member) is READY


def test_a_change_is_applied_from_the_stop_to_the_start() -> None:
    """While it only settles, the service is as before; its limit is the grace period."""
    member = begun(PLAIN)
    member.obeys = False
    member.push({}, {"/z": b"2"})
    assert member.is_in(Phase.WAITING)
    assert state_of(member) is READY
    member.wait(0.2)
    report = report_on(member.member)
    assert (report.state, report.limit_s) == (APPLYING, PLAIN.grace_s)


def test_a_member_awaits_its_turn() -> None:
    """What the group makes it wait for is reported, as it is logged."""
    member = begun(replace(PLAIN, in_group=True, min_healthy_s=0.0))
    member.wait(1)
    assert awaited_by(member) == ""
    member.group.happen(["m2", "queues", "2@2"])
    member.push({}, {"/z": b"2"})
    member.wait(1)
    assert member.is_in(Phase.WAITING)
    assert awaited_by(member) == "turn-awaited"
    assert state_of(member) is READY


@pytest.mark.parametrize(
    ("count", "named"), [(1, "m2"), (3, "m2, m3, m4"), (5, "m2, m3, m4 and 2 more")]
)
def test_the_head_of_the_queue_awaits_members_by_their_names(count: int, named: str) -> None:
    """The first few are named; once this member is in flight it waits for none."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    members = [f"m{number}" for number in range(2, 2 + count)]
    record = replace(AGREED, in_flight={name: entry_of("b@2", "token") for name in members})
    harness.read(record)
    awaited = harness.turn.awaited
    assert awaited is not None
    assert (awaited.topic, awaited.fields["members"]) == ("turn-awaits-room", named)
    harness.touched(GroupPart.IN_FLIGHT)
    harness.read()
    harness.committed()
    assert harness.turn.in_flight
    assert harness.turn.awaited is None


def test_a_start_awaits_the_group() -> None:
    """The group cannot be read: the reason is reported."""
    member = TreeMember(replace(PLAIN, in_group=True))
    member.group.prepare_mishap("read", "not-done")
    member.start()
    member.read({}, {"/z": b"1"})
    assert (state_of(member), awaited_by(member)) == (AWAITING, "group-trouble")


def test_a_failed_change_awaits_a_repair() -> None:
    """Of a service that was never ready; it may take any time."""
    on_change = (ActionRule("", ChangeAction.RELOAD),)
    member = begun(replace(HEALTH, on_change=on_change, step_limits={Step.RELOAD: 30.0}))
    member.push({}, {"/z": b"2"})
    member.wait(0.2)
    assert state_of(member) is APPLYING
    member.end_step(Step.RELOAD, StepOutcome(False, "refused"))
    assert member.is_in(Phase.FAILED)
    assert state_of(member) is AWAITING
    assert report_on(member.member).status.reason == "the reload failed: refused"


def test_the_end_has_a_limit() -> None:
    """It contains pre-stop, the kill timeout, and the time of the last alert."""
    member = begun(PLAIN)
    member.obeys = False
    member.happen(TERM)
    assert report_on(member.member).state is ENDING
    assert report_on(member.member).limit_s == ending_limit_s(PLAIN) == 35
    slow = replace(PLAIN, kill_timeout_s=1.0, raises_alerts=True, step_limits={Step.PRE_STOP: 60.0})
    assert ending_limit_s(slow) == 71


def test_a_kept_command_awaits_a_fresh_core() -> None:
    """An error inside zkexec is shown; the service ends if its command does."""
    kept = AdoptedCommand(generation=1, applied=Snapshot({}))
    caretaker = Caretaker(PLAIN, kept, retry_at=1, now=0)
    found = report_on_caretaker(caretaker, ERROR, PLAIN)
    assert (found.state, found.awaited) == (AWAITING, ERROR)
    caretaker.handle(events.CommandExited(1, ExitStatus()), 0)
    ended = report_on_caretaker(caretaker, ERROR, PLAIN)
    assert (ended.state, ended.limit_s) == (ENDING, 35)


def test_a_ready_service_stays_so_for_a_fresh_core() -> None:
    """The next core begins with a command whose health it does not know yet."""
    adopted = AdoptedCommand(generation=1, applied=Snapshot({"/f": b"1"}), check_due=3)
    member = Member(HEALTH, FreeTurn(), adopted)
    member.handle(events.Started(), 0)
    report = report_on(member)
    assert report == ServiceReport(STARTING, member.status, limit_s=HEALTH.grace_s)
    assert state_after(READY, report.state) is READY
