"""The table of phases and events, and the diagram that is drawn from it."""

import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

from scenarios.script import play
from simulation.group.seeded_group_run import SeededGroupRun
from simulation.seeded_run import SeededRun
from zkexec.core import events
from zkexec.core.events import Event
from zkexec.core.phases import (
    CurrentPhase,
    ImpossibleTransitionError,
    Interlude,
    Phase,
    RunningPhase,
)
from zkexec.core.rendering_result import NotRendered
from zkexec.core.rollout import group_events
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.rollout.record_basis import RecordBasis
from zkexec.core.step import Step as StepOfChange
from zkexec.core.step import StepOutcome
from zkexec.core.transitions import TABLE, check_transition

TEST = Path(__file__).resolve().parent.parent
ENOUGH_SEEDS = 600
RARE_SEEDS = (1048, 1116, 3137, 3804, 8804)
GROUP_SEEDS = (52, 87, 265, 276, 569, 639)
"""Seeds in which something happens that is rare."""
UNSEEN = {
    (Phase.WAITING, events.StepFinished, Phase.RELOADING),
    (Phase.VERIFYING, events.StepFinished, Phase.DRAINING),
    (Phase.VERIFYING, events.StepFinished, Phase.RELOADING),
    (Phase.VERIFYING, group_events.RecordCommitted, Phase.DRAINING),
    (Phase.VERIFYING, group_events.RecordCommitted, Phase.RELOADING),
    (Phase.FAILED, events.StepFinished, Phase.RELOADING),
    (Phase.FAILED, group_events.RecordCommitted, Phase.RELOADING),
    (Phase.WAITING, events.StepFinished, Phase.DRAINING),
    (Phase.FAILED, events.StepFinished, Phase.DRAINING),
    (Phase.RELOADING, events.FilesFailed, Phase.FAILED),
}
"""What is possible by the rules of the phases, and was met in none of 12,000 and 640 seeds.

To forbid it would cost a user the core, where it happens after all.
"""

Step = tuple[Phase, type[Event], Phase]


def known_events() -> Iterator[type[Event]]:
    """Every event, of the host and of the group."""
    for module in (events, group_events):
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Event) and value is not Event:
                yield value


def test_the_table_is_total() -> None:
    """There is a row for each phase, and no event is missing or unknown in it."""
    assert list(TABLE) == list(Phase)
    named = {event for row in TABLE.values() for events_ in row.values() for event in events_}
    assert named == set(known_events())


def test_a_row_names_other_phases_in_their_order() -> None:
    """A row lists each phase that can follow once, in the order of the phases, and not its own."""
    for phase, row in TABLE.items():
        assert list(row) == [other for other in Phase if other in row and other is not phase]
        assert all(len(set(leading)) == len(leading) > 0 for leading in row.values())


def test_each_phase_has_one_value() -> None:
    """Each word for a phase belongs to one class, which carries what is true in it."""
    classes = [*CurrentPhase.__subclasses__(), *Interlude.__subclasses__()]
    phases = [value.phase for value in classes if value is not Interlude]
    assert sorted(phases, key=list(Phase).index) == list(Phase)


def test_nothing_leads_out_of_the_end() -> None:
    """What is over stays over."""
    assert TABLE[Phase.DONE] == {}


def test_staying_is_always_allowed() -> None:
    """No event has to change the phase."""
    for phase in Phase:
        check_transition(phase, events.Tick(), phase)


def test_a_step_that_is_not_in_the_table_is_a_mistake() -> None:
    """The core does not go on after a step that nobody has thought of."""
    check_transition(Phase.BLOCKED, events.Tick(), Phase.WAITING)
    with pytest.raises(ImpossibleTransitionError, match="Tick led from running to waiting"):
        check_transition(Phase.RUNNING, events.Tick(), Phase.WAITING)


def test_nothing_is_running_without_a_command() -> None:
    """The phase "running" cannot be made without a command, whatever the core believes."""
    assert RunningPhase(1).phase is Phase.RUNNING
    with pytest.raises(ImpossibleTransitionError, match="running without a command"):
        RunningPhase(0)


ENDING = """
policy /f=/z in_group
command obeys 0.5
at 6 running /z=a@1
at 10 pushed /z=b@2
at 10.5 quiet
next commit unanswered
at 11 signal 15
at 12 quiet
frozen until 20
"""
"""A member that waits for its release, and is frozen until after it has to end."""

LATE: list[Event] = [
    events.SessionConnected(2, session_timeout_s=10),
    events.ConnectFailed("refused"),
    events.ZnodeTouched("/z"),
    events.ZnodesRead(0, {}),
    events.ReadFailed(0, "no answer"),
    events.RenderFinished(0, NotRendered("no process")),
    group_events.GroupTouched(group_events.GroupPart.RECORD),
    events.StepFinished(StepOfChange.CHECK, 0, StepOutcome(True)),
    events.HealthCheckFinished(0, True, ""),
    events.SignalReceived(1, from_terminal=False),
    events.SessionSuspended("gone"),
    events.SessionLost("expired"),
    group_events.Enrolled(0),
    group_events.EnrolmentOccupied(0, "another process"),
    group_events.QueueJoined(0, 0),
    group_events.QueueNodeRenewed(0),
    group_events.QueueNodeFound(0, None),
    group_events.QueueNodesRead(0, True, True),
    group_events.QueueListed(0, ()),
    group_events.QueueRead(0, frozenset(), ()),
    group_events.QueueLeft(0),
    group_events.RecordRead(0, RolloutRecord(), RecordBasis()),
    group_events.RecordCommitted(0, RecordBasis()),
    group_events.CommitRefused(0, group_events.Conflict.RECORD),
    group_events.GroupRequestFailed(0, "no answer"),
    group_events.GroupRequestForbidden(0, "no permission"),
]


def end_with(event: Event) -> set[Step]:
    """Let this be the first event that a frozen member gets after its end was due."""
    host = play(ENDING)[1]
    host.happen(event, lambda _event, _actions: None)
    return host.steps


@pytest.mark.parametrize("event", LATE, ids=lambda event: type(event).__name__)
def test_an_overdue_end_comes_with_any_event(event: Event) -> None:
    """The end waits two seconds for the release of its turn, and not longer for any answer."""
    assert (Phase.EXITING, type(event), Phase.DONE) in end_with(event)


def test_each_cell_is_reached() -> None:
    """The table allows nothing that does not happen in a story or in the simulation."""
    reached = {step for event in LATE for step in end_with(event)}
    for story in (TEST / "scenarios").glob("*.txt"):
        reached |= play(story.read_text(encoding="utf-8"))[1].steps
    for seed in (*range(ENOUGH_SEEDS), *RARE_SEEDS):
        reached |= SeededRun(seed).run()
    for seed in GROUP_SEEDS:
        group = SeededGroupRun(seed)
        group.run()
        reached |= group.world.transitions
    rows = ((phase, row) for phase, row in TABLE.items())
    allowed = {
        (p, event, to) for p, row in rows for to, events_ in row.items() for event in events_
    }
    assert allowed - reached == UNSEEN


def test_the_diagram_is_up_to_date() -> None:
    """docs/design.md shows the table as it is: `python tools/draw_phases.py` has been run."""
    drawn = runpy.run_path(str(TEST.parent / "tools" / "draw_phases.py"))["drawn"]
    design = (TEST.parent / "docs" / "design.md").read_text(encoding="utf-8")
    assert drawn(design) == design
