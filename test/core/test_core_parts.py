"""The parts of a member one by one: settling, alarm, source, launch, child, turn."""

from collections.abc import Sequence

import pytest

from zkexec.core import events
from zkexec.core.actions import (
    AlertEvent,
    InspectProcessTree,
    KillAlert,
    LoadCachedFiles,
    Note,
    OpenSession,
    ReadZnodes,
    RunAlert,
    SignalProcessGroup,
    SignalProcessTree,
    StartCommand,
)
from zkexec.core.alerts import Alerts
from zkexec.core.command import Command
from zkexec.core.events import ExitStatus, SignalReceived
from zkexec.core.input_options import InputOptions, Mirror
from zkexec.core.inputs import Inputs
from zkexec.core.member import Member
from zkexec.core.policy import Policy, StartPolicy
from zkexec.core.restart import Debounce
from zkexec.core.snapshot import Problem, Snapshot, Znode
from zkexec.core.startup import CannotStartError, Startup
from zkexec.core.turn import FreeTurn, Intent, Keeping, StartBasis

ALERTS = Policy(raises_alerts=True, kill_timeout_s=6, alert_recovery=True)
ONE_FILE = Policy(inputs=InputOptions(mirrors=(Mirror("/f", "/z"),)))


def told(actions: Sequence[object]) -> list[object]:
    """The actions without the notes."""
    return [action for action in actions if not isinstance(action, Note)]


def test_quiet_has_to_follow_a_change() -> None:
    """Each change begins the settle time anew, but not past ten of them after the first."""
    debounce = Debounce(1.0)
    assert debounce.deadline is None
    debounce.changed(0)
    assert debounce.deadline == 1
    debounce.changed(0.5)
    assert debounce.deadline == 1.5
    debounce.changed(9.7)
    assert debounce.deadline == 10
    debounce.end()
    assert debounce.deadline is None
    debounce.changed(20)
    assert debounce.deadline == 21


def test_another_attempt_has_its_pause() -> None:
    """A failed attempt is repeated after the pause, or sooner for something newer."""
    debounce = Debounce(1.0)
    debounce.changed(0)
    debounce.try_again(10, now=5)
    assert debounce.deadline == 15
    debounce.changed(7)
    assert debounce.deadline == 8


def test_one_alert_after_the_other() -> None:
    """While an alert runs, the newest of what there is to tell waits."""
    alerts = Alerts(ALERTS)
    assert told(alerts.health_failed("one", 0)) == [RunAlert(AlertEvent.HEALTH_FAILED, "one")]
    assert alerts.busy
    assert alerts.health_failed("two", 1) == []
    assert alerts.command_failed("exit status 3", 3, 2) == []
    last = RunAlert(AlertEvent.COMMAND_FAILED, "exit status 3", 3)
    assert told(alerts.finished("", 3)) == [last]
    assert alerts.finished("not found", 4) == [Note("alert-failed", {"reason": "not found"})]
    assert not alerts.busy


def test_an_alert_that_hangs_does_not_silence_the_next() -> None:
    """An alert has all the time there is until another one waits; then it has the kill timeout."""
    alerts = Alerts(ALERTS)
    alerts.health_failed("one", 0)
    assert alerts.deadline is None
    alerts.health_failed("two", 100)
    alerts.health_failed("three", 101)
    assert alerts.deadline == 106
    assert told(alerts.expire(106)) == [KillAlert()]
    waiting = RunAlert(AlertEvent.HEALTH_FAILED, "three")
    assert told(alerts.finished("signal 9", 107)) == [waiting]
    assert alerts.deadline is None


def test_an_alert_at_the_end_has_a_limit() -> None:
    """The limit is set once, ends the alert once, and is nothing without an alert."""
    alerts = Alerts(ALERTS)
    alerts.limit(0)
    assert alerts.deadline is None
    alerts.health_failed("one", 0)
    alerts.limit(5)
    alerts.limit(6)
    assert alerts.deadline == 11
    assert alerts.expire(10) == []
    assert told(alerts.expire(11)) == [KillAlert()]
    assert alerts.expire(12) == []


