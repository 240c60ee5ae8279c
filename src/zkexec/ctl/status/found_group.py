"""What was found of one group, and the `GroupStatus` that it is."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from zkexec.core.rollout.limits import Population
from zkexec.core.rollout.queued_member import queue_number
from zkexec.core.rollout.record import InFlightEntry, RolloutRecord
from zkexec.ctl.status.group_status import GroupStatus
from zkexec.ctl.status.group_summary import GroupSummary
from zkexec.ctl.status.input_writes import InputWrites
from zkexec.ctl.status.member_row import IgnoredZnode, IgnoreReason, LastWrite, MemberZnode
from zkexec.ctl.status.read_key import Unreadable, ZnodeKind
from zkexec.ctl.status.znode_reads import ZnodeReads
from zkexec.ctl.status.znode_values import DecisionsFound
from zkexec.frozen import frozen, replace
from zkexec.group.paths import Paths
from zkexec.group.record_znodes import RecordZnodes
from zkexec.group.version_codec import SUCCEEDED, MemberFailure, failure_names
from zkexec.zookeeper.errors import NoAuthError, RefusedError
from zkexec.zookeeper.values import Stat

_NOT_READABLE = InFlightEntry("", "", 0)
"""Replaces an entry that cannot be understood: its member counts as in flight."""


@frozen()
class RecordFound:
    """The record of a group, or why it is not known."""

    record: RolloutRecord
    error: str = ""
    is_forbidden: bool = False
    is_newer: bool = False


class FoundGroup:
    """One group in what was read; it reads nothing itself."""

    def __init__(self, reads: ZnodeReads, paths: Paths, name: str) -> None:
        """`paths` are those of the group."""
        self._reads = reads
        self.paths = paths
        self.name = name

    @cached_property
    def decisions(self) -> RolloutRecord:
        """The decisions, as far as they are known."""
        found = self._reads.get(ZnodeKind.RECORD, self.paths.state)
        return found.record if isinstance(found, DecisionsFound) else RolloutRecord()

    @property
    def exists(self) -> bool:
        """Whether there is such a group."""
        get = self._reads.get
        if self.is_hidden:
            return True
        has_members = any(
            get(kind, self.paths.members) is not None for kind in (ZnodeKind.NAMES, ZnodeKind.COUNT)
        )
        return has_members or get(ZnodeKind.RECORD, self.paths.state) is not None

    @property
    def is_hidden(self) -> bool:
        """Whether the znode of the group may not be read, and its record is not found either."""
        is_forbidden = self.paths.base in self._reads.hidden
        return is_forbidden and self._reads.get(ZnodeKind.RECORD, self.paths.state) is None

    def count(self, path: str) -> int:
        """Return how many children a znode has, as far as that is known."""
        listing = self._reads.get(ZnodeKind.NAMES, path)
        stat = listing[1] if isinstance(listing, tuple) else self._reads.get(ZnodeKind.COUNT, path)
        return stat.num_children if isinstance(stat, Stat) else 0

    def unclear_versions(self) -> list[str]:
        """Return the paths of the versions of which more than the number of successes is known."""
        znodes = self._znodes
        return [path for path in znodes.versions if not znodes.is_clear(path)]

    def failures(self) -> dict[str, dict[str, str]]:
        """Return, by digest and member, the paths of the failures of versions."""
        found: dict[str, dict[str, str]] = {}
        for digest, state in self.record.record.versions.items():
            for name in sorted(failure_names(state)):
                path = self.paths.below_version(digest, name)
                found.setdefault(digest, {})[name.partition(".")[2]] = path
        return found

    @cached_property
    def record(self) -> RecordFound:
        """The record; use it when everything that it consists of is read."""
        found = self._reads.get(ZnodeKind.RECORD, self.paths.state)
        if isinstance(found, DecisionsFound) and found.error:
            error = f"{self.paths.shown(self.paths.state)}: {found.error}"
            return RecordFound(RolloutRecord(), error, is_newer=found.is_newer)
        if self.is_hidden:
            return RecordFound(RolloutRecord(), self._forbidden(self.paths.base), is_forbidden=True)
        for path in self._necessary():
            if path in self._reads.hidden:
                return RecordFound(RolloutRecord(), self._forbidden(path), is_forbidden=True)
        names = self._reads.names(self.paths.in_flight)
        try:
            record = self._znodes.record(names)
        except RefusedError as error:
            return RecordFound(RolloutRecord(), str(error))
        unknown = dict.fromkeys(set(names) - set(record.in_flight), _NOT_READABLE)
        return RecordFound(replace(record, in_flight={**record.in_flight, **unknown}))

    @cached_property
    def members(self) -> Mapping[str, MemberZnode]:
        """The living members."""
        found: dict[str, MemberZnode] = {}
        for path in self._reads.below(self.paths.members):
            znode = self._reads.get(ZnodeKind.MEMBER, path)
            if znode is Unreadable.FORBIDDEN:
                znode = MemberZnode(error=self._forbidden(path))
            if znode is not None and not znode.is_left_over:
                found[path.rpartition("/")[2]] = znode
        return found

    def status(self, inputs: Mapping[str, object], writes: InputWrites) -> GroupStatus:
        """Return the status; `inputs` are those of its members, and `writes` what is known of them.

        None is an input that does not exist.
        """
        known, queue = self.record, tuple(self._queue())
        restart = self._reads.get(ZnodeKind.RESTART, self.paths.restart)
        return GroupStatus(
            name=self.name,
            base=self.paths.shown(self.paths.base),
            record=replace(known.record, population=self._population),
            members=self.members,
            queue=tuple(member for member, _ in queue),
            queue_paths=tuple(self.paths.shown(path) for _, path in queue),
            writes=writes,
            absent=tuple(sorted(path for path, one in inputs.items() if one is None)),
            restart=restart if isinstance(restart, LastWrite) else None,
            ignored=tuple(self._ignored()),
            failures=self._failures(),
            error=known.error,
            is_forbidden=known.is_forbidden,
            is_newer=known.is_newer,
            exists=self.exists,
        )

    def summary(self) -> GroupSummary:
        """Return what is known without the members."""
        known, paths = self.record, self.paths
        count = self.count(paths.in_flight)
        population = Population(self.count(paths.members))
        record = replace(known.record, population=population, in_flight_count=count)
        return GroupSummary(
            name=self.name,
            base=self.paths.shown(paths.base),
            record=record,
            alive=population.members,
            in_flight=count,
            have_turns=frozenset(self._reads.names(paths.in_flight)),
            waiting=self.count(paths.queue),
            unavailable=self.count(paths.unavailable),
            error=known.error,
            exists=self.exists,
        )

    @property
    def _population(self) -> Population:
        zones: dict[str, int] = {}
        for znode in self.members.values():
            zone = znode.facts.zone if znode.facts else ""
            zones[zone] = zones.get(zone, 0) + 1
        return Population(self.count(self.paths.members), zones)

    def _necessary(self) -> Iterable[str]:
        """The znodes without which the record is not known, and the names of the members."""
        paths = self.paths
        yield from (paths.state, paths.members, paths.in_flight)
        for digest in self.decisions.versions:
            yield from (paths.version(digest), paths.below_version(digest, SUCCEEDED))
        yield from map(paths.entry, self._reads.names(paths.in_flight))

    def _forbidden(self, path: str) -> str:
        return str(self.paths.refusal(path, NoAuthError()))

    @property
    def _znodes(self) -> RecordZnodes:
        """What the record consists of, as a member reads it."""
        paths, reads = self.paths, self._reads
        found: dict[str, Any] = {
            paths.entry(name): self._content(ZnodeKind.ENTRY, paths.entry(name))
            for name in reads.names(paths.in_flight)
        }
        names = {paths.unavailable: reads.names(paths.unavailable)}
        for digest in self.decisions.versions:
            path = paths.version(digest)
            below = paths.below_version(digest, SUCCEEDED)
            found[path] = self._content(ZnodeKind.VERSION, path)
            found[below] = self._content(ZnodeKind.SUCCEEDED, below)
            if isinstance(reads.get(ZnodeKind.NAMES, path), tuple):
                names[path] = reads.names(path)
        for path in (paths.in_flight, paths.members):
            found[path] = (b"", Stat(num_children=self.count(path)))
        return RecordZnodes(paths, "", self.decisions, (), found, names)

    def _content(self, kind: ZnodeKind, path: str) -> tuple[bytes, Stat] | None:
        found = self._reads.get(kind, path)
        return found if isinstance(found, tuple) else None

    def _failures(self) -> dict[str, dict[str, MemberFailure]]:
        found: dict[str, dict[str, MemberFailure]] = {}
        for digest, paths in self.failures().items():
            for member, path in paths.items():
                failure = self._reads.get(ZnodeKind.FAILURE, path)
                if isinstance(failure, MemberFailure):
                    found.setdefault(digest, {})[member] = failure
        return found

    def _queue(self) -> Iterable[tuple[str, str]]:
        """The members that wait, each with its node, in the order of the numbers."""
        nodes = {
            path: number
            for path in self._reads.below(self.paths.queue)
            if (number := queue_number(path.rpartition("/")[2])) is not None
        }
        for path in sorted(nodes, key=nodes.__getitem__):
            node = self._reads.get(ZnodeKind.QUEUE_NODE, path)
            is_known = node is not None and node is not Unreadable.FORBIDDEN
            if is_known and not node.is_left_over:
                yield node.member, path

    def _ignored(self) -> Iterable[IgnoredZnode]:
        """The znodes among those of the members that are not members', sorted by path."""
        paths, reads = self.paths, self._reads
        for path in sorted([*reads.below(paths.members), *reads.below(paths.queue)]):
            parent, _, name = path.rpartition("/")
            kind = ZnodeKind.MEMBER if parent == paths.members else ZnodeKind.QUEUE_NODE
            found = reads.get(kind, path)
            if kind is ZnodeKind.QUEUE_NODE and queue_number(name) is None:
                yield IgnoredZnode(self.paths.shown(path), IgnoreReason.STRANGER)
            elif found not in (None, Unreadable.FORBIDDEN) and found.is_left_over:
                yield IgnoredZnode(self.paths.shown(path), IgnoreReason.LEFT_OVER)
        if reads.get(ZnodeKind.RESTART, paths.restart) is IgnoreReason.NO_REQUEST:
            yield IgnoredZnode(self.paths.shown(paths.restart), IgnoreReason.NO_REQUEST)
