"""What was tried last and what came of it, as the phases carry it."""

from zkexec.core.attempt import Attempt
from zkexec.core.snapshot import UNLIMITED, Snapshot
from zkexec.core.step import Step
from zkexec.frozen import replace

A, B, C = (Snapshot({"/f": letter}, number) for number, letter in enumerate((b"a", b"b", b"c"), 1))
B_AGAIN = Snapshot({"/f": b"b"}, 9)
FAILED = Attempt(B).fail("exit status 1", B, None, Step.HEALTH)
REVERTING = Attempt(B).fail("exit status 1", B, A, Step.HEALTH)


def test_what_failed_may_be_pushed_again() -> None:
    """After a failure the same bytes with a greater zxid are a retry, and were not tried."""
    assert FAILED.is_retry(B_AGAIN)
    assert not FAILED.is_retry(B)
    assert not FAILED.is_retry(A)
    assert FAILED.was_tried(B)
    assert not FAILED.was_tried(B_AGAIN)
    assert not FAILED.was_tried(A)


def test_without_an_attempt_nothing_was_tried() -> None:
    """A member that was just started has used its turn for nothing yet; what runs can fail."""
    assert not Attempt().was_tried(A)
    assert Attempt().fail("exit status 1", A, None, Step.HEALTH).failing == A
    assert not Attempt().is_retry(A)


def test_a_revert_is_told_from_a_new_attempt() -> None:
    """What failed is remembered while the good files are put back, and not for any others."""
    assert not REVERTING.is_reverted(B)
    reverted = REVERTING.install(A)
    assert reverted.is_reverted(A)
    assert (reverted.tried, reverted.reason) == (B, "exit status 1")
    assert REVERTING.install(C) == Attempt(C)


def test_there_is_nothing_to_put_back() -> None:
    """A failure is reverted to a good version only if that is another one than what runs."""
    assert REVERTING.revert_to == A
    assert Attempt(B).fail("exit status 1", B, B, Step.HEALTH).revert_to is None
    assert FAILED.revert_to is None


def test_what_is_in_place_and_nothing_held_against_it() -> None:
    """What runs is not stopped for what it runs, unless that has failed there."""
    assert Attempt(A).is_in_place(A, A)
    assert not Attempt(A).is_in_place(A, B)
    assert not FAILED.is_in_place(B, B)
    assert REVERTING.install(A).is_in_place(A, A)


def test_files_are_refused_after_the_stop() -> None:
    """A newer version waits, a retry of what is installed is possible, a revert is tried again."""
    newer = FAILED.refuse(C, B, "disk full")
    assert (newer.tried, newer.failing, newer.trouble) == (C, B, "disk full")
    assert FAILED.refuse(B_AGAIN, B, "disk full") == Attempt(B_AGAIN)
    again = REVERTING.refuse(A, B, "disk full")
    assert (again.revert_to, again.trouble) == (A, "disk full")


def test_a_recovery_ends_the_attempt_to_revert() -> None:
    """What has prevented a revert does not matter once no revert is needed any more."""
    in_trouble = replace(FAILED, trouble="disk full")
    assert in_trouble.recover() == Attempt(B, trouble="disk full")
    assert replace(REVERTING, trouble="disk full").recover() == Attempt(B)


def test_the_reason_of_a_failure_comes_first() -> None:
    """A failure is named before files that could not be written."""
    assert Attempt().reason == ""
    assert Attempt(trouble="disk full").reason == "disk full"
    assert replace(FAILED, trouble="disk full").reason == "exit status 1"


def test_another_history_makes_old() -> None:
    """What was tried in another history counts as written with what is read now."""
    lost = FAILED.of_other_history()
    assert lost.tried is not None
    assert lost.tried.zxid == UNLIMITED
    dated = lost.dated(7)
    assert dated.failing is not None
    assert (dated.failing.zxid, dated.is_retry(B_AGAIN)) == (7, True)
    assert dated.dated(8) is dated
    assert Attempt().of_other_history() == Attempt()
    untried = replace(FAILED, tried=None).of_other_history()
    assert untried.failing is not None
    assert (untried.tried, untried.failing.zxid) == (None, UNLIMITED)