def test_an_alert_gets_through_in_spite_of_a_short_kill_timeout() -> None:
    """`--kill-timeout 0` is meant for the command; an alert is given five seconds."""
    alerts = Alerts(Policy(raises_alerts=True, kill_timeout_s=0))
    alerts.command_failed("exit status 3", 3, 0)
    alerts.limit(1)
    assert alerts.deadline == 6


def test_a_failed_restart_is_told_once_for_each_reason() -> None:
    """The same reason again is no news; once settled, recovery is told."""
    alerts = Alerts(ALERTS)
    assert told(alerts.restart_failed("full", 0)) == [RunAlert(AlertEvent.RESTART_FAILED, "full")]
    alerts.finished("", 0)
    assert alerts.restart_failed("full", 0) == []
    assert told(alerts.restart_failed("gone", 0)) == [RunAlert(AlertEvent.RESTART_FAILED, "gone")]
    alerts.finished("", 0)
    assert told(alerts.restart_settled(0)) == [
        RunAlert(AlertEvent.RECOVERED, "the failure is over: gone")
    ]
    assert alerts.restart_settled(0) == []


def test_without_an_alert_command_nothing_is_told() -> None:
    """No --alert: no alert."""
    alerts = Alerts(Policy())
    assert alerts.command_failed("exit status 3", 3, 0) == []
    assert not alerts.busy


def test_two_files_may_follow_one_znode() -> None:
    """Each znode is read once, and all files that follow it get its content."""
    source = Inputs(Policy(inputs=InputOptions(mirrors=(Mirror("/f", "/z"), Mirror("/g", "/z")))))
    assert source.follows_any
    assert told(source.open()) == [OpenSession()]
    assert told(source.handle(events.SessionConnected(1, 10.0), 0)) == [ReadZnodes(1)]
    source.handle(events.ZnodesRead(1, {"/z": Znode("/z", b"a", 7)}), 1)
    assert source.wanted == Snapshot({"/f": b"a", "/g": b"a"})
    assert source.wanted is not None
    assert source.wanted.zxid == 7


def test_content_that_did_not_change_is_kept_as_it_is() -> None:
    """Of what is read again, only what differs takes the place of what is known."""
    source = Inputs(Policy(inputs=InputOptions(mirrors=(Mirror("/f", "/y"), Mirror("/g", "/z")))))
    found = []
    for number, last in enumerate((b"1", b"2"), start=1):
        source.handle(events.SessionConnected(1, 10.0), 0)
        znodes = {"/y": Znode("/y", bytes(bytearray(b"same"))), "/z": Znode("/z", last)}
        source.handle(events.ZnodesRead(number, znodes), 0)
        assert source.wanted is not None
        found.append(source.wanted.files)
    assert found[0]["/f"] is found[1]["/f"]
    assert (found[0]["/g"], found[1]["/g"]) == (b"1", b"2")


def test_a_forbidden_znode_is_tried_again() -> None:
    """No watch tells of a new ACL, so a znode that may not be read is read again after a while."""
    source = Inputs(Policy(inputs=InputOptions(mirrors=(Mirror("/f", "/z"),))))
    source.handle(events.SessionConnected(1, 10.0), 0)
    source.handle(events.ZnodesRead(1, {"/z": Znode("/z", problem=Problem.FORBIDDEN)}), 1)
    assert source.deadline == 11
    assert source.expire(10) == []
    assert told(source.expire(11)) == [ReadZnodes(2)]
    source.handle(events.ZnodesRead(2, {"/z": Znode("/z", b"a", 7)}), 12)
    assert source.deadline is None


def test_a_forbidden_znode_of_restarts_is_tried_again() -> None:
    """A member whose watch on it was refused would never see a restart that is requested later."""
    policy = Policy(inputs=ONE_FILE.inputs, restart_path="/restart")
    source = Inputs(policy)
    source.handle(events.SessionConnected(1, 10.0), 0)
    znodes = {"/z": Znode("/z", b"a", 7), "/restart": Znode("/restart", problem=Problem.FORBIDDEN)}
    source.handle(events.ZnodesRead(1, znodes), 1)
    assert source.deadline == 11
    assert told(source.expire(11)) == [ReadZnodes(2)]


