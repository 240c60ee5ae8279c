"""Mistakes that taking turns could have: each breaks one rule of the protocol, on purpose.

A mutant is a name of the core that is replaced while it lives, and the word by which a checker
tells that it has noticed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zkexec.core.actions import Action, CommitRecord, SignalTree
from zkexec.core.events import CheckFinished, Event, SessionConnected
from zkexec.core.health import HealthGate, Verdict
from zkexec.core.inputs import Source
from zkexec.core.phases import Phase
from zkexec.core.restart import Restart
from zkexec.core.rollout import next_request, participant, situation
from zkexec.core.rollout.first_start import Basis
from zkexec.core.rollout.lease import Tenure
from zkexec.core.rollout.membership import Membership
from zkexec.core.rollout.participant import LockedTurn
from zkexec.core.rollout.queue_position import Line
from zkexec.core.rollout.record import Rollout
from zkexec.core.rollout.record_view import Ledger
from zkexec.core.rollout.turn_outcome import Outcome, Result
from zkexec.core.rollout.version import Target, contents_of, target_of
from zkexec.core.snapshot import Mirror, Snapshot, Znode
from zkexec.core.verifying import Proving
from zkexec.frozen import replace

# What the replacements reach into is the private state of the core, which has no types here.
Anything = Any


@dataclass(frozen=True)
class Mutant:
    """One mistake: who is changed, what is put in its place, and who has to notice."""

    mistake: str
    owner: object
    name: str
    replacement: object
    noticed_as: str


def private(owner: object, name: str) -> Callable[..., Any]:
    """The core's own way, for a mutant that differs from it in some cases only."""
    function: Callable[..., Any] = getattr(owner, name)
    return function


original_admit = private(Rollout, "admit")
original_adopt = private(Rollout, "adopt")
original_fail = private(Rollout, "fail")
original_handle = private(LockedTurn, "handle")
original_advance = private(LockedTurn, "advance")
original_disconnected = private(Source, "_on_disconnected")
original_explain = private(Line, "explain")
original_commit = private(next_request, "_commit")
original_merged = private(Source, "_merged")
original_readmit = private(Rollout, "readmit")
original_is_proven = private(Rollout, "is_proven")
original_begin = private(Membership, "begin")
original_release = private(Rollout, "release")
original_undo = private(Restart, "_undo")


def assume_admission(self: Anything, event: Event, now: float) -> list[Action]:
    """Take an admission without an answer for made, once the ensemble is back."""
    at, proposal = self._at, self._at.tenure.proposal
    found: list[Action] = original_handle(self, event, now)
    if isinstance(event, SessionConnected) and proposal is not None and proposal.admits is not None:
        vars(at.tenure).update(held=proposal.admits, _lease_from=proposal.sent_at)
        at.ledger.record = proposal.record
    return found


def forget_failure(self: Anything, member: str, token: str, *_: object) -> Rollout:
    """Give the turn back, and say nothing of what went wrong."""
    entry = self.inflight.get(member)
    if entry is None or entry.token != token:
        return self  # type: ignore[no-any-return]
    released: Rollout = self.release(member, None)
    return released


def drop_entry(self: Anything, member: str, token: str) -> Rollout:
    """Throw away what the incarnation before was doing."""
    entry = self.inflight.get(member)
    if entry is None or entry.token == token or not token:
        return self  # type: ignore[no-any-return]
    released: Rollout = self.release(member, None)
    return released


def release_once(self: Anything, now: float) -> list[Action]:
    """Send a proof once, and take it for told, whatever became of it."""
    at, token = self._at, self._at.tenure.token
    proofs = [outcome for outcome in at.outcomes if outcome.result is Result.PROVEN]
    if token == getattr(self, "told", ""):
        at.outcomes[:] = [outcome for outcome in at.outcomes if outcome not in proofs]
        proofs = []
    found: list[Action] = original_advance(self, now)
    if proofs and any(isinstance(action, CommitRecord) for action in found):
        self.told = token
    return found


def admit_as_proven(
    self: Anything, member: str, entry: Any, scope: str, population: int, seq: int
) -> object:  # fmt: skip
    """Let as many try what nobody has proven as may be down."""
    with_proof = {
        digest: replace(verdict, proven=True) for digest, verdict in self.verdicts.items()
    }
    record = replace(self, verdicts=with_proof)
    found = original_admit(record, member, entry, scope, population, seq)
    if not isinstance(found, Rollout):
        return found
    known = {d: replace(v, proven=self.verdicts[d].proven) if d in self.verdicts else v
             for d, v in found.verdicts.items()}  # fmt: skip
    return replace(found, verdicts=known)


def admit_many(
    self: Anything, member: str, entry: Any, scope: str, population: int, seq: int
) -> object:  # fmt: skip
    """Take no account of who is in flight already."""
    found = original_admit(replace(self, inflight={}), member, entry, scope, population, seq)
    if not isinstance(found, Rollout):
        return found
    return replace(found, inflight={**self.inflight, **found.inflight})


