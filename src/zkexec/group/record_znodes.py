"""The znodes of a group's record as they were read, and the record that they are.

What cannot be understood is refused with its path.  Only the entry of another member is left out
then: that member counts as in flight all the same.
"""

from __future__ import annotations

from zkexec.core.rollout.limits import Population
from zkexec.core.rollout.record import EntryPhase, InFlightEntry, RolloutRecord
from zkexec.core.rollout.record_basis import MISSING, RecordBasis, VersionBasis
from zkexec.core.rollout.version_state import VersionState
from zkexec.frozen import frozen, replace
from zkexec.group import record_codec
from zkexec.group.entry_codec import decode_entry
from zkexec.group.version_codec import SUCCEEDED, with_trials
from zkexec.zookeeper.values import Stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import TypeAlias

    from zkexec.group.paths import Paths

    Found: TypeAlias = tuple[bytes, Stat] | None
    """What a znode contains, None if it does not exist."""


def decisions_in(paths: Paths, found: Found) -> RolloutRecord:
    """Return the decisions, as far as the znode `state` contains them."""
    if found is None:
        return RolloutRecord()
    content, stat = found
    try:
        return record_codec.decode(content).clamped_to(stat.mzxid)
    except ValueError as error:
        raise paths.unreadable(paths.state, error) from None


@frozen()
class RecordZnodes:
    """What was read of them: by path, what they contain, and the names of their children.

    `member` is the one that reads, "" for none.  `zones` are those whose members are counted.
    Children are listed only if they are not clear from the number of them, see `is_clear`.
    """

    paths: Paths
    member: str
    decisions: RolloutRecord
    zones: Collection[str]
    found: Mapping[str, Found]
    names: Mapping[str, Collection[str]]

    def record(self, in_flight: Collection[str]) -> RolloutRecord:
        """Return the record with the entries of these members."""
        entries = self._entries(in_flight)
        versions = {
            digest: self._version(digest, state)
            for digest, state in self.decisions.versions.items()
        }
        zones = {zone: self.count(self.paths.zone(zone)) for zone in self.zones}
        return replace(
            self.decisions,
            in_flight=entries,
            versions=_with_failures(versions, entries),
            in_flight_count=self.count(self.paths.in_flight),
            population=Population(self.count(self.paths.members), zones),
            unavailable=frozenset(self.names.get(self.paths.unavailable, ())),
        )

    def basis(self, in_flight: Collection[str]) -> RecordBasis:
        """Return the versions of the znodes of that record.

        A version's znode without a decision about it is among them: it is left over.
        """
        entries = {
            name: self._stat(self.paths.entry(name)).version for name in self._entries(in_flight)
        }
        state = self.found[self.paths.state]
        return RecordBasis(
            MISSING if state is None else state[1].version,
            entries,
            {
                path.rpartition("/")[2]: VersionBasis(
                    self._stat(path).version, self._children(path)
                )
                for path in self.versions
                if self.found[path] is not None
            },
        )

    @property
    def versions(self) -> list[str]:
        """The paths of the versions of which something was read."""
        return [path for path in self.found if path.rpartition("/")[0] == self.paths.versions]

    def is_clear(self, path: str) -> bool:
        """Whether the names of a version's children are known by their number."""
        count = self.count(path)
        return not count or (count == 1 and self.found[f"{path}/{SUCCEEDED}"] is not None)

    def _children(self, path: str) -> tuple[str, ...]:
        if path in self.names:
            return tuple(sorted(self.names[path]))
        return (SUCCEEDED,) if self.count(path) else ()

    def _version(self, digest: str, decided: VersionState) -> VersionState:
        path = self.paths.version(digest)
        found = self.found[path]
        if found is None:
            return decided
        succeeded = self._stat(f"{path}/{SUCCEEDED}").version
        try:
            return with_trials(decided, found[0], self._children(path), succeeded)
        except ValueError as error:
            raise self.paths.unreadable(path, error) from None

    def _entries(self, in_flight: Collection[str]) -> dict[str, InFlightEntry]:
        entries = {}
        for name in sorted(in_flight):
            path = self.paths.entry(name)
            found = self.found.get(path)
            if found is None:
                continue
            content, stat = found
            try:
                entries[name] = decode_entry(content, stat.mzxid)
            except ValueError as error:
                if name == self.member:
                    raise self.paths.unreadable(path, error) from None
        return entries

    def _stat(self, path: str) -> Stat:
        found = self.found.get(path)
        return Stat() if found is None else found[1]

    def count(self, path: str) -> int:
        """Return how many children a znode has; 0 if it does not exist."""
        return self._stat(path).num_children


def _with_failures(
    versions: Mapping[str, VersionState], in_flight: Mapping[str, InFlightEntry]
) -> dict[str, VersionState]:
    """Add the versions that are known as failed only by the entries of members in flight."""
    unknown: dict[str, list[str]] = {}
    for name, entry in in_flight.items():
        if entry.phase is EntryPhase.FAILED and entry.digest not in versions:
            unknown.setdefault(entry.digest, []).append(name)
    added = {}
    for digest, names in unknown.items():
        newest = max((in_flight[name] for name in names), key=lambda entry: entry.zxid)
        added[digest] = VersionState(
            newest.zxid,
            "",
            failed_by=tuple(names),
            reason="the record does not say why",
            at=newest.since,
        )
    return {**versions, **added}
