"""The promises about rollouts in which many members are in flight: zones, ramp, hold, losses."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from simulation.group.checker import Checker, RecordChange, Violation
from simulation.group.command_model import CommandModel
from simulation.group.group_znodes import QUEUE, UNAVAILABLE, VERSIONS
from simulation.group.host import Host
from simulation.group.process import Process
from simulation.servers.znodes import Transaction
from zkexec.core.rollout.record import EntryPhase, InFlightEntry
from zkexec.core.rollout.version import contents_of, version_of
from zkexec.core.rollout.version_state import (
    FEW_SUCCEEDED,
    LOST_TURNS_THAT_FAIL,
    VersionState,
)
from zkexec.group.version_codec import SUCCEEDED

if TYPE_CHECKING:
    from simulation.group.world import World


class DecidesAlone(Checker):
    """Each admission writes the decisions, so of two members that decide at once one does not."""

    def record(self, change: RecordChange) -> None:
        """Check the commit of each admission, and that admissions are counted."""
        new = change.newly_admitted
        if new and not change.has_decided:
            raise Violation(f"{change.author} admits {new} without a write of the decisions")
        counted = change.after.admissions - change.before.admissions
        if counted != len(new):
            raise Violation(f"{change.author} admits {len(new)} members and counts {counted}")


class KeepsZonesApart(Checker):
    """I12: no member is admitted while one of another zone is in flight, or has failed."""

    def record(self, change: RecordChange) -> None:
        """Compare the zones of the admitted members with those of all others in flight."""
        for name, entry in change.newly_admitted:
            for other, theirs in change.after.in_flight.items():
                if theirs.zone != entry.zone:
                    raise Violation(
                        f"{name} of zone {entry.zone!r} was admitted beside {other} "
                        f"of zone {theirs.zone!r}"
                    )


class FollowsTheRamp(Checker):
    """I13: at most twice as many members are in flight as have succeeded on the version."""

    def record(self, change: RecordChange) -> None:
        """Count the members in flight at each admission."""
        for name, entry in change.newly_admitted:
            state = change.before.versions.get(entry.digest)
            succeeded = 0 if state is None else state.succeeded
            if len(change.after.in_flight) > max(1, 2 * succeeded):
                raise Violation(f"{name} was admitted after {succeeded} successes")


class ObeysTheHold(Checker):
    """I14: no member is admitted to a held version once enough members have it.

    A requested restart of contents that were known good is not held.  A retry makes no member
    forget what it has, so the successes before it count.
    """

    def __init__(self, world: "World") -> None:
        """Begin without successes."""
        super().__init__(world)
        self._succeeded: Counter[str] = Counter()

    def history_began(self) -> None:
        """Begin anew: nothing is known of the versions any more."""
        self._succeeded.clear()

    def record(self, change: RecordChange) -> None:
        """Count at each admission, also at one in the same turn."""
        hold = change.before.hold
        for name, entry in change.admitted:
            if hold is None or contents_of(entry.digest) in map(contents_of, hold.known_good):
                continue
            succeeded = self._succeeded[contents_of(entry.digest)]
            flying = sum(e.digest == entry.digest for e in change.after.in_flight.values())
            if succeeded + flying > hold.after.of(self.world.size):
                raise Violation(f"{name} was admitted to what is held after {hold.after}")
        self._count(change)

    def _count(self, change: RecordChange) -> None:
        """Add the turns that ended well in this change, and forget what the record forgets."""
        for digest, state in change.after.versions.items():
            before = change.before.versions.get(digest)
            more = state.succeeded - (before.succeeded if before else 0)
            self._succeeded[contents_of(digest)] += max(0, more)
        known = set(map(contents_of, change.after.versions))
        for contents in self._succeeded.keys() - known:
            del self._succeeded[contents]


class SparesTheHealthy(Checker):
    """I17: if members are unavailable, fewer healthy commands are stopped.

    The head may have read the record a little before a member became unavailable.
    """

    NOTICED_S = 2.0

    def __init__(self, world: "World") -> None:
        """Begin with all members available."""
        super().__init__(world)
        self._since: dict[str, float] = {}

    def transaction(self, transaction: Transaction) -> None:
        """Note since when members are unavailable."""
        for path, node in transaction.changes:
            if path.startswith(UNAVAILABLE):
                name = path.removeprefix(UNAVAILABLE)
                if node is None:
                    self._since.pop(name, None)
                else:
                    self._since.setdefault(name, self.world.clock.now)

    def history_began(self) -> None:
        """Begin without sessions, and so without unavailable members."""
        self._since.clear()

    def record(self, change: RecordChange) -> None:
        """Count the members that would be unavailable after an admission."""
        known_at = change.decided_at - self.NOTICED_S
        ill = {name for name, since in self._since.items() if since < known_at}
        flying = change.after.in_flight
        for name, entry in change.newly_admitted:
            if name in change.before.unavailable:
                continue
            count = len(flying) + len(ill.difference(flying))
            if count > self.world.most_in_flight(change.after, entry.zone):
                raise Violation(f"{name} was admitted although {sorted(ill)} are unavailable")


class CountsSuccesses(Checker):
    """A turn that ends with a healthy command counts as a success of its version, and no other.

    That of a member on which nothing has differed may leave the version untried.
    """

    def __init__(self, world: "World") -> None:
        """Begin without any turn."""
        super().__init__(world)
        self._restarted: dict[Host, str] = {}
        """The token of the turn in which the command of a host was taken down or reloaded."""
        self._healthy: dict[Host, tuple[str, str]] = {}
        """The token of the turn in which it became healthy again, and on which version."""

    def kill(self, process: Process, command: CommandModel) -> None:
        """Note the turn."""
        del command
        self._healthy.pop(process.host, None)
        entry = self.world.truth.in_flight.get(process.host.name)
        if entry is not None:
            self._restarted[process.host] = entry.token

    def reloaded(self, process: Process, command: CommandModel) -> None:
        """Note the turn."""
        self.kill(process, command)

    def known_good(self, process: Process, command: CommandModel) -> None:
        """Note that the turn may succeed."""
        token = self._restarted.get(process.host)
        if token is not None:
            digest = version_of(command.files, process.policy.inputs).digest
            self._healthy[process.host] = token, digest

    def history_began(self) -> None:
        """Forget the turns: they are over."""
        self._restarted.clear()
        self._healthy.clear()

    def record(self, change: RecordChange) -> None:
        """Compare the counts with the turns that end."""
        ended = {entry.digest: name for name, entry in change.left if name == change.author}
        for digest, state in change.after.versions.items():
            before = change.before.versions.get(digest)
            counted = state.succeeded - (0 if before is None else before.succeeded)
            if before is not None and state.zxid > before.zxid and not state.succeeded:
                continue
            if counted != int(digest in ended) and counted:
                raise Violation(f"{change.author} counts {counted} successes on {digest[:6]}")
            is_good = state.known_good and digest in ended
            if not counted and is_good and self._has_succeeded(change, digest):
                raise Violation(f"{change.author} does not count its success on {digest[:6]}")

    def _has_succeeded(self, change: RecordChange, digest: str) -> bool:
        process = change.process
        entry = change.before.in_flight[change.author]
        return not process.termed and self._healthy.get(process.host) == (entry.token, digest)


class CountsLosses(Checker):
    """Each turn that is reclaimed or adopted counts as lost, and too many make a version fail.

    Of the turns of a zone that is lost at once, one counts.
    """

    def record(self, change: RecordChange) -> None:
        """Compare the counts with the turns that are lost."""
        lost = list(self._lost(change))
        for digest in dict.fromkeys(entry.digest for entry in lost):
            before = change.before.versions.get(digest, VersionState(0, ""))
            after = change.after.versions.get(digest)
            if after is None:
                raise Violation(f"{change.author} loses a turn with {digest[:6]}, and forgets it")
            expected = before.lost_turns + self._counted(
                [entry for entry in lost if entry.digest == digest], before, change
            )
            if after.lost_turns != expected:
                raise Violation(
                    f"{digest[:6]} has {after.lost_turns} lost turns instead of {expected}"
                )
            if self._has_failed(after) and not after.condemned_by:
                raise Violation(f"{digest[:6]} has not failed after {expected} lost turns")
            if after.condemned_by != before.condemned_by and not self._has_failed(after):
                raise Violation(f"{digest[:6]} has failed after {expected} lost turns")

    @staticmethod
    def _lost(change: RecordChange) -> Iterator[InFlightEntry]:
        for name, entry in change.before.in_flight.items():
            after = change.after.in_flight.get(name)
            is_reclaimed = after is None and name != change.author
            # A member may replace an entry that comes from a dump by that of its failure.
            is_adopted = after is not None and (
                after.token != entry.token and after.digest == entry.digest
            )
            if entry.phase is EntryPhase.RESTARTING and (is_reclaimed or is_adopted):
                yield entry

    @staticmethod
    def _counted(lost: list[InFlightEntry], before: VersionState, change: RecordChange) -> int:
        count, zone, until = 0, before.lost_zone, before.lost_until
        for entry in lost:
            if entry.zone and entry.zone == zone and entry.admission <= until:
                continue
            count, zone, until = count + 1, entry.zone, change.before.admissions
        return count

    @staticmethod
    def _has_failed(state: VersionState) -> bool:
        lost = state.lost_turns
        if state.succeeded < FEW_SUCCEEDED:
            return lost >= LOST_TURNS_THAT_FAIL
        tried = state.succeeded + len(state.failed_by) + lost
        return lost > max(LOST_TURNS_THAT_FAIL, tried // 100)


class LeavesNothingBehind(Checker):
    """At rest there are no znodes of dropped versions, and none of members that are well again."""

    WELL_S = 5.0

    def at_rest(self) -> None:
        """Compare the znodes with the decisions, and with the commands that run."""
        tree, truth = self.world.ensemble.tree, self.world.truth
        found = set(tree.names_below(VERSIONS.rstrip("/")))
        if self.world.observed.exists and found != set(truth.versions):
            raise Violation(f"there are znodes of {found}, and decisions on {set(truth.versions)}")
        for digest in found:
            if SUCCEEDED not in tree.names_below(VERSIONS + digest):
                raise Violation(f"{digest[:6]} does not count successes")
        for name in truth.unavailable:
            node = tree.nodes[UNAVAILABLE + name]
            process = self.world.ensemble.sessions[node.owner].process
            if isinstance(process, Process) and self._is_well(process):
                raise Violation(f"{process.name} counts as unavailable, and is well")

    def _is_well(self, process: Process) -> bool:
        command, client = process.commands.present, process.client
        if process.dead or process.frozen or client is None or not client.connected:
            return False
        since = None if command is None or not command.alive else command.passed_at
        return since is not None and since < self.world.clock.now - self.WELL_S


class KeepsFewWatches(Checker):
    """I16: at rest the servers keep few watches of each member, whatever its group."""

    MOST = 5
    """Beside those of the inputs: restarts, own node, and three of the record at most."""

    def at_rest(self) -> None:
        """Count the watches of each connection, as far as their znodes exist.

        A server that has lost an event keeps the watch of a znode that is gone.
        """
        if self.world.inputs.is_used:
            return
        most, tree = self.MOST + len(self.world.paths), self.world.ensemble.tree
        for host in self.world.hosts:
            client = None if host.living is None else host.living.client
            link = None if client is None else client.connection
            there = [path for _, path in link.watched if path in tree.nodes] if link else []
            is_waiting = any(path.startswith(QUEUE) for path in there)
            if len(there) > most and not is_waiting:
                raise Violation(f"{host.label} has {len(there)} watches: {there}")


WIDE_CHECKERS: tuple[type[Checker], ...] = (
    DecidesAlone, KeepsZonesApart, FollowsTheRamp, ObeysTheHold, SparesTheHealthy,
    CountsSuccesses, CountsLosses, LeavesNothingBehind, KeepsFewWatches,
)  # fmt: skip