def count_any_check(self: Anything, event: CheckFinished, now: float) -> Verdict | None:
    """Count a result for whatever child there is."""
    if event.generation != self._running:
        return None
    self._running = self._timeout_at = None
    if self._generation is None:
        self._generation = event.generation
    self._due = now + 1.0
    return Verdict(event.passed, event.reason)


def kill_on_disconnect(self: Anything, topic: str, reason: str, now: float) -> list[Action]:
    """Stop the child for want of news."""
    return [*original_disconnected(self, topic, reason, now), SignalTree(15)]


def reap_at_once(self: Anything) -> tuple[str, str] | None:
    """Give nobody time to come back."""
    found: tuple[str, str] | None = next(iter(self._missing_since), None)
    return found


def commit_unchecked(
    at: Anything, proposal: Any, now: float, place: str = ""
) -> Sequence[Action]:  # fmt: skip
    """Trust in what was read of the configuration."""
    found: Sequence[Action] = original_commit(at, proposal, now, place)
    return [replace(a, checks={}) if isinstance(a, CommitRecord) else a for a in found]


def remember_no_duplicate(self: Anything) -> bool:
    """Forget that there may be a node under another name."""
    original_begin(self)
    return False


def lose_nothing(*_: object) -> None:
    """Forget that a queue node may be there."""


def start_on_wanted(*_: object) -> Basis:
    """Start on whatever is wanted."""
    return Basis.WANTED


def forget_verdicts(self: Anything, member: str, entry: Any, *rest: Any) -> object:
    """Keep no verdict but that of what is admitted."""
    found = original_admit(self, member, entry, *rest)
    if not isinstance(found, Rollout):
        return found
    kept = {d: replace(v, failed_by=()) for d, v in found.verdicts.items()}
    return replace(found, verdicts=kept)


def never_blocking(*_: object) -> None:
    """Know of no verdict against anything."""


def take_over_lead(self: Anything, served: int) -> None:
    """Take the place of a predecessor that is gone, whoever is before it."""
    if self.unexplained:
        self.unexplained = False
        self._before.clear()
    original_explain(self, served)


def give_back_failed(
    self: Anything, record: Rollout, member: str, token: str
) -> Rollout:  # fmt: skip
    """Take any outcome for a success."""
    del token
    return record.release(member, self.target if self.result is not Result.GIVEN_BACK else None)


def block_for_ever(self: Anything, target: Target) -> object:
    """Hold a failure against what is tried once more as well."""
    verdict = self.verdicts.get(target.digest)
    return verdict if verdict is not None and verdict.failed_by else None


def ignore_revision_of_restart(
    self: Anything, known: Snapshot, znodes: Mapping[str, Znode]
) -> Snapshot:  # fmt: skip
    """Take the znode of restarts for as old as it can be."""
    path = self._terms.restart_path
    old = replace(znodes[path], mzxid=0)
    found: Snapshot = original_merged(self, known, {**znodes, path: old})
    return found


def take_missing_for_news(
    self: Anything, known: Snapshot, znodes: Mapping[str, Znode]
) -> Snapshot:  # fmt: skip
    """Take a znode of restarts that went missing, or was emptied, for another restart."""
    found: Snapshot = original_merged(self, replace(known, restart=""), znodes)
    return found


def miss_restarts(self: Anything, known: Snapshot, znodes: Mapping[str, Znode]) -> Snapshot:
    """Leave the name of the restart out of what is compared."""
    found: Snapshot = original_merged(self, known, znodes)
    return replace(found, restart="")


def nameless(snapshot: Snapshot, mirrors: Sequence[Mirror]) -> Target:
    """Leave the name of the restart out of what the group knows."""
    return target_of(replace(snapshot, restart=""), mirrors)


def prove_by_contents(self: Anything, target: Target) -> bool:
    """Take a restart for proven, because its contents are."""
    known = [
        digest for digest in self.verdicts if contents_of(digest) == contents_of(target.digest)
    ]
    return any(original_is_proven(self, replace(target, digest=digest)) for digest in known)


def know_newer_restarts(self: Anything, target: Target) -> bool:
    """Take a restart of the same contents for newer ones."""
    known = [v for v in self.verdicts.values() if v.scope == target.scope]
    return any(verdict.revision > target.revision for verdict in known)


def readmit_while_paused(self: Anything, member: str, entry: Any, scope: str) -> object:
    """Heed a pause at the queue only."""
    found = original_readmit(replace(self, paused=None), member, entry, scope)
    return replace(found, paused=self.paused) if isinstance(found, Rollout) else found


def admit_while_paused(
    self: Anything, member: str, entry: Any, scope: str, population: int, seq: int
) -> object:  # fmt: skip
    """Heed a pause in the turn only."""
    record = replace(self, paused=None)
    found = original_admit(record, member, entry, scope, population, seq)
    return replace(found, paused=self.paused) if isinstance(found, Rollout) else found


