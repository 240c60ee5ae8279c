"""Mistakes that taking turns could have: each breaks one rule of the protocol, on purpose.

A mutant is a name of the core that is replaced for a run, and the checker that has to notice it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from zkexec.core import facts
from zkexec.core.actions import Action, SignalProcessTree
from zkexec.core.attempt import Attempt
from zkexec.core.events import Event, HealthCheckFinished, SessionConnected, ZnodesRead
from zkexec.core.facts import Fact, Found
from zkexec.core.health import CheckResult, HealthCheck
from zkexec.core.input_options import InputOptions
from zkexec.core.inputs import Inputs
from zkexec.core.member import Member
from zkexec.core.phases import CurrentPhase, Phase, RunningPhase
from zkexec.core.production import Production
from zkexec.core.restart import Debounce, Restart
from zkexec.core.rollout import leading, participant, situation
from zkexec.core.rollout.group_actions import CommitRecord
from zkexec.core.rollout.lease import Lease, TurnOutcome, TurnResult
from zkexec.core.rollout.membership import Membership
from zkexec.core.rollout.participant import Participant
from zkexec.core.rollout.queue_position import Doubt, QueuePosition
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.rollout.record_view import RecordView
from zkexec.core.rollout.version import ConfigVersion, contents_of, version_of
from zkexec.core.snapshot import Snapshot
from zkexec.core.turn import StartBasis
from zkexec.frozen import replace

# What the replacements reach into is the private state of the core, which has no types here.
Anything = Any


@dataclass(frozen=True)
class Mutant:
    """One mistake: what is replaced, by what, and which checker has to notice it.

    `seed` is where the search for a world that shows it begins.  One that is in `RARE` takes
    minutes to be found.
    """

    mistake: str
    owner: object
    name: str
    replacement: object
    noticed_as: str
    seed: int = 0


RARE = frozenset({
    "a deleted restart is waited for",
    "a deleted znode of restarts counts",
    "a drain at the end swallows TERM",
    "a drain renews the lease",
    "a drained command is forgotten",
    "a failure is tolerated too early",
    "a failure meanwhile is not noticed",
    "a hold is ignored",
    "a new session trusts the old record",
    "a retry is blocked",
    "a retry makes places in a hold",
    "a turn is reclaimed at once",
    "a watch in the turn does not matter",
    "an acting head is replaced at once",
    "an undo is found among changes only",
    "content without a znode is installed",
    "ephemeral znodes count as files",
    "the old command ends zkexec in its turn",
})  # fmt: skip
"""Mistakes that show in few worlds: `ZKEXEC_RARE_MUTANTS=1` searches for these as well."""


def private(owner: object, name: str) -> Callable[..., Any]:
    """Return the core's own function, for a mutant that differs from it in some cases only."""
    function: Callable[..., Any] = getattr(owner, name)
    return function


original_admit = private(RolloutRecord, "admit")
original_adopt = private(RolloutRecord, "adopt")
original_fail = private(RolloutRecord, "fail")
original_handle = private(Participant, "handle")
original_advance = private(Participant, "advance")
original_disconnected = private(Inputs, "_on_disconnected")
original_explain = private(QueuePosition, "explain")
original_commit = private(leading, "commit")
original_merged = private(Inputs, "_merged")
original_readmit = private(RolloutRecord, "readmit")
original_is_known_good = private(RolloutRecord, "is_known_good")
original_begin = private(Membership, "begin")
original_release = private(RolloutRecord, "release")
original_undo = private(Restart, "_undo")
original_on = RunningPhase.on


def assume_admission(self: Anything, event: Event, now: float) -> list[Action]:
    """Assume after a reconnect that an admission without an answer was written."""
    at, proposal = self._at, self._at.lease.proposal
    found: list[Action] = original_handle(self, event, now)
    if isinstance(event, SessionConnected) and proposal is not None and proposal.admits is not None:
        vars(at.lease).update(admitted=proposal.admits, _lease_from=proposal.sent_at)
        at.record_view.record = proposal.after
    return found


def forget_failure(self: Anything, member: str, token: str, *_: object) -> RolloutRecord:
    """Release the turn, and record no failure."""
    entry = self.in_flight.get(member)
    if entry is None or entry.token != token:
        return self  # type: ignore[no-any-return]
    released: RolloutRecord = self.release(member, None)
    return released


