"""The promises about the group's record: max unavailable, first trials, failures, entries."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from simulation.group.checker import (
    Checker,
    RecordChange,
    Violation,
    is_known_good,
    tolerated,
)
from simulation.group.command_model import CommandModel
from simulation.group.contents import restart_in
from simulation.group.group_znodes import MEMBERS, QUEUE, RESTART
from simulation.group.host import Host
from simulation.group.process import Process
from simulation.servers.znodes import Transaction
from zkexec.core.rollout.record import EntryPhase, InFlightEntry
from zkexec.core.rollout.record_view import LONGEST_SURVEY_S
from zkexec.core.rollout.version import contents_of, version_of
from zkexec.core.rollout.version_state import VersionState
from zkexec.core.snapshot import Snapshot

if TYPE_CHECKING:
    from simulation.group.world import World


class KeepsMaxUnavailable(Checker):
    """I1: at most max unavailable members are between stop and healthy; one on an untried version.

    Of two hosts with one ID the one that ends the turn counts for both.
    """

    def __init__(self, world: "World") -> None:
        """Begin with every member up."""
        super().__init__(world)
        self._down: dict[str, Host] = {}
        self._down_before: set[str] = set()
        """The members that were down already when a new record was written."""
        self._reloaded: set[str] = set()
        """Those that count as down only because other files were installed beside the command."""

    def kill(self, process: Process, command: CommandModel) -> None:
        """Count the member as down."""
        del command
        self._reloaded.discard(process.host.name)
        self._count(process)

    def _count(self, process: Process) -> None:
        if process.host.name not in self.world.truth.in_flight:
            return
        self._down[process.host.name] = process.host
        most = self.world.most_down + len(self._down_before)
        if len(self._down) > most:
            raise Violation(f"{list(self._down)} are down, at most {most} may be")

    def reloaded(self, process: Process, command: CommandModel) -> None:
        """Count it as if it were down: other files may take its health away as well."""
        del command
        if process.host.name not in self._down:
            self._reloaded.add(process.host.name)
        self._count(process)

    def history_began(self) -> None:
        """Forget which members are down: no record contains them."""
        self._down.clear()
        self._down_before.clear()

    def healthy(self, process: Process) -> None:
        """Count the member as up."""
        if self._down.get(process.host.name) is process.host:
            del self._down[process.host.name]

    def record(self, change: RecordChange) -> None:
        """Forget reclaimed and released members, and check which ones are admitted."""
        for name, _ in change.left:
            is_own = name == change.author and self._down.get(name) is change.process.host
            is_up = name in self._reloaded  # a refused reload leaves the command as it was
            self._reloaded.discard(name)
            if not is_own or is_up or change.process.termed:
                self._down.pop(name, None)
            self._down_before.discard(name)
        self._down_before |= {
            name
            for name, entry in change.after.in_flight.items()
            if name not in change.before.in_flight and entry.phase is EntryPhase.FAILED
        }
        for name, entry in change.admitted:
            if name in change.before.in_flight:
                self._judge_other_tries(change, name)
                continue
            if len(change.after.in_flight) > self.world.most_in_flight(change.after, entry.zone):
                raise Violation(f"{name} was admitted beyond max unavailable")
            if len(change.after.in_flight) > 1 and not is_known_good(change.before, entry):
                raise Violation(f"{name} was admitted for an untried version beside others")

    @staticmethod
    def _judge_other_tries(change: RecordChange, name: str) -> None:
        entry = change.after.in_flight[name]
        if is_known_good(change.before, entry):
            return
        for other, theirs in change.before.in_flight.items():
            if theirs.phase is EntryPhase.FAILED:
                continue
            if other != name and theirs.digest == entry.digest:
                raise Violation(f"{name} was readmitted to what {other} is the first to try")


class TriesAlone(Checker):
    """I3: one member is restarted on an untried version, and one more for each lost turn."""

    def __init__(self, world: "World") -> None:
        """Begin without any trial."""
        super().__init__(world)
        self._tried: dict[str, dict[str, None]] = {}
        self._losses: dict[str, int] = {}

    def record(self, change: RecordChange) -> None:
        """Count the lost entries, and begin again if a version is tried again."""
        for name, entry in change.admitted:
            state = change.before.versions.get(entry.digest)
            if state is None or (state.failed_by and entry.zxid > state.zxid):
                self._forget(entry.digest)
            known = change.before.in_flight.get(name)
            if known is not None:
                self._losses[known.digest] = self._losses.get(known.digest, 0) + 1
        for _, entry in change.left:
            self._losses[entry.digest] = self._losses.get(entry.digest, 0) + 1

    def history_began(self) -> None:
        """Begin without any trial."""
        self._tried.clear()
        self._losses.clear()

    def _forget(self, digest: str) -> None:
        self._tried.pop(digest, None)
        self._losses.pop(digest, None)

    def kill(self, process: Process, command: CommandModel) -> None:
        """Count the members that were restarted on it."""
        del command
        entry = self.world.truth.in_flight.get(process.host.name)
        if entry is None or is_known_good(self.world.truth, entry):
            return
        tried = self._tried.setdefault(entry.digest, {})
        tried[process.host.name] = None
        allowed = 1 + self._losses.get(entry.digest, 0)
        if len(tried) > allowed:
            raise Violation(f"{list(tried)} try {entry.digest[:8]}, which is untried")

    def reloaded(self, process: Process, command: CommandModel) -> None:
        """Count a reload as a try, too."""
        self.kill(process, command)


class AdmitsNoFailedVersion(Checker):
    """I4: no member is admitted to a failed version, until it is written again or recovers.

    Failures on single members are tolerated as CONTRACT 7.3 has it.  Contents that failed after a
    restart have failed, whether the restart was read or not, unless the wanted version is known
    good.
    """

    def __init__(self, world: "World") -> None:
        """Begin without failures."""
        super().__init__(world)
        self._failed: dict[str, dict[str, int]] = {}

    def record(self, change: RecordChange) -> None:
        """Check which members are admitted, then note which versions failed or recovered."""
        for name, entry in change.admitted:
            for others in self._failed_on(entry, change):
                raise Violation(f"{name} was admitted to what failed on {others}")
        for digest, state in change.before.versions.items():
            after = change.after.versions.get(digest)
            if after is None or after.zxid > state.zxid:
                continue
            for name in state.failed_by:
                if name not in after.failed_by:
                    self._clear(change, digest, name)
        for digest, state in change.after.versions.items():
            self._follow_retry(digest, state)
            for name in state.failed_by:
                failed = self._failed.setdefault(digest, {})
                failed[name] = max(failed.get(name, 0), state.zxid)

    def _failed_on(self, entry: InFlightEntry, change: RecordChange) -> Iterator[list[str]]:
        versions = change.before.versions
        is_good = self._is_good(change, entry.digest)
        for digest, failed in self._failed.items():
            is_same = digest == entry.digest
            if not is_same and (is_good or contents_of(digest) != contents_of(entry.digest)):
                continue
            names = [name for name, at in failed.items() if at >= entry.zxid]
            state = versions.get(digest)
            is_lost = state is not None and bool(state.condemned_by)
            if names and (is_lost or len(names) > self._tolerated(change, state)):
                yield names

    def _is_good(self, change: RecordChange, digest: str) -> bool:
        state = change.before.versions.get(digest)
        if state is None or not state.known_good or state.condemned_by:
            return False
        return len(state.failed_by) <= self._tolerated(change, state)

    def _tolerated(self, change: RecordChange, state: VersionState | None) -> int:
        return 0 if state is None else tolerated(change.after, state, self.world.size)

    def history_began(self) -> None:
        """Begin with the failures of the present record."""
        self._failed = {
            digest: dict.fromkeys(state.failed_by, state.zxid)
            for digest, state in self.world.truth.versions.items()
        }

    def _follow_retry(self, digest: str, state: VersionState) -> None:
        """Forget the failures before a later try that succeeded, and has not failed since."""
        if not state.known_good or state.failed_by:
            return
        for other, failed in self._failed.items():
            if contents_of(other) == contents_of(digest):
                for name in [name for name, at in failed.items() if at < state.zxid]:
                    del failed[name]

    def _clear(self, change: RecordChange, digest: str, name: str) -> None:
        if name != change.author or not change.after.versions[digest].known_good:
            raise Violation(f"the failure of {name} was forgotten by {change.author}")
        self._failed[digest].pop(name, None)


class MarksOnlyTheHealthy(Checker):
    """A version becomes known good, and a turn ends, only with a command that was healthy."""

    def __init__(self, world: "World") -> None:
        """Begin without any restart."""
        super().__init__(world)
        self._restarted: dict[str, str] = {}
        self._known_good: dict[Process, dict[str, None]] = {}

    def kill(self, process: Process, command: CommandModel) -> None:
        """Note in which turn it was."""
        del command
        entry = self.world.truth.in_flight.get(process.host.name)
        if entry is not None:
            self._restarted[process.host.name] = entry.token

    def history_began(self) -> None:
        """Forget the turns: they are over."""
        self._restarted.clear()

    def known_good(self, process: Process, command: CommandModel) -> None:
        """Note the healthy version, and the member whose turn may end."""
        digest = version_of(command.files, process.policy.inputs).digest
        self._known_good.setdefault(process, {})[digest] = None
        self._restarted.pop(process.host.name, None)

    def record(self, change: RecordChange) -> None:
        """Check which versions become known good, and which members end their own turn."""
        for digest, state in change.after.versions.items():
            before = change.before.versions.get(digest)
            is_new = state.known_good and (before is None or not before.known_good)
            if is_new and digest not in self._known_good.get(change.process, {}):
                raise Violation(f"{change.author} marked what was not healthy there")
        self._follow_adoption(change)
        for name, entry in change.left:
            if name != change.author or change.process.termed:
                continue
            if any(twin.name == name for twin in self.world.twins):
                # Of two hosts with one ID the other may adopt a turn that this one has begun.
                continue
            if self._restarted.get(name) == entry.token:
                raise Violation(f"{name} ended its turn without a healthy command")

    def _follow_adoption(self, change: RecordChange) -> None:
        for name, entry in change.after.in_flight.items():
            before = change.before.in_flight.get(name)
            if before is not None and self._restarted.get(name) == before.token:
                self._restarted[name] = entry.token


class KeepsEntries(Checker):
    """I8: an entry is removed by its owner, or by the head after the grace period.

    A member in flight may act as the head, and not every member sees a short presence.  An operator
    may forget one member, and no other.
    """

    SEEN_S = LONGEST_SURVEY_S + 1.0

    def __init__(self, world: "World") -> None:
        """Begin without any member."""
        super().__init__(world)
        self._absent_from: dict[str, float] = {}
        self._absent_to: dict[str, float] = {}

    def transaction(self, transaction: Transaction) -> None:
        """Note which members come and go."""
        now = self.world.clock.now
        for path, _ in transaction.changes:
            if path.startswith(MEMBERS):
                name = path[len(MEMBERS) :]
                if path in self.world.ensemble.tree.nodes:
                    self._absent_to.setdefault(name, now)
                elif now > self._absent_to.pop(name, now) + self.SEEN_S:
                    self._absent_from[name] = now

    def history_began(self) -> None:
        """Count all members as missing from now on."""
        self._absent_to.clear()
        now = self.world.clock.now
        self._absent_from = {host.name: now for host in self.world.hosts}

    def record(self, change: RecordChange) -> None:
        """Check each entry that is gone or has another token."""
        for name, entry in change.before.in_flight.items():
            after = change.after.in_flight.get(name)
            if after is not None and after.token != entry.token and name != change.author:
                raise Violation(f"{change.author} adopted the entry of {name}")
            if after is None and change.audit_entry is not None:
                if (change.audit_entry.operation, change.audit_entry.member) != ("forget", name):
                    raise Violation(
                        f"to {change.audit_entry.operation} removed the entry of {name}"
                    )
            elif after is None and name != change.author:
                self._judge_reclaim(change, name)

    def _judge_reclaim(self, change: RecordChange, name: str) -> None:
        policy = change.process.policy
        grace_s = policy.kill_timeout_s + policy.health_delay_s + (policy.min_healthy_s or 0.0)
        grace_s += sum(policy.step_limits.values())
        since = self._absent_from.get(name, 0.0)
        until = self._absent_to.get(name, change.decided_at)
        if change.decided_at - since < grace_s - 1e-3:
            raise Violation(
                f"{name} was reclaimed {change.decided_at - since:.1f} s after it was gone"
            )
        if until < change.decided_at - policy.session_timeout_s - 5:
            raise Violation(f"{name} was reclaimed although it is back")
        if change.author not in change.before.in_flight and not self.world.leads(change):
            raise Violation(f"{change.author} reclaimed {name}, neither head nor in flight")


class AdmitsCurrentContent(Checker):
    """An admitted member wants what the znodes of its inputs contain when the commit is written."""

    def record(self, change: RecordChange) -> None:
        """Compare the new entry of the author with the znodes.

        The version of a znode that was deleted and created again is no evidence, so such histories
        are left out.  The name of a restart is not in an emptied znode.
        """
        if not self.world.has_deleted:
            for name, entry in change.admitted:
                self._judge(name, entry)

    def _judge(self, name: str, entry: InFlightEntry) -> None:
        nodes = self.world.ensemble.tree.nodes
        inputs = self.world.hosts[int(name[1:])].policy.inputs
        mirrors = inputs.mirrors
        if any(mirror.zk_path not in nodes for mirror in mirrors):
            return
        files = {mirror.local_path: nodes[mirror.zk_path].content for mirror in mirrors}
        asked = [nodes[RESTART]] if nodes[RESTART].content else []
        read = [*asked, *(nodes[mirror.zk_path] for mirror in mirrors)]
        zxid = max((node.mzxid for node in read), default=0)
        restart = restart_in(nodes[RESTART].content)
        wanted = version_of(Snapshot(files, zxid, restart=restart), inputs)
        if (entry.digest, entry.zxid) != (wanted.digest, wanted.zxid):
            raise Violation(f"{name} was admitted to an outdated version")


class WakesFew(Checker):
    """I10: a release wakes a constant number of processes.

    Members whose predecessor went away without a turn may be woken, too, once for each such loss.
    So may members in flight, which may wait for a readmission.  If servers lose events of watches,
    a release may be reported to any member when its watches are set again.
    """

    MOST = 4

    def __init__(self, world: "World") -> None:
        """Begin without any woken process."""
        super().__init__(world)
        self._woken: dict[int, dict[str, None]] = {}
        self._most: dict[int, int] = {}
        self._has_lost_watches = False
        self._lost: list[int] = [0, 0, 0]
        """The queue nodes deleted since the last change of the record, and before it."""

    def transaction(self, transaction: Transaction) -> None:
        """Count the queue nodes that are deleted."""
        for path, node in transaction.changes:
            if path.startswith(QUEUE) and node is None:
                self._lost[0] += 1

    def history_began(self) -> None:
        """Begin without any woken process: the numbers of transactions return."""
        self._woken.clear()
        self._most.clear()

    def record(self, change: RecordChange) -> None:
        """Note each release."""
        self._has_lost_watches |= self.world.ensemble.loses_watches
        if change.audit_entry is not None or self._has_lost_watches:
            return
        if any(name == change.author for name, _ in change.left):
            self._woken[change.zxid] = {}
            self._most[change.zxid] = self.MOST + sum(self._lost) + len(change.after.in_flight)
        self._lost = [0, *self._lost[:2]]

    def woken(self, process: Process, transaction: Transaction) -> None:
        """Count the woken processes."""
        woken = self._woken.get(transaction.zxid)
        if woken is not None:
            woken[process.host.name] = None
            if len(woken) > self._most[transaction.zxid]:
                raise Violation(f"one release woke {list(woken)}")


class QueuesOnce(Checker):
    """I11: at rest no session has two queue nodes, and none belongs to no waiting member."""

    def at_rest(self) -> None:
        """Check the queue."""
        owners: dict[int, str] = {}
        tree = self.world.ensemble.tree
        for path, name in tree.children[QUEUE].items():
            owner = tree.nodes[path].owner
            if owner in owners:
                raise Violation(f"{owners[owner]} and {name} are of one session")
            owners[owner] = name


class MarksDuplicates(Checker):
    """I18: at rest a living process has one member node, marked if another process has its ID."""

    SETTLED_S = 20.0

    def at_rest(self) -> None:
        """Check the processes with one ID, unless one is disconnected or new."""
        for twin in self.world.twins:
            hosts = [host for host in self.world.hosts if host.name == twin.name]
            owners = [self._owner(host) for host in (*hosts, *([] if twin.gone else [twin]))]
            if None not in owners:
                self._judge(twin.name, owners)

    def _owner(self, host: Host) -> int | None:
        """Return the session of the process there, if it has been connected for a while."""
        process = host.living
        if process is None or process.born_at > self.world.clock.now - self.SETTLED_S:
            return None
        client = process.client
        if client is None or not client.connected or client.session is None:
            return None
        return client.session.number

    def _judge(self, member: str, owners: Sequence[int | None]) -> None:
        tree = self.world.ensemble.tree
        nodes = [(tree.nodes[path].owner, name) for path, name in tree.children[MEMBERS].items()]
        found = [[name for by, name in nodes if by == owner] for owner in owners]
        # The node of a process that is gone can be there until its session has expired.
        has_none = len(owners) > 1 and [member] not in found
        if has_none or any(len(names) != 1 for names in found):
            raise Violation(f"the processes of {member} have {found}")
