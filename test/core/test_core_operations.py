"""Check what operators do to the record, as values."""

from collections.abc import Callable

import pytest

from core.records import FAILED, admitted, entry, known_good, not_good, version
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout import operations
from zkexec.core.rollout.limits import Population
from zkexec.core.rollout.operations import Objection
from zkexec.core.rollout.record import (
    MOST_AUDIT_ENTRIES,
    AuditEntry,
    HeldAgain,
    Hold,
    Pause,
    Refusal,
    RolloutRecord,
)
from zkexec.frozen import replace

ENTRY = AuditEntry("verb", "alice@host", "because", "t1")
LATER = AuditEntry("verb", "alice@host", "because", "t2")
FREE = RolloutRecord(versions={"a": known_good(1)})
PAUSED = replace(FREE, paused=Pause("bob@host", "holidays"))
HOLD = Hold(MaxUnavailable(2), "bob@host", "more cache", known_good=("a",))
HELD = replace(FREE, hold=HOLD, population=Population(20))
BROKEN = RolloutRecord(
    in_flight={"m2": entry("b@2", phase=FAILED)},
    versions={"a": known_good(1), "b": not_good(2, "m2")},
)
Steer = Callable[[RolloutRecord, AuditEntry], RolloutRecord | Objection]


def done(found: RolloutRecord | Objection) -> RolloutRecord:
    """Return the record; the operation must not be refused."""
    assert isinstance(found, RolloutRecord)
    return found


def test_a_pause_admits_no_member_and_ends() -> None:
    """No member is admitted while an operator has paused the group, and all are afterwards."""
    paused = done(operations.pause(FREE, ENTRY))
    assert paused.paused == Pause("alice@host", "because")
    assert paused.admit("m1", entry("b@2"), "scope") is Refusal.PAUSED
    resumed = done(operations.resume(paused, LATER))
    assert admitted(resumed, "m1", "b@2").in_flight.keys() == {"m1"}
    assert [audit_entry.token for audit_entry in resumed.audit] == ["t1", "t2"]


@pytest.mark.parametrize(
    ("steer", "record", "objection"),
    [
        (operations.pause, PAUSED, Objection.PAUSED),
        (operations.resume, FREE, Objection.NOT_PAUSED),
        (operations.resume, BROKEN, Objection.NOT_PAUSED),
        (operations.retry, FREE, Objection.NOTHING_FAILED),
        (operations.retry, replace(BROKEN, paused=PAUSED.paused), Objection.PAUSED),
        (operations.restart, PAUSED, Objection.PAUSED),
    ],
)
def test_what_makes_no_sense_is_refused(
    steer: Steer, record: RolloutRecord, objection: Objection
) -> None:
    """An operator gets the reason if nothing was done."""
    assert steer(record, ENTRY) is objection


@pytest.mark.parametrize(
    ("steer", "record"),
    [(operations.retry, BROKEN), (operations.restart, FREE), (operations.restart, BROKEN)],
)
def test_a_retry_and_a_restart_add_an_audit_entry_only(steer: Steer, record: RolloutRecord) -> None:
    """The members act because another znode is written."""
    assert done(steer(record, ENTRY)) == replace(record, audit=(ENTRY,))


@pytest.mark.parametrize("record", [HELD, replace(HELD, paused=PAUSED.paused)])
def test_an_approval_ends_a_hold(record: RolloutRecord) -> None:
    """An approval without a number lets all members follow; a pause stays."""
    approved = done(operations.approve(record, ENTRY, None))
    assert approved == replace(record, hold=None, audit=(ENTRY,))


def test_a_hold_is_about_what_is_not_known_good() -> None:
    """Versions that are known good now are not held; the audit entry names the operator."""
    record = replace(BROKEN, population=Population(20))
    held = done(operations.hold(record, ENTRY, MaxUnavailable(2)))
    new = Hold(MaxUnavailable(2), "alice@host", "because", known_good=("a",))
    assert held.hold == replace(new, token=ENTRY.token)
    assert held == replace(record, hold=held.hold, audit=(ENTRY,))


def test_another_hold_approves_nothing() -> None:
    """A version that was held stays held if another push begins a hold, known good or not."""
    record = replace(HELD, versions={"a": known_good(1), "b": known_good(2)})
    held = done(operations.hold(record, ENTRY, MaxUnavailable(1)))
    assert held.hold == Hold(MaxUnavailable(1), "alice@host", "because", known_good=("a",))
    assert held.admit("m1", entry("b@2"), "scope") is not Refusal.HELD
    full = replace(held, versions={"a": known_good(1), "b": replace(known_good(2), succeeded=1)})
    assert full.admit("m1", entry("b@2"), "scope") is Refusal.HELD


def test_a_version_that_is_pushed_again_is_held_again() -> None:
    """Its successes from before do not count, nor those that the record has forgotten."""
    versions = {"a": known_good(1, succeeded=7), "b.r1": known_good(2, succeeded=5)}
    record = replace(FREE, versions=versions, population=Population(20))
    held = done(operations.hold(record, ENTRY, MaxUnavailable(2), {"b.r1": 5}))
    assert held.hold is not None
    assert (held.hold.known_good, held.hold.again) == (("a",), (HeldAgain("b", 5),))
    assert held.ended_well(version("a@1")) == 7
    assert held.ended_well(version("b@9")) == 0
    forgotten = replace(held, versions={"b": known_good(9, succeeded=2)})
    assert forgotten.is_held(version("b@9"), "m1")
    more = done(operations.hold(held, LATER, MaxUnavailable(2), {"c": 0}))
    assert more.hold is not None
    assert more.hold.again == (HeldAgain("b", 5), HeldAgain("c", 0))
    less = done(operations.hold(forgotten, LATER, MaxUnavailable(2)))
    assert less.hold is not None
    assert less.hold.again == (HeldAgain("b", 5),)
    lost = done(operations.hold(replace(held, versions={}), LATER, MaxUnavailable(2)))
    assert lost.hold is not None
    assert lost.hold.again == ()