def drop_entry(self: Anything, member: str, token: str) -> RolloutRecord:
    """Remove the entry of an earlier run."""
    entry = self.in_flight.get(member)
    if entry is None or entry.token == token or not token:
        return self  # type: ignore[no-any-return]
    released: RolloutRecord = self.release(member, None)
    return released


def release_once(self: Anything, now: float) -> list[Action]:
    """Send a success once, and assume that it was recorded."""
    at, token = self._at, self._at.lease.token
    proofs = [outcome for outcome in at.outcomes if outcome.result is TurnResult.KNOWN_GOOD]
    if token == getattr(self, "told", ""):
        at.outcomes[:] = [outcome for outcome in at.outcomes if outcome not in proofs]
        proofs = []
    found: list[Action] = original_advance(self, now)
    if proofs and any(isinstance(action, CommitRecord) for action in found):
        self.told = token
    return found


def admit_as_known_good(
    self: Anything, member: str, entry: Any, scope: str, seq: int = -1
) -> object:  # fmt: skip
    """Let as many members try an untried version as may be unavailable."""
    all_good = {
        digest: replace(v, known_good=True, succeeded=v.succeeded + 99)
        for digest, v in self.versions.items()
    }
    found = original_admit(replace(self, versions=all_good), member, entry, scope, seq)
    if not isinstance(found, RolloutRecord):
        return found
    known = {
        digest: replace(
            v,
            known_good=self.versions[digest].known_good,
            succeeded=self.versions[digest].succeeded,
        )
        if digest in self.versions
        else v
        for digest, v in found.versions.items()
    }
    return replace(found, versions=known)


def admit_many(self: Anything, member: str, entry: Any, scope: str, seq: int = -1) -> object:
    """Do not count the members in flight."""
    alone = replace(self, in_flight={}, in_flight_count=0)
    found = original_admit(alone, member, entry, scope, seq)
    if not isinstance(found, RolloutRecord):
        return found
    in_flight = {**self.in_flight, **found.in_flight}
    return replace(found, in_flight=in_flight, in_flight_count=self.in_flight_count + 1)


def count_any_check(self: Anything, event: HealthCheckFinished, now: float) -> CheckResult | None:
    """Count a result for any command."""
    if event.generation != self._running:
        return None
    self._running = self._timeout_at = None
    if self._generation is None:
        self._generation = event.generation
    self._due = now + 1.0
    return CheckResult(event.passed, event.reason)


def kill_on_disconnect(self: Anything, topic: str, reason: str, now: float) -> list[Action]:
    """Stop the command without a connection."""
    return [*original_disconnected(self, topic, reason, now), SignalProcessTree(15)]


def reclaim_at_once(self: Anything) -> list[tuple[str, str]]:
    """Wait for no grace period."""
    return list(self._missing_since)


def commit_unchecked(*args: Any, **options: Any) -> Sequence[Action]:
    """Trust what was read of the configuration."""
    found: Sequence[Action] = original_commit(*args, **options)
    return [replace(a, checks={}) if isinstance(a, CommitRecord) else a for a in found]


def remember_no_duplicate(self: Anything) -> bool:
    """Forget that there may be a node of another name."""
    original_begin(self)
    return False


def lose_nothing(*_: object) -> None:
    """Do nothing about a queue node that may exist."""


def start_on_wanted(*_: object, **__: object) -> StartBasis:
    """Start on any wanted version."""
    return StartBasis.WANTED


def forget_failures(self: Anything, member: str, entry: Any, *rest: Any) -> object:
    """Keep no failure but that of the admitted version."""
    found = original_admit(self, member, entry, *rest)
    if not isinstance(found, RolloutRecord):
        return found
    kept = {d: replace(v, failed_by=()) for d, v in found.versions.items()}
    return replace(found, versions=kept)


def find_no_failure(*_: object) -> None:
    """Find no failure of any version."""


def take_over_lead(self: Anything, record: RolloutRecord) -> None:
    """Take the position of a predecessor that is gone, whichever node is before it."""
    if self._doubt is Doubt.PREDECESSOR:
        self._doubt, self._before = Doubt.NOTHING, None
    original_explain(self, record)


def release_failed(
    self: Anything, record: RolloutRecord, member: str, token: str
) -> RolloutRecord:  # fmt: skip
    """Take any outcome for a success."""
    del token
    return record.release(member, self.version if self.result is not TurnResult.RELEASED else None)