def test_what_is_no_news_of_the_ensemble_means_nothing() -> None:
    """The source ignores events of the host, and a reply that it does not wait for."""
    source = Inputs(ONE_FILE)
    assert source.handle(events.Tick(), 0) == []
    assert source.handle(events.ZnodesRead(0, {"/z": Znode("/z", b"a")}), 0) == []
    assert source.handle(events.ReadFailed(0, "late"), 0) == []
    assert source.wanted is None
    assert source.expire(0) == []


@pytest.mark.parametrize(("session_timeout_s", "patience_s"), [(2, 60), (20, 120)])
def test_a_client_without_connection_is_replaced(session_timeout_s: int, patience_s: int) -> None:
    """That is after six session timeouts, and after a minute at least."""
    source = Inputs(Policy(inputs=ONE_FILE.inputs, session_timeout_s=session_timeout_s))
    source.handle(events.SessionConnected(1, session_timeout_s), 0)
    source.handle(events.SessionSuspended("gone"), 0)
    assert source.deadline == patience_s
    assert told(source.expire(patience_s)) == [OpenSession()]


def test_a_lack_is_told_once() -> None:
    """A znode without content is warned of when that begins, and when it ends."""
    source = Inputs(ONE_FILE)
    source.assume(Snapshot({"/f": b"a"}))
    texts = []
    for number, problem in enumerate((Problem.MISSING, Problem.MISSING, None), start=1):
        source.handle(events.SessionConnected(1, 10.0), 0)
        znodes = {"/z": Znode("/z", b"" if problem else b"a", problem=problem)}
        actions = source.handle(events.ZnodesRead(number, znodes), 0)
        texts.append([action.topic for action in actions if isinstance(action, Note)])
    assert texts == [["znode-unusable"], [], ["znode-usable"]]
    assert source.wanted == Snapshot({"/f": b"a"})


def test_a_cluster_that_is_needed_has_its_time() -> None:
    """The connect timeout is a reason not to start, or to use the files that are there."""
    launch = Startup(ONE_FILE, Inputs(ONE_FILE), FreeTurn())
    launch.begin(0)
    assert launch.deadline == 30
    assert launch.expire(29) == []
    with pytest.raises(CannotStartError) as refusal:
        launch.expire(30)
    assert refusal.value.note.fields["reason"] == "no answer"
    policy = Policy(inputs=ONE_FILE.inputs, start=StartPolicy.CACHED)
    launch = Startup(policy, Inputs(policy), FreeTurn())
    launch.begin(0)
    assert told(launch.expire(30)) == [LoadCachedFiles()]


@pytest.mark.parametrize(("connect_timeout_s", "wait_s"), [(30.0, 0.5), (0.2, 0.2)])
def test_a_cluster_that_is_not_needed_has_little_time(
    connect_timeout_s: float, wait_s: float
) -> None:
    """With nothing to mirror the wait is half a second, or the connect timeout if that is less."""
    policy = Policy(connect_timeout_s=connect_timeout_s)
    launch = Startup(policy, Inputs(policy), FreeTurn())
    launch.begin(0)
    assert launch.deadline == wait_s
    assert not launch.ready
    assert told(launch.expire(wait_s)) == []
    assert launch.ready


def test_a_cluster_that_is_not_needed_and_refuses_is_not_waited_for() -> None:
    """With nothing to mirror the wait ends when the last server has refused, and no other."""
    source = Inputs(Policy())
    launch = Startup(Policy(), source, FreeTurn())
    launch.begin(0)
    source.handle(events.ConnectFailed("one"), 0.1)
    assert launch.consider(0.1) == []
    source.handle(events.ConnectFailed("two", is_last=True), 0.2)
    (note,) = launch.consider(0.2)
    assert isinstance(note, Note)
    assert note.fields == {"reason": "two"}
    assert launch.ready


def test_generations_are_counted() -> None:
    """Each start is a generation of its own, and the tree of the old one says nothing of it."""
    child = Command(Policy())
    assert told(child.start()) == [StartCommand(1)]
    child.started(events.CommandStarted(1, 100))
    assert child.present
    child.stop(15, 0)
    assert told(child.exited(events.CommandExited(1, ExitStatus()), 1)) == [InspectProcessTree(1)]
    assert child.present
    child.inspected(events.ProcessTreeInspected(1, 0))
    assert not child.present
    assert told(child.start()) == [StartCommand(2)]
    child.inspected(events.ProcessTreeInspected(1, 0))
    assert not child.tree_gone


