"""Check what operators do to the record, as values."""

from collections.abc import Callable

import pytest

from core.records import FAILED, admitted, entry, known_good, not_good
from zkexec.core.rollout import operations
from zkexec.core.rollout.operations import Objection
from zkexec.core.rollout.record import MOST_AUDIT_ENTRIES, AuditEntry, Pause, Refusal, RolloutRecord
from zkexec.frozen import replace

ENTRY = AuditEntry("verb", "alice@host", "because", "t1")
LATER = AuditEntry("verb", "alice@host", "because", "t2")
FREE = RolloutRecord(versions={"a": known_good(1)})
PAUSED = replace(FREE, paused=Pause("bob@host", "holidays"))
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
    assert paused.admit("m1", entry("b@2"), "scope", 5, 0) is Refusal.PAUSED
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