def block_for_ever(self: Anything, version: ConfigVersion) -> object:
    """Block a retry as well."""
    state = self.versions.get(version.digest)
    return state if state is not None and state.failed_by else None


def ignore_revision_of_restart(
    self: Anything, known: Snapshot, event: ZnodesRead, production: Production
) -> Snapshot:  # fmt: skip
    """Count the znode of restarts as old as it can be."""
    path = self._policy.restart_path
    old = replace(event.znodes[path], mzxid=0)
    older = replace(event, znodes={**event.znodes, path: old})
    found: Snapshot = original_merged(self, known, older, production)
    return found


def count_missing_as_change(
    self: Anything, known: Snapshot, event: ZnodesRead, production: Production
) -> Snapshot:  # fmt: skip
    """Count a deleted or emptied znode of restarts as another restart."""
    found: Snapshot = original_merged(self, replace(known, restart=""), event, production)
    return found


def miss_restarts(
    self: Anything, known: Snapshot, event: ZnodesRead, production: Production
) -> Snapshot:
    """Leave the name of the restart out of the comparison."""
    found: Snapshot = original_merged(self, known, event, production)
    return replace(found, restart="")


def nameless(snapshot: Snapshot, inputs: InputOptions) -> ConfigVersion:
    """Leave the name of the restart out of the version."""
    return version_of(replace(snapshot, restart=""), inputs)


def know_good_by_contents(self: Anything, version: ConfigVersion) -> bool:
    """Count a restart as known good because its contents are."""
    known = [
        digest for digest in self.versions if contents_of(digest) == contents_of(version.digest)
    ]
    return any(original_is_known_good(self, replace(version, digest=digest)) for digest in known)


def know_newer_restarts(self: Anything, version: ConfigVersion) -> bool:
    """Count a restart of the same contents as newer."""
    known = [v for v in self.versions.values() if v.scope == version.scope]
    return any(state.zxid > version.zxid for state in known)


def readmit_while_paused(self: Anything, member: str, entry: Any, scope: str) -> object:
    """Apply a pause in the queue only."""
    found = original_readmit(replace(self, paused=None), member, entry, scope)
    return replace(found, paused=self.paused) if isinstance(found, RolloutRecord) else found


def admit_while_paused(
    self: Anything, member: str, entry: Any, scope: str, seq: int = -1
) -> object:  # fmt: skip
    """Apply a pause in the turn only."""
    record = replace(self, paused=None)
    found = original_admit(record, member, entry, scope, seq)
    return replace(found, paused=self.paused) if isinstance(found, RolloutRecord) else found


def release_anew(self: Anything, member: str, known_good: ConfigVersion | None) -> RolloutRecord:
    """End a pause with the next release."""
    found: RolloutRecord = original_release(self, member, known_good)
    return found if found is self else replace(found, paused=None)


def rest_without_command(self: Anything, phase: CurrentPhase, is_unverified: bool) -> Found:
    """Keep the files, and do not check whether a command runs on them."""
    if self._command.present or phase.phase is Phase.VERIFYING:
        found: Found = original_undo(self, phase, is_unverified)
        return found
    self._seen = self.wanted
    self._debounce.end()
    self.requested = None
    return [facts.ChangeUndone(self._command.generation, self.wanted)]


def run_on(self: RunningPhase, fact: Fact) -> CurrentPhase:
    """Go on running whatever ends."""
    return self if isinstance(fact, facts.EndBegan) else original_on(self, fact)


def read_no_record(self: Anything) -> None:
    """Trust the known record in a new session."""
    self.is_history_checked = False


def as_it_was(self: Anything, *_: object) -> object:
    """Keep what belongs to another history."""
    return self


PROGRESS = "no progress"

