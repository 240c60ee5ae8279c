"""What follows from a fact in each phase."""

from collections.abc import Iterator

import pytest

from zkexec.core import facts
from zkexec.core.attempt import Attempt
from zkexec.core.events import ExitStatus
from zkexec.core.facts import Fact
from zkexec.core.phases import (
    BlockedPhase,
    CheckingPhase,
    CurrentPhase,
    DonePhase,
    DrainingPhase,
    ExitingPhase,
    FailedPhase,
    Interlude,
    LoadingPhase,
    Phase,
    ReloadingPhase,
    RunningPhase,
    StoppingPhase,
    VerifyingPhase,
    WaitingPhase,
)
from zkexec.core.policy import ChangeAction
from zkexec.core.snapshot import Snapshot
from zkexec.core.step import Step
from zkexec.core.transitions import TABLE
from zkexec.core.turn import Keeping

A, B, C = (Snapshot({"/f": letter}, number) for number, letter in enumerate((b"a", b"b", b"c"), 1))
FAILED = Attempt(B).fail("exit status 1", B, None, Step.HEALTH)
BESIDE = Attempt(B).refused_by_check(C, "exit status 1", A)
IN_TROUBLE = Attempt(B, trouble="disk full")

PHASES = (
    LoadingPhase(),
    RunningPhase(1),
    WaitingPhase(),
    CheckingPhase(LoadingPhase()),
    CheckingPhase(WaitingPhase()),
    CheckingPhase(VerifyingPhase(Attempt(B), 2)),
    CheckingPhase(FailedPhase(FAILED)),
    DrainingPhase(WaitingPhase()),
    DrainingPhase(VerifyingPhase(Attempt(B), 2)),
    DrainingPhase(FailedPhase(FAILED)),
    ReloadingPhase(Attempt(), ChangeAction.RELOAD, WaitingPhase(), A),
    ReloadingPhase(FAILED, ChangeAction.NONE, FailedPhase(FAILED), A),
    StoppingPhase(),
    VerifyingPhase(Attempt(B), 2),
    VerifyingPhase(IN_TROUBLE, 2),
    FailedPhase(FAILED),
    FailedPhase(BESIDE),
    BlockedPhase(Attempt(trouble="disk full")),
    ExitingPhase(Keeping.LEAVING),
    DonePhase(),
)
FACTS = (
    facts.CommandBegan(2),
    facts.CommandBegan(2, due=C),
    facts.CommandLost("exit status 1", A, None),
    facts.BecameKnownGood(2, A),
    facts.HealthDeadlineMissed("not healthy", A, None),
    facts.TurnUnfinished(2, A),
    facts.StartBlocked(),
    facts.ChangeFound(),
    facts.ChangeUndone(2, A),
    facts.ChangeUndone(0, A),
    facts.AttemptDue(),
    facts.HostTrouble("disk full", B, A),
    facts.CheckDue(),
    facts.CheckPassed(),
    facts.CheckDropped(),
    facts.CheckFailed("exit status 1", C, A),
    facts.DrainPermitted(),
    facts.DrainEnded(),
    facts.ReloadPermitted(ChangeAction.RELOAD, A),
    facts.FilesReplaced(B),
    facts.ReloadRefused("exit status 1", B, A),
    facts.FilesPutBack(),
    facts.StopPermitted(),
    facts.NewFilesInstalled(B),
    facts.OldFilesKept(A),
    facts.EndBegan(Keeping.LEAVING),
    facts.EndReached(),
)


def named(phase: CurrentPhase) -> str:
    """Name a phase, for the name of a test."""
    return phase.phase.value


def others() -> Iterator[tuple[CurrentPhase, Fact, CurrentPhase]]:
    """Every phase, every fact, and another phase that follows."""
    for phase in PHASES:
        for fact in FACTS:
            after = phase.on(fact)
            if after.phase is not phase.phase:
                yield phase, fact, after


