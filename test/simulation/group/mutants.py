"""Mistakes that taking turns could have: each breaks one rule of the protocol, on purpose.

A mutant is a name of the core that is replaced while it lives, and the word by which a checker
tells that it has noticed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zkexec.core.actions import Action, SignalProcessTree
from zkexec.core.events import Event, HealthCheckFinished, SessionConnected
from zkexec.core.health import CheckResult, HealthCheck
from zkexec.core.inputs import Inputs
from zkexec.core.phases import Phase
from zkexec.core.restart import Restart
from zkexec.core.rollout import next_request, participant, situation
from zkexec.core.rollout.group_actions import CommitRecord
from zkexec.core.rollout.lease import Lease, TurnOutcome, TurnResult
from zkexec.core.rollout.membership import Membership
from zkexec.core.rollout.participant import Participant
from zkexec.core.rollout.queue_position import QueuePosition
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.rollout.record_view import RecordView
from zkexec.core.rollout.version import ConfigVersion, contents_of, version_of
from zkexec.core.snapshot import Mirror, Snapshot, Znode
from zkexec.core.turn import StartBasis
from zkexec.core.verifying import Verification
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


original_admit = private(RolloutRecord, "admit")
original_adopt = private(RolloutRecord, "adopt")
original_fail = private(RolloutRecord, "fail")
original_handle = private(Participant, "handle")
original_advance = private(Participant, "advance")
original_disconnected = private(Inputs, "_on_disconnected")
original_explain = private(QueuePosition, "explain")
original_commit = private(next_request, "_commit")
original_merged = private(Inputs, "_merged")
original_readmit = private(RolloutRecord, "readmit")
original_is_proven = private(RolloutRecord, "is_known_good")
original_begin = private(Membership, "begin")
original_release = private(RolloutRecord, "release")
original_undo = private(Restart, "_undo")


def assume_admission(self: Anything, event: Event, now: float) -> list[Action]:
    """Take an admission without an answer for made, once the ensemble is back."""
    at, proposal = self._at, self._at.lease.proposal
    found: list[Action] = original_handle(self, event, now)
    if isinstance(event, SessionConnected) and proposal is not None and proposal.admits is not None:
        vars(at.lease).update(held=proposal.admits, _lease_from=proposal.sent_at)
        at.record_view.record = proposal.record
    return found


def forget_failure(self: Anything, member: str, token: str, *_: object) -> RolloutRecord:
    """Give the turn back, and say nothing of what went wrong."""
    entry = self.in_flight.get(member)
    if entry is None or entry.token != token:
        return self  # type: ignore[no-any-return]
    released: RolloutRecord = self.release(member, None)
    return released


def drop_entry(self: Anything, member: str, token: str) -> RolloutRecord:
    """Throw away what the incarnation before was doing."""
    entry = self.in_flight.get(member)
    if entry is None or entry.token == token or not token:
        return self  # type: ignore[no-any-return]
    released: RolloutRecord = self.release(member, None)
    return released


def release_once(self: Anything, now: float) -> list[Action]:
    """Send a proof once, and take it for told, whatever became of it."""
    at, token = self._at, self._at.lease.token
    proofs = [outcome for outcome in at.outcomes if outcome.result is TurnResult.KNOWN_GOOD]
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
        digest: replace(check_result, known_good=True)
        for digest, check_result in self.versions.items()
    }
    record = replace(self, versions=with_proof)
    found = original_admit(record, member, entry, scope, population, seq)
    if not isinstance(found, RolloutRecord):
        return found
    known = {d: replace(v, known_good=self.versions[d].known_good) if d in self.versions else v
             for d, v in found.versions.items()}  # fmt: skip
    return replace(found, versions=known)


def admit_many(
    self: Anything, member: str, entry: Any, scope: str, population: int, seq: int
) -> object:  # fmt: skip
    """Take no account of who is in flight already."""
    found = original_admit(replace(self, in_flight={}), member, entry, scope, population, seq)
    if not isinstance(found, RolloutRecord):
        return found
    return replace(found, in_flight={**self.in_flight, **found.in_flight})


def count_any_check(self: Anything, event: HealthCheckFinished, now: float) -> CheckResult | None:
    """Count a result for whatever child there is."""
    if event.generation != self._running:
        return None
    self._running = self._timeout_at = None
    if self._generation is None:
        self._generation = event.generation
    self._due = now + 1.0
    return CheckResult(event.passed, event.reason)


def kill_on_disconnect(self: Anything, topic: str, reason: str, now: float) -> list[Action]:
    """Stop the child for want of news."""
    return [*original_disconnected(self, topic, reason, now), SignalProcessTree(15)]


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


def start_on_wanted(*_: object) -> StartBasis:
    """Start on whatever is wanted."""
    return StartBasis.WANTED


def forget_verdicts(self: Anything, member: str, entry: Any, *rest: Any) -> object:
    """Keep no verdict but that of what is admitted."""
    found = original_admit(self, member, entry, *rest)
    if not isinstance(found, RolloutRecord):
        return found
    kept = {d: replace(v, failed_by=()) for d, v in found.versions.items()}
    return replace(found, versions=kept)


def never_blocking(*_: object) -> None:
    """Know of no verdict against anything."""


def take_over_lead(self: Anything, last_admitted: int) -> None:
    """Take the place of a predecessor that is gone, whoever is before it."""
    if self.unexplained:
        self.unexplained = False
        self._before.clear()
    original_explain(self, last_admitted)


def give_back_failed(
    self: Anything, record: RolloutRecord, member: str, token: str
) -> RolloutRecord:  # fmt: skip
    """Take any outcome for a success."""
    del token
    return record.release(member, self.target if self.result is not TurnResult.GIVEN_BACK else None)


def block_for_ever(self: Anything, target: ConfigVersion) -> object:
    """Hold a failure against what is tried once more as well."""
    check_result = self.versions.get(target.digest)
    return check_result if check_result is not None and check_result.failed_by else None


def ignore_revision_of_restart(
    self: Anything, known: Snapshot, znodes: Mapping[str, Znode]
) -> Snapshot:  # fmt: skip
    """Take the znode of restarts for as old as it can be."""
    path = self._policy.restart_path
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


def nameless(snapshot: Snapshot, mirrors: Sequence[Mirror]) -> ConfigVersion:
    """Leave the name of the restart out of what the group knows."""
    return version_of(replace(snapshot, restart=""), mirrors)


def prove_by_contents(self: Anything, target: ConfigVersion) -> bool:
    """Take a restart for proven, because its contents are."""
    known = [
        digest for digest in self.versions if contents_of(digest) == contents_of(target.digest)
    ]
    return any(original_is_proven(self, replace(target, digest=digest)) for digest in known)


def know_newer_restarts(self: Anything, target: ConfigVersion) -> bool:
    """Take a restart of the same contents for newer ones."""
    known = [v for v in self.versions.values() if v.scope == target.scope]
    return any(check_result.zxid > target.zxid for check_result in known)


def readmit_while_paused(self: Anything, member: str, entry: Any, scope: str) -> object:
    """Heed a pause at the queue only."""
    found = original_readmit(replace(self, paused=None), member, entry, scope)
    return replace(found, paused=self.paused) if isinstance(found, RolloutRecord) else found


def admit_while_paused(
    self: Anything, member: str, entry: Any, scope: str, population: int, seq: int
) -> object:  # fmt: skip
    """Heed a pause in the turn only."""
    record = replace(self, paused=None)
    found = original_admit(record, member, entry, scope, population, seq)
    return replace(found, paused=self.paused) if isinstance(found, RolloutRecord) else found


def release_anew(self: Anything, member: str, known_good: ConfigVersion | None) -> RolloutRecord:
    """End a pause with the turn during which it was begun."""
    found: RolloutRecord = original_release(self, member, known_good)
    return found if found is self else replace(found, paused=None)


def rest_without_child(self: Anything, wanted: Snapshot, now: float) -> list[Action]:
    """Go on with what is in place, and not look whether anything runs on it."""
    if self._command.present or self._phase.is_in(Phase.VERIFYING):
        found: list[Action] = original_undo(self, wanted, now)
        return found
    self._debounce.end()
    self._turn.withdraw()
    self._attempt.start_over(wanted)
    self._phase.phase = Phase.RUNNING
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
    Mutant("the old command ends zkexec in its turn", Verification, "survives_exit",
           property(lambda self: self._is_awaited), "OutlivesTheCommand"),
    Mutant("the lease is not looked at", Lease, "may_stop", lambda self, *_: bool(self.held),
           "KillsWithinTheLease"),
    Mutant("a lost reply is taken for an admission", Participant, "handle", assume_admission,
           "KillsWithinTheLease"),
    Mutant("a failure is forgotten", RolloutRecord, "fail", forget_failure, "ProvesTheHealthy"),
    Mutant("a failed snapshot counts as proven", TurnOutcome, "entered", give_back_failed,
           "ProvesTheHealthy"),
    Mutant("a restarted member drops its entry", RolloutRecord, "adopt", drop_entry,
           "ProvesTheHealthy"),
    Mutant("a release is not repeated", Participant, "advance", release_once, PROGRESS),
    Mutant("several try what nobody has proven", RolloutRecord, "admit", admit_as_proven,
           "KeepsTheWidth"),
    Mutant("the width is not looked at", RolloutRecord, "admit", admit_many, "KeepsTheWidth"),
    Mutant("a check of an earlier child counts", HealthCheck, "finished", count_any_check,
           "ProvesTheHealthy"),
    Mutant("the child is stopped on SUSPENDED", Inputs, "_on_disconnected", kill_on_disconnect,
           "StandsStill"),
    Mutant("a member is reaped at once", RecordView, "overdue", reap_at_once, "KeepsEntries"),
    Mutant("the configuration is not checked", next_request, "_commit", commit_unchecked,
           "AdmitsTheCurrent"),
    Mutant("no watch is armed again", Inputs, "_rearm_later", lose_nothing, PROGRESS),
    Mutant("a queue node is left behind", QueuePosition, "lost", lose_nothing, PROGRESS),
    Mutant("a duplicate keeps its node", Membership, "begin", remember_no_duplicate,
           "MarksDuplicates"),
    Mutant("a verdict is not heeded", RolloutRecord, "blocking", never_blocking, "HeedsVerdicts"),
    Mutant("an admission wipes the verdicts", RolloutRecord, "admit", forget_verdicts,
           "HeedsVerdicts"),
    Mutant("who is behind a gap goes first", QueuePosition, "explain", take_over_lead,
           "KeepsTheQueue"),
    Mutant("a first start takes any risk", participant, "basis_of", start_on_wanted,
           "StartsOnTheProven"),
    Mutant("a retry is not heeded", RolloutRecord, "blocking", block_for_ever, PROGRESS),
    Mutant("a retry is nothing new", Inputs, "_merged", ignore_revision_of_restart,
           "AdmitsTheCurrent"),
    Mutant("a restart is nothing new", Inputs, "_merged", miss_restarts, PROGRESS),
    Mutant("a znode of restarts that is gone counts", Inputs, "_merged", take_missing_for_news,
           "KillsForChange"),
    Mutant("the group does not know of restarts", situation, "version_of", nameless,
           "TriesRestartsAlone"),
    Mutant("a restart is as proven as its contents", RolloutRecord, "is_known_good",
           prove_by_contents, "KeepsTheWidth"),
    Mutant("a restart that is gone is waited for", RolloutRecord, "knows_newer",
           know_newer_restarts, PROGRESS),
    Mutant("a pause lets the failed go on", RolloutRecord, "readmit", readmit_while_paused,
           "HeedsThePause"),
    Mutant("what is gone is put in place", Inputs, "is_gone", lambda *_: False,
           "RollsOutThePresent"),
    Mutant("a copied record is believed", RolloutRecord, "believed", as_it_was, PROGRESS),
    Mutant("a new session trusts the old record", situation.Situation, "begin_session",
           read_no_record, PROGRESS),
    Mutant("a pause lets the next in", RolloutRecord, "admit", admit_while_paused, "HeedsThePause"),
    Mutant("a release ends a pause", RolloutRecord, "release", release_anew, "FollowsOperators"),
)  # fmt: skip