MUTANTS = (
    Mutant("an undone change needs no command", Restart, "_undo", rest_without_command,
           "RunningHasACommand", seed=148),
    Mutant("the phase running does not end", RunningPhase, "on", run_on, "RunningHasACommand"),
    Mutant("a turn is used for what was tried in it", Attempt, "was_tried", lambda *_: False,
           "StopsOnlyForChange"),
    Mutant("files are not tried again", Debounce, "try_again", lose_nothing,
           "WaitsForSomething", seed=15),
    Mutant("an undo is found among changes only", Restart, "_is_undone", lambda *_: False,
           "StopsOnlyForChange", seed=580),
    Mutant("the old command ends zkexec in its turn", Member, "_survives_exit",
           property(lambda self: self._awaits_health), "OutlivesTheCommand", seed=2100),
    Mutant("the lease is not checked", Lease, "may_stop", lambda self, *_: bool(self.admitted),
           "StopsWithinTheLease", seed=17),
    Mutant("a lost reply is taken for an admission", Participant, "handle", assume_admission,
           "AppliesWithinTheLease", seed=140),
    Mutant("a failure is forgotten", RolloutRecord, "fail", forget_failure, "MarksOnlyTheHealthy"),
    Mutant("a failed version counts as known good", TurnOutcome, "entered_in", release_failed,
           "MarksOnlyTheHealthy"),
    Mutant("a restarted member drops its entry", RolloutRecord, "adopt", drop_entry,
           "MarksOnlyTheHealthy", seed=16),
    Mutant("a release is not repeated", Participant, "advance", release_once, PROGRESS, seed=14),
    Mutant("several members try an untried version", RolloutRecord, "admit", admit_as_known_good,
           "KeepsMaxUnavailable"),
    Mutant("max unavailable is not checked", RolloutRecord, "admit", admit_many,
           "KeepsMaxUnavailable"),
    Mutant("a health check of an earlier command counts", HealthCheck, "finished", count_any_check,
           "MarksOnlyTheHealthy", seed=53),
    Mutant("the command is stopped without a connection", Inputs, "_on_disconnected",
           kill_on_disconnect, "IgnoresLosses"),
    Mutant("a turn is reclaimed at once", RecordView, "overdue", reclaim_at_once,
           "KeepsEntries", seed=18),
    Mutant("the configuration is not checked", leading, "commit", commit_unchecked,
           "AdmitsCurrentContent", seed=119),
    Mutant("no watch is armed again", Inputs, "_rearm_later", lose_nothing, PROGRESS, seed=81),
    Mutant("a queue node is left behind", QueuePosition, "doubt", lose_nothing, PROGRESS, seed=9),
    Mutant("a duplicate keeps its node", Membership, "begin", remember_no_duplicate,
           "MarksDuplicates", seed=33),
    Mutant("a failed version is admitted", RolloutRecord, "failure_of", find_no_failure,
           "AdmitsNoFailedVersion", seed=9),
    Mutant("an admission drops the failures", RolloutRecord, "admit", forget_failures,
           "AdmitsNoFailedVersion"),
    Mutant("a member behind a gap is the head", QueuePosition, "explain", take_over_lead,
           "AdmitsTheHead"),
    Mutant("a first start takes any risk", participant, "basis_of", start_on_wanted,
           "StartsOnKnownGood"),
    Mutant("a retry is blocked", RolloutRecord, "failure_of", block_for_ever, PROGRESS, seed=22),
    Mutant("a retry is no change", Inputs, "_merged", ignore_revision_of_restart,
           "AdmitsCurrentContent", seed=17),
    Mutant("a restart is no change", Inputs, "_merged", miss_restarts, PROGRESS),
    Mutant("a deleted znode of restarts counts", Inputs, "_merged", count_missing_as_change,
           "StopsOnlyForChange", seed=12),
    Mutant("versions do not contain restarts", situation, "version_of", nameless,
           "TriesRestartsAlone", seed=12),
    Mutant("a restart is known good because its contents are", RolloutRecord, "is_known_good",
           know_good_by_contents, "KeepsMaxUnavailable", seed=82),
    Mutant("a deleted restart is waited for", RolloutRecord, "knows_newer", know_newer_restarts,
           PROGRESS, seed=210),
    Mutant("a pause lets a failed member be readmitted", RolloutRecord, "readmit",
           readmit_while_paused, "ObeysThePause"),
    Mutant("content without a znode is installed", Inputs, "is_gone", lambda *_: False,
           "InstallsPresentContent"),
    Mutant("a restored record is trusted", RolloutRecord, "clamped_to", as_it_was,
           PROGRESS, seed=89),
    Mutant("a new session trusts the old record", situation.Situation, "begin_session",
           read_no_record, PROGRESS),
    Mutant("a pause lets the head be admitted", RolloutRecord, "admit", admit_while_paused,
           "ObeysThePause", seed=5),
    Mutant("a release ends a pause", RolloutRecord, "release", release_anew,
           "KeepsOperatorsChanges", seed=86),
)  # fmt: skip