def release_anew(self: Anything, member: str, proven: Target | None) -> Rollout:
    """End a pause with the turn during which it was begun."""
    found: Rollout = original_release(self, member, proven)
    return found if found is self else replace(found, paused=None)


def rest_without_child(self: Anything, wanted: Snapshot, now: float) -> list[Action]:
    """Go on with what is in place, and not look whether anything runs on it."""
    if self._child.present or self._course.is_in(Phase.PROVING):
        found: list[Action] = original_undo(self, wanted, now)
        return found
    self._settling.end()
    self._turn.withdraw()
    self._attempt.begin_anew(wanted)
    self._course.phase = Phase.RUNNING
    return []


def read_no_record(self: Anything) -> None:
    """Take the record of a new session for the one that is known."""
    self.surveyed = False


def as_it_was(self: Anything, *_: object) -> object:
    """Take what belongs to another history for what belongs to this one."""
    return self


PROGRESS = "no progress"

MUTANTS = (
    Mutant("what is undone needs no command", Restart, "_undo", rest_without_child,
           "RunningHasACommand"),
    Mutant("an undo is looked for among the news", Restart, "_is_undone", lambda *_: False,
           "KillsForChange"),
    Mutant("the old command ends zkexec in its turn", Proving, "survives_exit",
           property(lambda self: self._is_watched), "OutlivesTheCommand"),
    Mutant("the lease is not looked at", Tenure, "may_stop", lambda self, *_: bool(self.held),
           "KillsWithinTheLease"),
    Mutant("a lost reply is taken for an admission", LockedTurn, "handle", assume_admission,
           "KillsWithinTheLease"),
    Mutant("a failure is forgotten", Rollout, "fail", forget_failure, "ProvesTheHealthy"),
    Mutant("a failed snapshot counts as proven", Outcome, "entered", give_back_failed,
           "ProvesTheHealthy"),
    Mutant("a restarted member drops its entry", Rollout, "adopt", drop_entry,
           "ProvesTheHealthy"),
    Mutant("a release is not repeated", LockedTurn, "advance", release_once, PROGRESS),
    Mutant("several try what nobody has proven", Rollout, "admit", admit_as_proven,
           "KeepsTheWidth"),
    Mutant("the width is not looked at", Rollout, "admit", admit_many, "KeepsTheWidth"),
    Mutant("a check of an earlier child counts", HealthGate, "finished", count_any_check,
           "ProvesTheHealthy"),
    Mutant("the child is stopped on SUSPENDED", Source, "_on_disconnected", kill_on_disconnect,
           "StandsStill"),
    Mutant("a member is reaped at once", Ledger, "overdue", reap_at_once, "KeepsEntries"),
    Mutant("the configuration is not checked", next_request, "_commit", commit_unchecked,
           "AdmitsTheCurrent"),
    Mutant("no watch is armed again", Source, "_rearm_later", lose_nothing, PROGRESS),
    Mutant("a queue node is left behind", Line, "lost", lose_nothing, PROGRESS),
    Mutant("a duplicate keeps its node", Membership, "begin", remember_no_duplicate,
           "MarksDuplicates"),
    Mutant("a verdict is not heeded", Rollout, "blocking", never_blocking, "HeedsVerdicts"),
    Mutant("an admission wipes the verdicts", Rollout, "admit", forget_verdicts, "HeedsVerdicts"),
    Mutant("who is behind a gap goes first", Line, "explain", take_over_lead, "KeepsTheQueue"),
    Mutant("a first start takes any risk", participant, "basis_of", start_on_wanted,
           "StartsOnTheProven"),
    Mutant("a retry is not heeded", Rollout, "blocking", block_for_ever, PROGRESS),
    Mutant("a retry is nothing new", Source, "_merged", ignore_revision_of_restart,
           "AdmitsTheCurrent"),
    Mutant("a restart is nothing new", Source, "_merged", miss_restarts, PROGRESS),
    Mutant("a znode of restarts that is gone counts", Source, "_merged", take_missing_for_news,
           "KillsForChange"),
    Mutant("the group does not know of restarts", situation, "target_of", nameless,
           "TriesRestartsAlone"),
    Mutant("a restart is as proven as its contents", Rollout, "is_proven", prove_by_contents,
           "KeepsTheWidth"),
    Mutant("a restart that is gone is waited for", Rollout, "knows_newer", know_newer_restarts,
           PROGRESS),
    Mutant("a pause lets the failed go on", Rollout, "readmit", readmit_while_paused,
           "HeedsThePause"),
    Mutant("what is gone is put in place", Source, "is_gone", lambda *_: False,
           "RollsOutThePresent"),
    Mutant("a copied record is believed", Rollout, "believed", as_it_was, PROGRESS),
    Mutant("a new session trusts the old record", situation.Standing, "begin_session",
           read_no_record, PROGRESS),
    Mutant("a pause lets the next in", Rollout, "admit", admit_while_paused, "HeedsThePause"),
    Mutant("a release ends a pause", Rollout, "release", release_anew, "FollowsOperators"),
)  # fmt: skip
