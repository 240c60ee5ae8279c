"""The executor: each action of the core has a method that performs it."""

from collections.abc import Iterator

from zkexec.cli.parser import read
from zkexec.cli.settings import resolve_settings
from zkexec.core import actions
from zkexec.core.actions import Action
from zkexec.core.events import ReadFailed, SessionConnected
from zkexec.core.rollout import group_actions
from zkexec.core.rollout.group_events import GroupRequestFailed
from zkexec.core.turn import MemberStatus
from zkexec.process.inheritance import Inheritance
from zkexec.process.processes import Processes
from zkexec.runtime.executor import Executor
from zkexec.runtime.inbox import Inbox
from zkexec.runtime.log import Log

INHERITANCE = Inheritance(
    mask=frozenset(), ignored=frozenset(), environment={}, has_terminal=False, is_pid1=False
)


def classes_below(parent: type[Action]) -> Iterator[type[Action]]:
    """Yield all subclasses of a class."""
    for child in parent.__subclasses__():
        yield child
        yield from classes_below(child)


def test_each_action_has_a_performer() -> None:
    """The table contains all actions of the core but the one that the loop itself performs."""
    known = set(classes_below(Action))
    assert {actions.Note, group_actions.CommitRecord, actions.EndProcess} <= known
    assert set(Executor.PERFORMERS) == known - {actions.EndProcess}


def test_nothing_is_requested_on_a_connection_that_the_core_does_not_know_of() -> None:
    """The core took its decision before the new connection, which may be to another history."""
    settings = resolve_settings(read(["--exec", "true"]), {})
    command = settings.command
    processes = Processes(INHERITANCE, command=command, health=None, alert=None, subreaper=False)
    inbox = Inbox(INHERITANCE, list, lambda _: False)
    executor = Executor(settings, processes, Log(settings), inbox)
    list_queue = group_actions.ListQueue(4)
    assert executor.perform(actions.ReadZnodes(3)) == ()
    assert executor.perform(list_queue) == ()

    inbox.post(SessionConnected(1, 10.0))

    lost = "the connection was lost"
    assert executor.perform(actions.ReadZnodes(3)) == [ReadFailed(3, lost)]
    assert executor.perform(list_queue) == [GroupRequestFailed(4, lost)]
    assert executor.perform(group_actions.PublishStatus(MemberStatus("running"))) == ()
