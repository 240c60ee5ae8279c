"""The record of a group as an observer at the leader reads it, kept up to date commit by commit.

It contains the entries of all members in flight, whereas a member knows only its own one.
"""

from collections.abc import Mapping

from simulation.group.group_znodes import (
    BASE,
    IN_FLIGHT,
    MEMBERS,
    STATE,
    UNAVAILABLE,
    VERSIONS,
    ZONES,
    decoded_entry,
    decoded_record,
)
from simulation.servers.znodes import Transaction, ZnodeTree
from zkexec.core.rollout.limits import Population
from zkexec.core.rollout.record import InFlightEntry, RolloutRecord
from zkexec.core.rollout.record_basis import MISSING, RecordBasis, VersionBasis
from zkexec.core.rollout.version_state import VersionState
from zkexec.frozen import replace
from zkexec.group.version_codec import SUCCEEDED, with_trials


class ObservedRecord:
    """What all znodes of the group are as one record, at the moment of the last commit."""

    def __init__(self, tree: ZnodeTree) -> None:
        """Read everything that there is."""
        self._tree = tree
        self._entries: dict[str, InFlightEntry] = {}
        for path in tree.children.get(IN_FLIGHT, ()):
            self._read_entry(path)
        self._decisions = self._read_decisions()
        self._versions: dict[str, VersionState] = {}
        self._read_versions(self._decisions.versions)
        self.record = self._whole(self._entries)

    def take(self, transaction: Transaction) -> bool:
        """Take in a commit; return whether it has changed what members write into the record.

        Only a record that was there before and after can be changed.
        """
        is_decided, is_counted = STATE in transaction.replaced, False
        entries, digests = set[str](), set[str]()
        for path in transaction.replaced:
            if path.startswith(IN_FLIGHT):
                entries.add(path)
            elif path.startswith(VERSIONS):
                digests.add(path.removeprefix(VERSIONS).partition("/")[0])
            else:
                is_counted |= path.startswith((MEMBERS, UNAVAILABLE, ZONES))
        if not (is_decided or is_counted or entries or digests):
            return False
        if entries:
            self._entries = dict(self._entries)
            for path in entries:
                self._read_entry(path)
        if is_decided:
            self._decisions = self._read_decisions()
        self._read_versions(self._decisions.versions if is_decided else digests)
        self.record = self._whole(self._entries)
        existed = not is_decided or transaction.replaced[STATE] is not None
        return existed and self.exists and (is_decided or bool(entries or digests))

    @property
    def exists(self) -> bool:
        """Whether there are any decisions."""
        return STATE in self._tree.nodes

    @property
    def basis(self) -> RecordBasis:
        """The versions of all znodes of the record."""
        nodes, digests = self._tree.nodes, self._tree.names_below(VERSIONS.rstrip("/"))
        state = nodes.get(STATE)
        return RecordBasis(
            MISSING if state is None else state.version,
            {name: nodes[IN_FLIGHT + name].version for name in self._entries},
            {
                digest: VersionBasis(
                    nodes[VERSIONS + digest].version,
                    tuple(sorted(self._tree.names_below(VERSIONS + digest))),
                )
                for digest in digests
            },
        )

    def _whole(self, entries: Mapping[str, InFlightEntry]) -> RolloutRecord:
        names_below = self._tree.names_below
        zones = {zone: len(names_below(ZONES + zone)) for zone in names_below(f"{BASE}/zones")}
        members = len(self._tree.children.get(MEMBERS, ()))
        return replace(
            self._decisions,
            in_flight=entries,
            versions=self._versions,
            in_flight_count=len(entries),
            population=Population(members, zones),
            unavailable=frozenset(names_below(f"{BASE}/unavailable")),
        )

    def _read_decisions(self) -> RolloutRecord:
        node = self._tree.nodes.get(STATE)
        if node is None:
            return RolloutRecord()
        return decoded_record(node.content).clamped_to(node.mzxid)

    def _read_entry(self, path: str) -> None:
        node, name = self._tree.nodes.get(path), path.removeprefix(IN_FLIGHT)
        if node is None:
            self._entries.pop(name, None)
        else:
            self._entries[name] = decoded_entry(node.content, node.mzxid)

    def _read_versions(self, digests: object) -> None:
        """Complete the decisions about the versions; read again what is known of these ones."""
        known, decided = self._versions, self._decisions.versions
        assert isinstance(digests, set | Mapping), "they are digests"
        self._versions = {
            digest: self._version(digest, state)
            if digest in digests or digest not in known
            else known[digest]
            for digest, state in decided.items()
        }

    def _version(self, digest: str, decided: VersionState) -> VersionState:
        path, nodes = VERSIONS + digest, self._tree.nodes
        if path not in nodes:
            return decided
        succeeded = nodes.get(f"{path}/{SUCCEEDED}")
        count = 0 if succeeded is None else succeeded.version
        return with_trials(decided, nodes[path].content, self._tree.names_below(path), count)
