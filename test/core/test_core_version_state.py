"""Check when a version counts as failed, by failures and by lost turns."""

import pytest

from core.records import known_good, not_good
from zkexec.core.rollout.version_state import FEW_SUCCEEDED, VersionState, latest
from zkexec.frozen import replace

MANY = known_good(2, succeeded=FEW_SUCCEEDED)


def failed_on(count: int, of: VersionState) -> VersionState:
    """Let a version fail on this many members."""
    for number in range(count):
        of = of.with_failure(f"m{number}", 2, "exit status 1", "start")
    return of


def lost(count: int, of: VersionState, zone: str = "") -> VersionState:
    """Lose this many turns with a version, by one member after the other."""
    for number in range(count):
        of = of.with_lost_turn(f"m{number}", 2, zone, number)
    return of


@pytest.mark.parametrize("succeeded", [0, FEW_SUCCEEDED - 1])
def test_the_first_failure_counts_until_ten_have_succeeded(succeeded: int) -> None:
    """One failure makes an untried version, and one that few members have, fail."""
    state = known_good(2, succeeded=succeeded)
    assert not state.has_failed(5)
    assert failed_on(1, state).has_failed(5)


@pytest.mark.parametrize(
    ("failures", "tolerated", "has_failed"),
    [(1, 0, True), (0, 0, False), (5, 5, False), (6, 5, True)],
)
def test_max_failed_is_tolerated_after_ten_have_succeeded(
    failures: int, tolerated: int, has_failed: bool
) -> None:
    """After ten successes a version fails on as many members as max failed allows."""
    assert failed_on(failures, MANY).has_failed(tolerated) is has_failed


def test_a_member_counts_once() -> None:
    """A version that fails twice on the same member has failed on one member."""
    state = MANY.with_failure("m1", 2, "exit status 1", "start")
    again = state.with_failure("m1", 3, "it hangs", "health")
    assert again.failed_by == ("m1",)
    assert (again.zxid, again.reason, again.step) == (3, "it hangs", "health")
    assert not again.has_failed(1)


def test_two_lost_turns_fail_a_version_until_ten_have_succeeded() -> None:
    """The member that lost the second turn is named, and max failed does not help."""
    state = lost(2, known_good(2, succeeded=FEW_SUCCEEDED - 1))
    assert (state.failed_by, state.condemned_by, state.lost_turns) == (("m1",), ("m1",), 2)
    assert state.has_failed(100)
    assert not lost(1, not_good(2)).has_failed(0)


@pytest.mark.parametrize(
    ("succeeded", "tolerated"), [(10, 2), (100, 2), (296, 2), (297, 3), (989, 9), (990, 10)]
)
def test_a_share_of_the_turns_may_be_lost(succeeded: int, tolerated: int) -> None:
    """After ten successes two lost turns are tolerated, and one in a hundred that tried."""
    state = known_good(2, succeeded=succeeded)
    assert not lost(tolerated, state).has_failed(0)
    assert lost(tolerated + 1, state).has_failed(0)


def test_members_that_failed_have_tried() -> None:
    """The share is of all that have tried the version, however their turns ended."""
    state = failed_on(100, known_good(2, succeeded=200))
    assert not lost(3, state).condemned_by
    assert lost(3, known_good(2, succeeded=200)).condemned_by


@pytest.mark.parametrize(
    ("zone", "admission", "is_same"),
    [("east", 5, True), ("east", 3, True), ("east", 6, False), ("west", 5, False), ("", 5, False)],
)
def test_a_zone_that_is_lost_at_once_counts_once(zone: str, admission: int, is_same: bool) -> None:
    """Another turn of the same zone, admitted before the first was lost, has the same cause."""
    state = not_good(2).with_lost_turn("m1", 2, "east", 5)
    assert state.is_same_loss(zone, admission) is is_same


def test_members_without_a_zone_are_lost_one_by_one() -> None:
    """Without zones nothing shows that two losses have one cause."""
    assert not not_good(2).with_lost_turn("m1", 2, "", 5).is_same_loss("", 3)


def test_an_entry_without_an_admission_is_no_part_of_a_lost_zone() -> None:
    """Before any turn of it was lost, no loss of a version is the same one."""
    assert not not_good(2).is_same_loss("east", 0)


def test_the_success_of_a_member_ends_its_failure() -> None:
    """Also the one that its lost turn has made; that of another member stays."""
    state = lost(2, not_good(2)).with_failure("m7", 2, "exit status 1", "start")
    assert state.failed_by == ("m1", "m7")
    recovered = state.without_failure("m1")
    assert (recovered.failed_by, recovered.condemned_by) == (("m7",), ())
    assert recovered.lost_turns == 2
    assert state.without_failure("m3") == state


def test_a_loss_that_fails_the_version_names_no_step() -> None:
    """A member that was lost did not show in which step."""
    state = MANY.with_failure("m1", 2, "not healthy", "health")
    assert lost(3, replace(state, succeeded=0)).step == ""


def test_the_latest_trial() -> None:
    """The result with the greatest zxid counts, and of two equal ones the failure."""
    assert latest([known_good(2), not_good(3)]) == known_good(2)
    assert latest([known_good(2), not_good(3, "m1")]) == not_good(3, "m1")
    assert latest([not_good(3, "m1"), known_good(3)]) == not_good(3, "m1")
    assert latest([not_good(3)]) is None
