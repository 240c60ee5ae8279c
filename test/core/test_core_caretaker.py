"""The caretaker: what it does about a command between two cores; and a core that takes one over."""

from collections.abc import Sequence

import pytest

from zkexec.core import events
from zkexec.core.actions import (
    AlertEvent,
    EndProcess,
    InspectProcessTree,
    KillHealthCheck,
    Note,
    OpenSession,
    ReadZnodes,
    RunAlert,
    RunHealthCheck,
    SignalProcessGroup,
    SignalProcessTree,
)
from zkexec.core.caretaker import Caretaker
from zkexec.core.command import AdoptedCommand
from zkexec.core.events import CommandExited, ExitStatus, ProcessTreeInspected, SignalReceived, Tick
from zkexec.core.input_options import InputOptions, Mirror
from zkexec.core.member import Member
from zkexec.core.phases import Phase
from zkexec.core.policy import Policy
from zkexec.core.snapshot import Snapshot, Znode
from zkexec.core.turn import FreeTurn

TERMS = Policy(
    inputs=InputOptions(mirrors=(Mirror("/f", "/z"),)),
    kill_timeout_s=5,
    checks_health=True,
    health_interval_s=10,
    health_delay_s=1,
    raises_alerts=True,
    alert_recovery=True,
)
FILES = Snapshot({"/f": b"a"}, zxid=3)
RUNNING = AdoptedCommand(generation=2, applied=FILES, check_due=4)
USR1, INT, TERM, KILL = 10, 2, 15, 9
ALARM = RunAlert(AlertEvent.ZKEXEC_FAILED, "why")


def told(actions: Sequence[object]) -> list[object]:
    """The actions without the notes."""
    return [action for action in actions if not isinstance(action, Note)]


def begun(adopted: AdoptedCommand = RUNNING, policy: Policy = TERMS) -> Caretaker:
    """A caretaker from 0 s to 20 s, whose alert is over."""
    one = Caretaker(policy, adopted, retry_at=20, now=0)
    one.begin("why", 0)
    one.handle(events.AlertFinished(""), 0)
    return one


def test_the_alert_is_raised() -> None:
    """An internal error is an alert, at once, or as soon as the one that runs is over."""
    assert told(Caretaker(TERMS, RUNNING, 20, 0).begin("why", 0)) == [ALARM]
    busy = Caretaker(TERMS, AdoptedCommand(generation=2, applied=FILES, alerting=True), 20, 0)
    assert told(busy.begin("why", 0)) == []
    assert told(busy.handle(events.AlertFinished(""), 1)) == [ALARM]
    assert told(Caretaker(Policy(), RUNNING, 20, 0).begin("why", 0)) == []


def test_its_time_is_over_when_a_fresh_core_may_begin() -> None:
    """Until then it has the command; the next core learns what runs beside it."""
    one = begun()
    assert one.deadline == 4
    assert not one.is_over(19.9)
    assert one.is_over(20)
    one.handle(SignalReceived(INT, False), 3)
    assert one.adopted(check=2, alerting=True) == AdoptedCommand(
        generation=2,
        applied=FILES,
        check=2,
        check_due=4,
        alerting=True,
        asked_until=63,
        passed_on=frozenset({INT}),
    )


def test_signals_are_passed_on() -> None:
    """Each signal reaches the command once, as always."""
    one = begun()
    assert told(one.handle(SignalReceived(USR1, False), 1)) == [SignalProcessGroup(USR1)]
    assert told(one.handle(SignalReceived(INT, True), 1)) == []
    assert one.is_over(20)


def test_health_checks_go_on() -> None:
    """They keep their times, and what they say is told."""
    one = begun()
    assert told(one.handle(Tick(), 4)) == [RunHealthCheck(2)]
    failed = one.handle(events.HealthCheckFinished(2, False, "bad"), 5)
    assert failed[0] == Note("health-check-failed", {"reason": "bad", "is_change": True})
    assert told(failed) == [RunAlert(AlertEvent.HEALTH_FAILED, "bad")]
    one.handle(events.AlertFinished(""), 6)
    assert one.deadline == 15
    one.handle(Tick(), 15)
    passed = one.handle(events.HealthCheckFinished(2, True, ""), 16)
    assert passed[0] == Note("health-check-passed", {"is_change": True})
    assert one.handle(events.HealthCheckFinished(2, True, ""), 16) == []


def test_a_check_that_runs_is_waited_for() -> None:
    """No second one begins beside it, and its time limit holds."""
    policy = Policy(checks_health=True, health_interval_s=1, health_timeout_s=3)
    one = begun(AdoptedCommand(generation=2, applied=FILES, check=2), policy)
    assert one.deadline == 3
    assert one.handle(Tick(), 3) == [KillHealthCheck()]
    failed = one.handle(events.HealthCheckFinished(2, False, "signal 9"), 3.1)
    assert failed == [
        Note("health-check-failed", {"reason": "no answer within 3 s", "is_change": True})
    ]
    old = begun(AdoptedCommand(generation=2, applied=FILES, check=1), Policy(checks_health=True))
    assert old.handle(events.HealthCheckFinished(1, False, ""), 1) == []
    assert old.deadline == 20


