"""The executor: each action of the core has a method that performs it."""

from collections.abc import Iterator

from zkexec.core import actions
from zkexec.core.actions import Action
from zkexec.core.rollout import group_actions
from zkexec.runtime.executor import Executor


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
