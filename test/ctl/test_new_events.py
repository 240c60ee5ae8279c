"""The events of a rollout that is watched: each one once, in the order in which they happened."""

from zkexec.ctl.status.new_events import HELD_BACK_S, NewEvents
from zkexec.ctl.status.rollout_events import RolloutEvent

NOW = 1000.0
PUSHED = RolloutEvent(at=NOW - 60, event="pushed", by="ann", revision="/app@2")
BEGAN = RolloutEvent(at=NOW + 1, event="began", member="m1", revision="/app@2")
VERIFYING = RolloutEvent(at=NOW + 2, event="verifying", member="m1", step="health")
LOST = RolloutEvent(at=0.0, event="lost", revision="/app@2")


def test_an_event_that_is_published_again_is_the_same() -> None:
    """A time that varies a little makes no second event; a later turn is one."""
    new = NewEvents()
    new.add([BEGAN], NOW + 1)
    assert new.take(NOW + 1 + HELD_BACK_S) == [BEGAN]

    again = RolloutEvent(at=BEGAN.at + 0.02, event="began", member="m1", revision="/app@2")
    later = RolloutEvent(at=BEGAN.at + 5, event="began", member="m1", revision="/app@2")
    new.add([again, later], NOW + 6)

    assert new.take_all() == [later]
    assert not new.has_waiting


def test_what_is_known_late_comes_in_its_place() -> None:
    """An event is held back until what happened before it is known as well."""
    new = NewEvents()
    new.add([PUSHED, LOST], NOW)
    assert new.take(NOW) == [PUSHED, LOST]

    new.add([PUSHED, VERIFYING], NOW + 2)
    assert new.take(NOW + 3) == []
    new.add([PUSHED, BEGAN, VERIFYING], NOW + 3)

    assert new.has_waiting
    assert new.take(NOW + 2 + HELD_BACK_S) == [BEGAN, VERIFYING]
    assert new.take_all() == []


def test_the_newest_form_of_an_event_counts() -> None:
    """What a member did is shown as it is known when the event is written."""
    new = NewEvents()
    named = RolloutEvent(
        at=BEGAN.at + 0.01, event="began", member="m1", revision="/app@2", action="restart"
    )
    new.add([BEGAN], NOW + 1)
    new.add([named], NOW + 2)

    assert new.take_all() == [named]