def test_a_stop_has_its_order() -> None:
    """The signal, once; then KILL at the timeout and each second after it."""
    child = Command(Policy(kill_timeout_s=3))
    child.start()
    child.started(events.CommandStarted(1, 100))
    assert child.expire(1e9) == []
    assert told(child.stop(10, 0)) == [SignalProcessTree(10)]
    assert child.deadline == 3
    assert child.expire(2.9) == []
    assert told(child.expire(3)) == [SignalProcessTree(9)]
    assert child.deadline == 4


@pytest.mark.parametrize(
    ("signal", "ending", "later_s", "asked"),
    [
        (2, ExitStatus(code=1), 60, True),
        (2, ExitStatus(code=1), 61, False),
        (2, ExitStatus(signal=2), 61, True),
        (1, ExitStatus(signal=1), 1, True),
        (1, ExitStatus(code=1), 1, False),
        (10, ExitStatus(signal=10), 1, True),
        (10, ExitStatus(code=1), 1, False),
    ],
)
def test_an_end_may_have_been_asked_for(
    signal: int, ending: ExitStatus, later_s: float, asked: bool
) -> None:
    """A signal explains an ending soon after it, and a death by just this signal at any time."""
    child = Command(Policy())
    child.start()
    assert not child.was_asked_to_end(ending, 0)
    actions = child.pass_on(SignalReceived(signal, from_terminal=False), 0)
    assert told(actions) == [SignalProcessGroup(signal)]
    assert child.was_asked_to_end(ending, later_s) is asked


@pytest.mark.parametrize(("kill_timeout_s", "longest_s"), [(30.0, 60.0), (90.0, 90.0)])
def test_a_slow_command_has_its_kill_timeout_to_end(
    kill_timeout_s: float, longest_s: float
) -> None:
    """A signal explains an ending within a minute, or the kill timeout where that is longer."""
    child = Command(Policy(kill_timeout_s=kill_timeout_s))
    child.start()
    child.pass_on(SignalReceived(2, from_terminal=False), 0)
    assert child.was_asked_to_end(ExitStatus(code=0), longest_s)
    assert not child.was_asked_to_end(ExitStatus(code=0), longest_s + 0.1)


def test_a_turn_without_a_lock_is_granted_at_once() -> None:
    """A free turn is granted for what is wanted, and over when nothing is, whatever the reason."""
    turn, wanted = FreeTurn(), Snapshot({"/f": b"a"})
    assert turn.granted is None
    turn.reconcile(Intent(Keeping.TURN, wanted), 0)
    assert turn.granted is wanted
    turn.reconcile(Intent(succeeded=wanted), 0)
    assert turn.granted is None


def test_without_a_lock_no_other_member_matters() -> None:
    """A free turn lets the first start go on, the old command stop, and zkexec end at once."""
    turn, wanted = FreeTurn(), Snapshot({"/f": b"a"})
    assert turn.basis(wanted, None) is StartBasis.WANTED
    assert turn.is_ready
    assert turn.may_stop(0)
    assert turn.close(0)
    assert turn.handle(events.Tick(), 0) == []
    assert turn.advance(0) == []
    assert (turn.deadline, turn.in_flight) == (None, False)


def test_files_that_nobody_has_staged_are_a_mistake() -> None:
    """The core does not go on after an answer without a request."""
    member = Member(ONE_FILE, FreeTurn())
    member.handle(events.Started(), 0)
    with pytest.raises(RuntimeError, match="were not staged"):
        member.handle(events.FilesInstalled(()), 1)


def test_a_deadline_that_does_not_move_on_is_a_mistake() -> None:
    """The core ends loudly and does not spin, where what is due stays due."""

    class Stuck(FreeTurn):
        deadline: float | None = 0.0

    with pytest.raises(RuntimeError, match="does not move on"):
        Member(ONE_FILE, Stuck()).handle(events.Started(), 1)