def test_the_undo_of_a_push_ends_its_hold() -> None:
    """Only the undo of the push that has begun a hold ends it, and only if it replaced no other."""
    record = replace(BROKEN, population=Population(20))
    held = done(operations.hold(record, ENTRY, MaxUnavailable(2)))
    again = done(operations.hold(held, LATER, MaxUnavailable(2)))

    ended = operations.end_hold(held, LATER, "t1")

    assert ended == replace(record, audit=(ENTRY, LATER))
    assert operations.end_hold(held, LATER, "t2") is None
    assert again.hold is not None
    assert operations.end_hold(again, LATER, "t2") is None
    assert operations.end_hold(again, LATER, "") is None
    assert operations.end_hold(record, LATER, "t1") is None


@pytest.mark.parametrize(
    "raised",
    [
        MaxUnavailable(3),
        MaxUnavailable(10, percent=True),
        MaxUnavailable(100, percent=True),
    ],
)
def test_an_approval_raises_a_hold(raised: MaxUnavailable) -> None:
    """Of twenty living members, two or more follow; the hold keeps its author and versions."""
    approved = done(operations.approve(HELD, ENTRY, raised))
    assert approved == replace(HELD, hold=replace(HOLD, after=raised), audit=(ENTRY,))


@pytest.mark.parametrize("raised", [MaxUnavailable(1), MaxUnavailable(9, percent=True)])
def test_a_hold_is_not_lowered(raised: MaxUnavailable) -> None:
    """A hold that is smaller for the living members is refused, as a number or a percentage."""
    assert operations.approve(HELD, ENTRY, raised) is Objection.SMALLER


def test_a_percentage_is_not_lowered_while_it_is_the_same_number() -> None:
    """Of three members 30 % and 10 % are one member; of thirty they are not."""
    hold = replace(HOLD, after=MaxUnavailable(30, percent=True))
    record = replace(HELD, hold=hold, population=Population(3))
    lower = MaxUnavailable(10, percent=True)
    assert lower.of(3) == hold.after.of(3)
    assert operations.approve(record, ENTRY, lower) is Objection.SMALLER


def test_a_hold_is_not_raised_to_what_it_is() -> None:
    """The same number once more changes nothing and is refused, as it was meant to be another."""
    assert operations.approve(HELD, ENTRY, MaxUnavailable(2)) is Objection.SAME


@pytest.mark.parametrize("raised", [None, MaxUnavailable(5)])
def test_without_a_hold_nothing_is_approved(raised: MaxUnavailable | None) -> None:
    """If there is no hold, or not any more, an approval is refused."""
    assert operations.approve(FREE, ENTRY, raised) is Objection.NOT_HELD
    ended = done(operations.approve(HELD, ENTRY, None))
    assert operations.approve(ended, LATER, raised) is Objection.NOT_HELD


def test_a_failure_that_was_replaced_is_none() -> None:
    """A failed version is not retried if a newer one is in flight."""
    replaced = replace(BROKEN, versions={**BROKEN.versions, "c": not_good(3)})
    assert operations.failures(BROKEN).keys() == {"b"}
    assert operations.failures(replaced) == {}
    assert operations.retry(replaced, ENTRY) is Objection.NOTHING_FAILED


def test_a_member_is_forgotten_as_if_it_were_reclaimed() -> None:
    """Its turn is free again, and counts as lost."""
    record = admitted(FREE, "m2", "b@2")
    audit_entry = replace(ENTRY, member="m2")
    forgotten = done(operations.forget(record, audit_entry, is_alive=False, is_forced=False))
    assert forgotten == replace(record.reclaim("m2", "m2-turn"), audit=(audit_entry,))
    assert forgotten.in_flight == {}
    assert forgotten.versions["b"].lost_turns == 1


def test_a_living_member_is_forgotten_by_force_only() -> None:
    """A living member ends its turn itself; one without an entry has no turn to reclaim."""
    audit_entry = replace(ENTRY, member="m2")
    alive = operations.forget(BROKEN, audit_entry, is_alive=True, is_forced=False)
    assert alive is Objection.ALIVE
    assert (
        done(operations.forget(BROKEN, audit_entry, is_alive=True, is_forced=True)).in_flight == {}
    )
    nobody = operations.forget(FREE, audit_entry, is_alive=False, is_forced=True)
    assert nobody is Objection.NOT_IN_FLIGHT


def test_the_latest_audit_entries_are_kept() -> None:
    """The list is limited, and shows whether an operation was done."""
    record = FREE
    audit = [
        AuditEntry("restart", "alice@host", "", f"t{number}")
        for number in range(MOST_AUDIT_ENTRIES + 3)
    ]
    for audit_entry in audit:
        record = done(operations.restart(record, audit_entry))
    assert len(record.audit) == MOST_AUDIT_ENTRIES
    assert operations.is_done(record, audit[-1])
    assert not operations.is_done(record, audit[0])
