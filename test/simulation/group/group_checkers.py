"""The promises about the group's record: widths, first tries, verdicts, entries."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from simulation.group.checker import Checker, RecordChange, Violation, is_known_good
from simulation.group.child import Child
from simulation.group.contents import restart_in
from simulation.group.host import Host
from simulation.group.process import Process
from simulation.group.tree import MEMBERS, QUEUE, RESTART, Transaction
from zkexec.core.rollout.record import EntryPhase, InFlightEntry, RolloutRecord, VersionState
from zkexec.core.rollout.version import contents_of, version_of
from zkexec.core.snapshot import Snapshot

if TYPE_CHECKING:
    from simulation.group.world import World


class KeepsTheWidth(Checker):
    """I1: between kill and healthy are never more than the width; one, where nothing is proven.

    Of two hosts with one ID the one that ends the turn speaks for both.
    """

    def __init__(self, world: "World") -> None:
        """Begin with everybody up."""
        super().__init__(world)
        self._down: dict[str, Host] = {}
        self._rejoined: set[str] = set()
        """Who was down already when a new record came to know of it."""

    def kill(self, process: Process, child: Child) -> None:
        """Count those who are down."""
        del child
        if process.host.name not in self.world.truth.in_flight:
            return
        self._down[process.host.name] = process.host
        most = self.world.most_down + len(self._rejoined)
        if len(self._down) > most:
            raise Violation(f"{list(self._down)} are down, at most {most} may be")

    def began_anew(self) -> None:
        """Forget who is down: no record knows of them."""
        self._down.clear()
        self._rejoined.clear()

    def healthy(self, process: Process) -> None:
        """Take it off the list."""
        if self._down.get(process.host.name) is process.host:
            del self._down[process.host.name]

    def record(self, change: RecordChange) -> None:
        """Forget who was reaped or has ended, and look at who is admitted."""
        for name, _ in change.left:
            is_own = name == change.author and self._down.get(name) is change.process.host
            if not is_own or change.process.termed:
                self._down.pop(name, None)
            self._rejoined.discard(name)
        self._rejoined |= {
            name
            for name, entry in change.after.in_flight.items()
            if name not in change.before.in_flight and entry.phase is EntryPhase.FAILED
        }
        for name, entry in change.admitted:
            if name in change.before.in_flight:
                self._judge_other_tries(change, name)
                continue
            if len(change.after.in_flight) > self.world.most_down:
                raise Violation(f"{name} was admitted beyond the width")
            if change.before.in_flight and not is_known_good(change.before, entry):
                raise Violation(f"{name} was admitted for something unproven beside others")

    @staticmethod
    def _judge_other_tries(change: RecordChange, name: str) -> None:
        entry = change.after.in_flight[name]
        if is_known_good(change.before, entry):
            return
        for other, theirs in change.before.in_flight.items():
            if theirs.phase is EntryPhase.FAILED:
                continue
            if other != name and theirs.digest == entry.digest:
                raise Violation(f"{name} goes on to what {other} is the first to try")


class TriesAlone(Checker):
    """I3: before a snapshot is proven, one member is restarted for it, and one for each loss."""

    def __init__(self, world: "World") -> None:
        """Begin without any trial."""
        super().__init__(world)
        self._tried: dict[str, dict[str, None]] = {}
        self._losses: dict[str, int] = {}

    def record(self, change: RecordChange) -> None:
        """Count the entries that were lost, and begin anew with what is tried anew."""
        for name, entry in change.admitted:
            version_state = change.before.versions.get(entry.digest)
            if version_state is None or (
                version_state.failed_by and entry.zxid > version_state.zxid
            ):
                self._forget(entry.digest)
            known = change.before.in_flight.get(name)
            if known is not None:
                self._losses[known.digest] = self._losses.get(known.digest, 0) + 1
        for _, entry in change.left:
            self._losses[entry.digest] = self._losses.get(entry.digest, 0) + 1

    def began_anew(self) -> None:
        """Begin without any trial."""
        self._tried.clear()
        self._losses.clear()

    def _forget(self, digest: str) -> None:
        self._tried.pop(digest, None)
        self._losses.pop(digest, None)

    def kill(self, process: Process, child: Child) -> None:
        """Count who was restarted for it."""
        del child
        entry = self.world.truth.in_flight.get(process.host.name)
        if entry is None or is_known_good(self.world.truth, entry):
            return
        tried = self._tried.setdefault(entry.digest, {})
        tried[process.host.name] = None
        allowed = 1 + self._losses.get(entry.digest, 0)
        if len(tried) > allowed:
            raise Violation(f"{list(tried)} were restarted for {entry.digest[:8]}, unproven")


class HeedsVerdicts(Checker):
    """I4: nobody is admitted for what has failed, until it is pushed anew or cleared.

    Contents that have failed after a restart have failed, whether the restart is known or not,
    unless they are proven as they are wanted.
    """

    def __init__(self, world: "World") -> None:
        """Begin without verdicts."""
        super().__init__(world)
        self._failed: dict[str, dict[str, int]] = {}

    def record(self, change: RecordChange) -> None:
        """Look at who is admitted, then learn what has failed or was cleared."""
        for name, entry in change.admitted:
            for other in self._failed_on(entry, change.before):
                raise Violation(f"{name} was admitted for what failed on {other}")
        for digest, version_state in change.before.versions.items():
            after = change.after.versions.get(digest)
            if after is None or after.zxid > version_state.zxid:
                continue
            for name in version_state.failed_by:
                if name not in after.failed_by:
                    self._clear(change, digest, name)
        for digest, version_state in change.after.versions.items():
            self._follow_retry(digest, version_state)
            for name in version_state.failed_by:
                failed = self._failed.setdefault(digest, {})
                failed[name] = max(failed.get(name, 0), version_state.zxid)

    def _failed_on(self, entry: InFlightEntry, record: RolloutRecord) -> Iterator[str]:
        known = record.versions.get(entry.digest)
        is_good = known is not None and known.known_good and not known.failed_by
        for digest, failed in self._failed.items():
            is_same = digest == entry.digest
            if is_same or (not is_good and contents_of(digest) == contents_of(entry.digest)):
                yield from (name for name, at in failed.items() if at >= entry.zxid)

    def began_anew(self) -> None:
        """Hold to what the record says now."""
        self._failed = {
            digest: dict.fromkeys(version_state.failed_by, version_state.zxid)
            for digest, version_state in self.world.truth.versions.items()
        }

    def _follow_retry(self, digest: str, version_state: VersionState) -> None:
        """Forget what failed before a later try was a success, and has not failed since."""
        if not version_state.known_good or version_state.failed_by:
            return
        for other, failed in self._failed.items():
            if contents_of(other) == contents_of(digest):
                for name in [name for name, at in failed.items() if at < version_state.zxid]:
                    del failed[name]

    def _clear(self, change: RecordChange, digest: str, name: str) -> None:
        if name != change.author or not change.after.versions[digest].known_good:
            raise Violation(f"the failure of {name} was forgotten by {change.author}")
        self._failed[digest].pop(name, None)


class ProvesTheHealthy(Checker):
    """A snapshot counts as proven, and a turn is over, only by a child that was healthy."""

    def __init__(self, world: "World") -> None:
        """Begin with nobody restarted."""
        super().__init__(world)
        self._restarted: dict[str, str] = {}
        self._known_good: dict[Process, dict[str, None]] = {}

    def kill(self, process: Process, child: Child) -> None:
        """Take note of the turn in which it was."""
        del child
        entry = self.world.truth.in_flight.get(process.host.name)
        if entry is not None:
            self._restarted[process.host.name] = entry.token

    def began_anew(self) -> None:
        """Forget the turns: they are over."""
        self._restarted.clear()

    def known_good(self, process: Process, child: Child) -> None:
        """Take note of what was healthy, and of whose turn may end."""
        digest = version_of(child.files, process.policy.mirrors).digest
        self._known_good.setdefault(process, {})[digest] = None
        self._restarted.pop(process.host.name, None)

    def record(self, change: RecordChange) -> None:
        """Look at what is newly proven, and at who ends its own turn."""
        for digest, version_state in change.after.versions.items():
            before = change.before.versions.get(digest)
            is_news = version_state.known_good and (before is None or not before.known_good)
            if is_news and digest not in self._known_good.get(change.process, {}):
                raise Violation(f"{change.author} proved what was not healthy there")
        self._follow_adoption(change)
        for name, entry in change.left:
            if name != change.author or change.process.termed:
                continue
            if any(twin.name == name for twin in self.world.twins):
                # Of two hosts with one ID the other may take a turn over that this one has begun.
                continue
            if self._restarted.get(name) == entry.token:
                raise Violation(f"{name} ended its turn without a healthy child")

    def _follow_adoption(self, change: RecordChange) -> None:
        for name, entry in change.after.in_flight.items():
            before = change.before.in_flight.get(name)
            if before is not None and self._restarted.get(name) == before.token:
                self._restarted[name] = entry.token


class KeepsEntries(Checker):
    """I8: an entry goes by its owner, or by the head once its member was gone long enough.

    A holder of an entry may act as the head; and who shows itself for a moment is not seen by all.
    An operator may forget a member, that one and no other.
    """

    SEEN_S = 5.0

    def __init__(self, world: "World") -> None:
        """Begin with nobody there."""
        super().__init__(world)
        self._absent_from: dict[str, float] = {}
        self._absent_to: dict[str, float] = {}

    def transaction(self, transaction: Transaction) -> None:
        """Learn who comes and goes."""
        now = self.world.clock.now
        for path, _ in transaction.changes:
            if path.startswith(MEMBERS):
                name = path[len(MEMBERS) :]
                if path in self.world.ensemble.tree.nodes:
                    self._absent_to.setdefault(name, now)
                elif now > self._absent_to.pop(name, now) + self.SEEN_S:
                    self._absent_from[name] = now

    def began_anew(self) -> None:
        """Take everybody for gone as of now."""
        self._absent_to.clear()
        now = self.world.clock.now
        self._absent_from = {host.name: now for host in self.world.hosts}

    def record(self, change: RecordChange) -> None:
        """Look at each entry that is gone or has another token."""
        for name, entry in change.before.in_flight.items():
            after = change.after.in_flight.get(name)
            if after is not None and after.token != entry.token and name != change.author:
                raise Violation(f"{change.author} took over the entry of {name}")
            if after is None and change.audit_entry is not None:
                if (change.audit_entry.verb, change.audit_entry.member) != ("forget", name):
                    raise Violation(f"to {change.audit_entry.verb} took the entry of {name} away")
            elif after is None and name != change.author:
                self._judge_reaping(change, name)

    def _judge_reaping(self, change: RecordChange, name: str) -> None:
        policy = change.process.policy
        grace_s = policy.kill_timeout_s + policy.health_delay_s + (policy.min_healthy_s or 0.0)
        since = self._absent_from.get(name, 0.0)
        until = self._absent_to.get(name, change.decided_at)
        if change.decided_at - since < grace_s - 1e-3:
            raise Violation(
                f"{name} was reaped {change.decided_at - since:.1f} s after it was gone"
            )
        if until < change.decided_at - policy.session_timeout_s - 5:
            raise Violation(f"{name} was reaped although it is back")
        queue = self.world.ensemble.tree
        first = min(queue.children[QUEUE].items(), key=lambda item: item[1][-10:], default=None)
        place = self.world.place_taken
        if place and (first is None or place[-10:] <= first[1][-10:]):
            return
        is_head = first is not None and queue.nodes[first[0]].content == change.author
        if not is_head and change.author not in change.before.in_flight:
            raise Violation(f"{change.author} reaped {name}, neither head nor in flight")


class AdmitsTheCurrent(Checker):
    """Who is admitted wants what the mirrored znodes hold at the moment of the commit."""

    def record(self, change: RecordChange) -> None:
        """Compare the new entry of the author with the truth.

        The version of a znode that was deleted and made again says nothing, so that such histories
        are left out; and what the restart was called is not seen in a znode that is empty.
        """
        nodes = self.world.ensemble.tree.nodes
        if not change.admitted or self.world.has_deleted:
            return
        mirrors = change.process.policy.mirrors
        if any(mirror.zk_path not in nodes for mirror in mirrors):
            return
        files = {mirror.local_path: nodes[mirror.zk_path].content for mirror in mirrors}
        asked = [nodes[RESTART]] if nodes[RESTART].content else []
        read = [*asked, *(nodes[mirror.zk_path] for mirror in mirrors)]
        zxid = max((node.mzxid for node in read), default=0)
        restart = restart_in(nodes[RESTART].content)
        for name, entry in change.admitted:
            wanted = version_of(Snapshot(files, zxid, restart=restart), mirrors)
            if (entry.digest, entry.zxid) != (wanted.digest, wanted.zxid):
                raise Violation(f"{name} was admitted for what is out of date")


class KeepsTheQueue(Checker):
    """Who comes into flight was the first in the queue."""

    def record(self, change: RecordChange) -> None:
        """Look at who is left in the queue."""
        if not any(name not in change.before.in_flight for name, _ in change.admitted):
            return
        place = self.world.place_taken[-10:]
        names = self.world.ensemble.tree.children[QUEUE].values()
        ahead = [name for name in names if name[-10:] < place]
        if not place or ahead:
            raise Violation(f"{change.author} was admitted, but {ahead} were before it")


class WakesFew(Checker):
    """I10: a release wakes a constant number of processes.

    Who has found its predecessor gone without a turn may be woken, too, once for each such loss;
    and so may members in flight, which may be waiting to go on to something newer.
    """

    MOST = 4

    def __init__(self, world: "World") -> None:
        """Begin with nobody woken."""
        super().__init__(world)
        self._woken: dict[int, dict[str, None]] = {}
        self._most: dict[int, int] = {}
        self._lost: list[int] = [0, 0, 0]
        """The queue nodes that vanished since the last change of the record, and before it."""

    def transaction(self, transaction: Transaction) -> None:
        """Count the queue nodes that vanish."""
        for path, node in transaction.changes:
            if path.startswith(QUEUE) and node is None:
                self._lost[0] += 1

    def began_anew(self) -> None:
        """Begin with nobody woken; numbers of transactions return."""
        self._woken.clear()
        self._most.clear()

    def record(self, change: RecordChange) -> None:
        """Take note of each release."""
        if change.audit_entry is not None:
            return
        if any(name == change.author for name, _ in change.left):
            self._woken[change.zxid] = {}
            self._most[change.zxid] = self.MOST + sum(self._lost) + len(change.after.in_flight)
        self._lost = [0, *self._lost[:2]]

    def woken(self, process: Process, transaction: Transaction) -> None:
        """Count who hears of it."""
        woken = self._woken.get(transaction.zxid)
        if woken is not None:
            woken[process.host.name] = None
            if len(woken) > self._most[transaction.zxid]:
                raise Violation(f"one release woke {list(woken)}")


class QueuesOnce(Checker):
    """I11: at rest no session has two queue nodes, and none that nobody waits in."""

    def at_rest(self) -> None:
        """Look at the queue."""
        owners: dict[int, str] = {}
        tree = self.world.ensemble.tree
        for path, name in tree.children[QUEUE].items():
            owner = tree.nodes[path].owner
            if owner in owners:
                raise Violation(f"{owners[owner]} and {name} are of one session")
            owners[owner] = name


class MarksDuplicates(Checker):
    """I12: at rest a living process has one member node, marked if another process has its ID."""

    SETTLED_S = 20.0

    def at_rest(self) -> None:
        """Look at those of one ID, unless one of them is away or has come lately."""
        for twin in self.world.twins:
            hosts = [host for host in self.world.hosts if host.name == twin.name]
            owners = [self._owner(host) for host in (*hosts, *([] if twin.gone else [twin]))]
            if None not in owners:
                self._judge(twin.name, owners)

    def _owner(self, host: Host) -> int | None:
        """The session of the process there, if all has been well with it for a while."""
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
