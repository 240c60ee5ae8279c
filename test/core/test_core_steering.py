"""What operators do to the record, as values."""

from collections.abc import Callable

import pytest

from core.records import FAILED, admitted, entry, proven, unproven
from zkexec.core.rollout import operations
from zkexec.core.rollout.audit import MOST_DEEDS, Deed
from zkexec.core.rollout.operations import Objection
from zkexec.core.rollout.record import Pause, Refusal, Rollout
from zkexec.frozen import replace

DEED = Deed("verb", "alice@host", "because", "t1")
LATER = Deed("verb", "alice@host", "because", "t2")
FREE = Rollout(verdicts={"a": proven(1)})
PAUSED = replace(FREE, paused=Pause("bob@host", "holidays"))
BROKEN = Rollout(
    inflight={"m2": entry("b@2", phase=FAILED)},
    verdicts={"a": proven(1), "b": unproven(2, "m2")},
)
Steer = Callable[[Rollout, Deed], Rollout | Objection]


def done(found: Rollout | Objection) -> Rollout:
    """The record, which there has to be."""
    assert isinstance(found, Rollout)
    return found


def test_a_pause_lets_nobody_in_and_ends() -> None:
    """Nobody is admitted while an operator has paused the group, and all are afterwards."""
    paused = done(operations.pause(FREE, DEED))
    assert paused.paused == Pause("alice@host", "because")
    assert paused.admit("m1", entry("b@2"), "scope", 5, 0) is Refusal.PAUSED
    resumed = done(operations.resume(paused, LATER))
    assert admitted(resumed, "m1", "b@2").inflight.keys() == {"m1"}
    assert [deed.token for deed in resumed.deeds] == ["t1", "t2"]


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
    steer: Steer, record: Rollout, objection: Objection
) -> None:
    """An operator hears why nothing was done."""
    assert steer(record, DEED) is objection


@pytest.mark.parametrize(
    ("steer", "record"),
    [(operations.retry, BROKEN), (operations.restart, FREE), (operations.restart, BROKEN)],
)
def test_a_retry_and_a_restart_only_leave_a_note(steer: Steer, record: Rollout) -> None:
    """What makes the members act is another znode."""
    assert done(steer(record, DEED)) == replace(record, deeds=(DEED,))


def test_a_failure_that_was_replaced_is_none() -> None:
    """What failed is not tried once more where something newer is under way."""
    replaced = replace(BROKEN, verdicts={**BROKEN.verdicts, "c": unproven(3)})
    assert operations.failures(BROKEN).keys() == {"b"}
    assert operations.failures(replaced) == {}
    assert operations.retry(replaced, DEED) is Objection.NOTHING_FAILED


def test_a_member_is_forgotten_as_if_it_were_reaped() -> None:
    """Its turn is free again, and its loss counts."""
    record = admitted(FREE, "m2", "b@2")
    deed = replace(DEED, subject="m2")
    forgotten = done(operations.forget(record, deed, is_alive=False, is_forced=False))
    assert forgotten == replace(record.reap("m2", "m2-turn"), deeds=(deed,))
    assert forgotten.inflight == {}
    assert forgotten.verdicts["b"].lost == 1


def test_who_is_alive_is_forgotten_by_force_only() -> None:
    """A member that is there ends its entry itself; one without an entry has nothing to forget."""
    deed = replace(DEED, subject="m2")
    alive = operations.forget(BROKEN, deed, is_alive=True, is_forced=False)
    assert alive is Objection.ALIVE
    assert done(operations.forget(BROKEN, deed, is_alive=True, is_forced=True)).inflight == {}
    nobody = operations.forget(FREE, deed, is_alive=False, is_forced=True)
    assert nobody is Objection.NOT_IN_FLIGHT


def test_the_latest_deeds_are_kept() -> None:
    """The list does not grow without end, and tells whether a deed was done."""
    record = FREE
    deeds = [Deed("restart", "alice@host", "", f"t{number}") for number in range(MOST_DEEDS + 3)]
    for deed in deeds:
        record = done(operations.restart(record, deed))
    assert len(record.deeds) == MOST_DEEDS
    assert operations.is_done(record, deeds[-1])
    assert not operations.is_done(record, deeds[0])
