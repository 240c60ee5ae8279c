"""When the last turn of a member began and ended: from its statuses, published or not."""

from zkexec.core.rollout.turn_times import TurnTimes
from zkexec.core.turn import MemberStatus, TurnAges

OLD, NEW = "a" * 64, "b" * 64


def after(*statuses: tuple[str, str, str, str]) -> TurnTimes:
    """The times after statuses, one a second: phase, running, wanted and step."""
    times = TurnTimes()
    for at, (phase, running, wanted, step) in enumerate(statuses):
        times.note(MemberStatus(phase, running, wanted, step=step), float(at))
    return times


def test_without_a_step_there_was_no_turn() -> None:
    """A member that only waits has had no turn."""
    assert after(("waiting", OLD, NEW, ""), ("running", NEW, NEW, "")).ages(9.0) is None


def test_a_turn_begins_with_the_first_step_and_ends_with_its_result() -> None:
    """The check begins it, the restart is its action, and the phase after it is its result."""
    steps = (
        ("checking", OLD, NEW, "check"),
        ("stopping", OLD, NEW, "stop"),
        ("verifying", "", NEW, "health"),
    )
    end = (("running", NEW, NEW, ""), ("running", NEW, NEW, ""))

    assert after(*steps).ages(9.0) == TurnAges("b" * 12, 9.0, None, "restart")
    assert after(*steps, *end).ages(9.0) == TurnAges("b" * 12, 9.0, 6.0, "restart", "succeeded")


def test_a_turn_that_fails_and_one_that_goes_back() -> None:
    """A failed reload has its result; a return to the old version is no success of the new one."""
    reload = ("reloading", OLD, NEW, "reload")
    blocked = (("draining", OLD, NEW, "pre-stop"), ("blocked", OLD, NEW, "pre-stop"))

    failed = after(reload, ("failed", OLD, NEW, "reload")).ages(5.0)
    assert failed == TurnAges("b" * 12, 5.0, 4.0, "reload", "failed")
    assert after(*blocked).ages(5.0) == TurnAges("b" * 12, 5.0, 4.0, "", "blocked")
    returned = after(reload, ("running", OLD, OLD, "")).ages(5.0)
    assert returned == TurnAges("b" * 12, 5.0, 4.0, "reload", "")
    waits = after(reload, ("waiting", OLD, NEW, "")).ages(5.0)
    assert waits == TurnAges("b" * 12, 5.0, 4.0, "reload", "")


def test_a_newer_version_begins_another_turn() -> None:
    """Also in the same admission: what is shown is the last change that was applied."""
    first, newer = ("stopping", OLD, NEW, "stop"), ("verifying", "", "c" * 64, "start")

    assert after(first, newer).ages(3.0) == TurnAges("c" * 12, 2.0, None, "restart")
    again = after(first, ("failed", OLD, NEW, "start"), ("verifying", OLD, NEW, "start"))
    assert again.ages(3.0) == TurnAges("b" * 12, 1.0, None, "restart")