def test_the_end_of_the_command_is_the_end() -> None:
    """zkexec ends as the command ended, after the alert for a failure."""
    one = begun()
    assert one.handle(CommandExited(1, ExitStatus(code=1)), 1) == []
    ended = told(one.handle(CommandExited(2, ExitStatus(code=3), "no disk"), 1))
    assert ended == [RunAlert(AlertEvent.COMMAND_FAILED, 'exit status 3: "no disk"', 3)]
    assert not one.is_over(30)
    assert told(one.handle(events.AlertFinished(""), 2)) == [EndProcess(ExitStatus(code=3))]
    assert told(begun().handle(CommandExited(2, ExitStatus()), 1)) == [EndProcess(ExitStatus())]


def test_a_requested_end_is_no_failure() -> None:
    """After TERM the tree is waited for, killed after the kill timeout, and no alert is raised."""
    one = begun()
    assert told(one.handle(SignalReceived(TERM, False), 1)) == [SignalProcessTree(TERM)]
    assert told(one.handle(Tick(), 6)) == [SignalProcessTree(KILL)]
    assert told(one.handle(CommandExited(2, ExitStatus(signal=KILL)), 6)) == [InspectProcessTree(2)]
    assert told(one.handle(ProcessTreeInspected(2, 1), 6)) == []
    ended = one.handle(ProcessTreeInspected(2, 0), 6.1)
    assert ended == [EndProcess(ExitStatus(signal=KILL))]


def test_a_signal_that_came_before_is_remembered() -> None:
    """Who was asked to end before the error has not failed when it does."""
    asked = AdoptedCommand(generation=2, applied=FILES, asked_until=60, passed_on=frozenset({INT}))
    assert told(begun(asked).handle(CommandExited(2, ExitStatus(code=130)), 1)) == [
        EndProcess(ExitStatus(code=130))
    ]


def test_a_command_that_was_being_stopped_is_waited_for() -> None:
    """Nothing of its tree is left when zkexec ends with 125, or as the command after a TERM."""
    stopped = AdoptedCommand(
        generation=2, applied=FILES, stopping=True, zkexec_status=ExitStatus(code=125)
    )
    one = begun(stopped)
    assert one.deadline == 5
    assert told(one.handle(CommandExited(2, ExitStatus(signal=TERM)), 1)) == [InspectProcessTree(2)]
    assert told(one.handle(ProcessTreeInspected(2, 0), 1)) == [EndProcess(ExitStatus(code=125))]
    asked = begun(stopped)
    asked.handle(SignalReceived(TERM, False), 1)
    asked.handle(CommandExited(2, ExitStatus(signal=TERM)), 1)
    assert told(asked.handle(ProcessTreeInspected(2, 0), 1)) == [
        EndProcess(ExitStatus(signal=TERM))
    ]
    gone = AdoptedCommand(generation=2, applied=FILES, stopping=True, ending=ExitStatus())
    assert told(begun(gone).handle(Tick(), 0.05)) == [InspectProcessTree(2)]


def test_without_a_command_only_the_alert_is_waited_for() -> None:
    """No signal is passed on then, and a TERM drops the alerts that wait."""
    nothing = AdoptedCommand(generation=0, applied=Snapshot({}), zkexec_status=ExitStatus(code=125))
    one = Caretaker(TERMS, nothing, 20, 0)
    assert told(one.begin("why", 0)) == [ALARM]
    assert told(one.handle(SignalReceived(TERM, False), 1)) == []
    assert told(one.handle(events.AlertFinished(""), 1)) == [EndProcess(ExitStatus(code=125))]
    bare = Caretaker(Policy(), AdoptedCommand(generation=0, applied=Snapshot({})), 20, 0)
    assert bare.begin("why", 0) == [EndProcess(ExitStatus(code=125))]


def test_a_fresh_core_starts_no_second_command() -> None:
    """It connects, reads, and is done if the files are what is wanted."""
    member = Member(TERMS, FreeTurn(), RUNNING, "why")
    assert told(member.handle(events.Started(), 0)) == [OpenSession()]
    assert member.phase is Phase.RUNNING
    assert member.applied == FILES
    assert told(member.handle(events.SessionConnected(1, 10), 1)) == [ReadZnodes(1)]
    read = member.handle(events.ZnodesRead(1, {"/z": Znode("/z", b"a", 3)}), 1)
    assert told(read) == [RunAlert(AlertEvent.RECOVERED, "the failure is over: why")]
    assert told(member.handle(events.AlertFinished(""), 2)) == []
    assert told(member.handle(Tick(), 4)) == [RunHealthCheck(2)]


@pytest.mark.parametrize("mirrors", [(), TERMS.inputs.mirrors])
def test_that_the_error_is_over_is_told_once(mirrors: tuple[Mirror, ...]) -> None:
    """It is over with the first read, or where there is nothing to read with the connection."""
    policy = Policy(inputs=InputOptions(mirrors=mirrors), raises_alerts=True, alert_recovery=True)
    adopted = AdoptedCommand(generation=1, applied=Snapshot({}))
    member = Member(policy, FreeTurn(), adopted, "why")
    member.handle(events.Started(), 0)
    connected = told(member.handle(events.SessionConnected(1, 10), 1))
    assert any(isinstance(action, RunAlert) for action in connected) is not bool(mirrors)
    assert told(member.handle(events.SessionConnected(1, 10), 2)) == (
        [ReadZnodes(2)] if mirrors else []
    )