def test_each_phase_and_each_fact_is_tried() -> None:
    """The values of these tests leave no phase and no fact out."""
    assert {type(phase) for phase in PHASES} == {
        *CurrentPhase.__subclasses__(),
        *Interlude.__subclasses__(),
    } - {Interlude}
    assert {type(fact) for fact in FACTS} == set(Fact.__subclasses__())


def test_a_fact_leads_only_where_the_table_allows_it() -> None:
    """No single fact leads to a phase that no event can lead to."""
    assert len(list(others())) > len(PHASES)
    wrong = {
        (named(before), named(after))
        for before, _, after in others()
        # Any event can lead back from a check or a drain, and its row is not the only one.
        if after.phase is not before.base.phase
        and after.phase not in {*TABLE[before.phase], *TABLE[before.base.phase]}
    }
    assert wrong == set()


@pytest.mark.parametrize("phase", PHASES[:-2], ids=named)
def test_every_phase_can_end(phase: CurrentPhase) -> None:
    """zkexec can be ended in each phase, with what it wants of its turn, and how it ends."""
    status = ExitStatus(signal=15)
    ending = phase.on(facts.EndBegan(Keeping.ENTRY, status))
    assert isinstance(ending, ExitingPhase)
    assert (ending.keeping, ending.status) == (Keeping.ENTRY, status)
    assert ending.attempt == phase.attempt
    again = ending.on(facts.EndBegan(Keeping.LEAVING))
    assert isinstance(again, ExitingPhase)
    assert (again.keeping, again.status) == (Keeping.LEAVING, status)
    assert isinstance(again.on(facts.EndReached()), DonePhase)


@pytest.mark.parametrize("phase", PHASES, ids=named)
def test_running_follows_only_if_a_command_runs(phase: CurrentPhase) -> None:
    """Each way to the phase "running" names the generation of the command that runs."""
    for fact in FACTS:
        after = phase.on(fact)
        if isinstance(after, RunningPhase) and phase.phase is not Phase.RUNNING:
            assert after.generation == getattr(fact, "generation", None) == 2


def test_a_health_check_fails_in_a_turn() -> None:
    """A missed deadline is a config failure, or only more of the trouble with the old files."""
    missed = facts.HealthDeadlineMissed("not healthy", B, A)
    failed = VerifyingPhase(Attempt(B), 2).on(missed)
    assert isinstance(failed, FailedPhase)
    assert (failed.attempt.failing, failed.attempt.reason) == (B, "not healthy")
    assert failed.attempt.revert_to == A
    blocked = VerifyingPhase(IN_TROUBLE, 2).on(facts.HealthDeadlineMissed("not healthy", A, None))
    assert blocked == BlockedPhase(Attempt(trouble="disk full; not healthy"))


def test_what_had_failed_is_healthy_after_all() -> None:
    """The trouble with newer files stays; the failure and its turn are over."""
    attempt = Attempt(C, FAILED.failure, "disk full")
    after = VerifyingPhase(attempt, 3).on(facts.BecameKnownGood(3, B))
    assert after == BlockedPhase(Attempt(trouble="disk full"), known_good=B)
    assert FailedPhase(FAILED).on(facts.BecameKnownGood(3, B)) == RunningPhase(3, B, Attempt())


def test_a_command_on_the_last_good_files_ends_no_turn() -> None:
    """Once the good files are back, only something newer ends the failure."""
    reverted = FailedPhase(FAILED)
    assert reverted.on(facts.BecameKnownGood(3, A)) is reverted
    assert not reverted.awaits_health(A)
    assert reverted.awaits_health(B)


def test_nothing_follows_most_facts() -> None:
    """A phase that nothing follows from stays the same value."""
    assert all(DonePhase() == DonePhase().on(fact) for fact in FACTS)
    stopping = StoppingPhase(FAILED)
    assert stopping.on(facts.ChangeFound()) is stopping
