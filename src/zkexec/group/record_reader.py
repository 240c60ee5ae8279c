"""Read the record of a group from its znodes, with the watches that a member wants.

The decisions and the number of members in flight are of one moment.  The rest may be a little
newer: a commit is checked against the version of each znode that it depends on.  On servers before
3.6 the number is read after the decisions.  A member is only added to those in flight together
with a decision, so the number can only be too high.
"""

from __future__ import annotations

from typing import Any

from zkexec.core.rollout.group_actions import ReadRecord, Watch
from zkexec.core.rollout.group_events import GroupPart, RecordRead
from zkexec.group.paths import is_left_over
from zkexec.group.record_znodes import RecordZnodes, decisions_in
from zkexec.group.version_codec import SUCCEEDED
from zkexec.zookeeper.errors import NoAuthError, NoNodeError, RefusedError
from zkexec.zookeeper.requests import Children, Exists, Get, Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
    from typing import TypeAlias

    from zkexec.core.rollout.record import RolloutRecord
    from zkexec.group.bulk_read import BulkRead
    from zkexec.group.paths import Paths
    from zkexec.group.record_znodes import Found

    Reading: TypeAlias = Generator[Any, Any, Any]
    WatchRequest: TypeAlias = Children | Get | Exists

MOST_SURVEYED_AT_ONCE = 50
"""So many members are surveyed by the same request that reads the decisions."""

_TRIES = 20


class RecordReader:
    """Reads a group's record on one connection, and knows which of its watches are set."""

    def __init__(self, paths: Paths, member: str, bulk_read: BulkRead) -> None:
        """`member` is the one whose entry is always read; "" for none."""
        self._paths = paths
        self._member = member
        self._bulk_read = bulk_read
        self._watched: set[str] = set()
        self._names_in_flight: Sequence[str] | None = None
        """Which members are in flight, as long as a watch would have reported another one."""
        self._digests: frozenset[str] = frozenset()
        """The versions that the next read expects in the decisions."""

    def fired(self, path: str) -> None:
        """Note that a watch has fired."""
        self._watched.discard(path)
        if path == self._paths.in_flight:
            self._names_in_flight = None

    def expect(self, digests: Collection[str]) -> None:
        """Read these versions next time: the decisions may contain them by then."""
        self._digests |= frozenset(digests)

    def read(self, request: ReadRecord) -> Reading:
        """Read the record → RecordRead."""
        try:
            return (yield from self._read(request))
        except BaseException:
            # An error leaves open which watches are set, and to set one twice does no harm.
            self._watched.clear()
            self._names_in_flight = None
            raise

    def _read(self, request: ReadRecord) -> Reading:
        state = self._paths.state
        for _ in range(_TRIES):
            digests, surveyed = self._digests | request.digests, self._surveyed_at_once(request)
            found = yield from self._read_at_once(request, digests, surveyed)
            alive = {name for name in surveyed if _is_alive(found.pop(self._paths.member(name)))}
            found = self._demand_all(found)
            decisions = decisions_in(self._paths, found[state])
            self._digests = frozenset(decisions.versions)
            if missing := self._digests - digests:
                _, further = yield from self._bulk_read.at_once(
                    [state, *self._version_paths(missing)]
                )
                further = self._demand_all(further)
                if _version_of(further.pop(state)) != _version_of(found[state]):
                    continue
                found |= further
            survey = (surveyed, alive) if self._is_complete(surveyed, found) else None
            return (yield from self._read_beside(request, found, decisions, survey))
        path = self._paths.shown(state)
        raise RefusedError(f"{path}: was changed during each of {_TRIES} attempts to read it")

    # At one moment: decisions, numbers, and what is known of the versions.

    def _read_at_once(
        self, request: ReadRecord, digests: Iterable[str], surveyed: Sequence[str]
    ) -> Reading:
        paths = self._paths
        wanted = [paths.state, paths.in_flight, paths.unavailable, paths.members]
        wanted += map(paths.entry, sorted({*surveyed, self._member} - {""}))
        wanted += map(paths.member, surveyed)
        wanted += [paths.zone(zone) for zone in sorted(request.zones)]
        wanted += self._version_paths(digests)
        watching = self._watching(request.watch)
        while True:
            outcomes, found = yield from self._bulk_read.at_once(wanted, watching)
            pairs = list(zip(watching, outcomes, strict=True))
            watching = [each for pair in pairs if (each := self._again(*pair)) is not None]
            self._take_names(pairs)
            if not watching:
                return found

    def _surveyed_at_once(self, request: ReadRecord) -> Sequence[str]:
        """Return the members in flight, if they are to be surveyed, few, and known by a watch."""
        names = self._names_in_flight if request.survey else None
        return names if names is not None and len(names) <= MOST_SURVEYED_AT_ONCE else ()

    def _is_complete(self, surveyed: Sequence[str], found: Mapping[str, Found]) -> bool:
        """Whether these are all members in flight: the event of a watch can be lost."""
        entries = [found[self._paths.entry(name)] for name in surveyed]
        in_flight = found[self._paths.in_flight]
        count = 0 if in_flight is None else in_flight[1].num_children
        is_complete = count == len(entries) and None not in entries
        if surveyed and not is_complete:
            self._names_in_flight = None
        return bool(surveyed) and is_complete

    def _take_names(self, pairs: Iterable[tuple[WatchRequest, Any]]) -> None:
        """Remember which members are in flight, if the request for their names has set a watch."""
        for request, outcome in pairs:
            is_listed = isinstance(request, Children) and isinstance(outcome, tuple)
            if is_listed and request.path == self._paths.in_flight in self._watched:
                self._names_in_flight = outcome[0]

    def _version_paths(self, digests: Iterable[str]) -> list[str]:
        paths = self._paths
        return [
            path
            for digest in sorted(digests)
            for path in (paths.version(digest), paths.below_version(digest, SUCCEEDED))
        ]

    def _watching(self, watch: Watch) -> list[WatchRequest]:
        """Make the requests for the watches that are wanted and not set."""
        paths = self._paths
        wanted: list[WatchRequest] = []
        if watch in (Watch.ROOM, Watch.BOTH):
            wanted.append(Children(paths.in_flight, GroupPart.IN_FLIGHT))
        if watch in (Watch.DECISIONS, Watch.BOTH):
            wanted.append(Get(paths.state, GroupPart.RECORD))
        unset = [each for each in wanted if each.path not in self._watched]
        self._watched.update(each.path for each in unset)
        return unset

    def _again(self, request: WatchRequest, outcome: Any) -> WatchRequest | None:  # noqa: ANN401 -- of any of them
        """Return another request for a watch that was not set, None if it was.

        Some set no watch on what does not exist, and the one that does, none on the children of
        what was made meanwhile.
        """
        path, watch = request.path, request.watch
        if isinstance(request, Exists):
            is_made = self._paths.demand(path, outcome) is not None
            return Children(path, watch) if is_made and path == self._paths.in_flight else None
        if isinstance(outcome, NoNodeError):
            return Exists(path, watch)
        self._paths.demand(path, outcome)
        return None

    def _demand_all(self, found: Mapping[str, Any]) -> dict[str, Found]:
        return {
            path: None if isinstance(outcome, NoNodeError) else self._paths.demand(path, outcome)
            for path, outcome in found.items()
        }

    # Beside that: names, living members, entries.

    def _read_beside(
        self,
        request: ReadRecord,
        found: Mapping[str, Found],
        decisions: RolloutRecord,
        survey: tuple[Sequence[str], set[str]] | None,
    ) -> Reading:
        """Read the rest; `survey` has the members in flight, and the living ones, if known."""
        paths = self._paths

        def read(found: Mapping[str, Found], names: Mapping[str, Sequence[str]]) -> RecordZnodes:
            return RecordZnodes(paths, self._member, decisions, request.zones, found, names)

        must_survey = request.survey and survey is None
        lists = self._lists(request, read(found, {}), must_survey=must_survey)
        requesters = _requesters(decisions) if request.limits else []
        asking: list[Request] = [*lists, *(Exists(paths.member(name)) for name in requesters)]
        outcomes = (yield asking) if asking else []
        names = {
            each.path: self._names(each.path, outcome)
            for each, outcome in zip(lists, outcomes, strict=False)
        }
        living = zip(requesters, outcomes[len(lists) :], strict=True)
        alive = {name for name, outcome in living if _is_alive(outcome)}
        in_flight = {self._member} - {""}
        if survey is not None:
            in_flight, alive = in_flight | set(survey[0]), alive | survey[1]
        if must_survey:
            in_flight = set(names[paths.in_flight])
            entries, others = yield from self._survey(sorted(in_flight))
            found, alive = {**found, **entries}, alive | others
        znodes = read(found, names)
        return RecordRead(
            request.number, znodes.record(in_flight), znodes.basis(in_flight), frozenset(alive)
        )

    def _lists(
        self, request: ReadRecord, znodes: RecordZnodes, *, must_survey: bool
    ) -> list[Children]:
        """Make the requests for the names that are needed, and not clear from their number."""
        paths = self._paths
        lists = [Children(path) for path in znodes.versions if not znodes.is_clear(path)]
        if znodes.count(paths.unavailable):
            lists.append(self._listing_unavailable(request.watch))
        return [*lists, Children(paths.in_flight)] if must_survey else lists

    def _listing_unavailable(self, watch: Watch) -> Children:
        """Make the request for the names of the unavailable members, and watch if wanted."""
        path = self._paths.unavailable
        if watch not in (Watch.ROOM, Watch.BOTH) or path in self._watched:
            return Children(path)
        self._watched.add(path)
        return Children(path, GroupPart.IN_FLIGHT)

    def _names(self, path: str, outcome: Any) -> tuple[str, ...]:  # noqa: ANN401 -- of Children
        if isinstance(outcome, NoNodeError):
            self._watched.discard(path)
            return ()
        names: tuple[str, ...] = self._paths.demand(path, outcome)[0]
        return names

    def _survey(self, names: Sequence[str]) -> Reading:
        """Read the entries of these members, and which of them are alive."""
        paths = self._paths
        found = yield from self._bulk_read.in_parts(
            [path for name in names for path in (paths.entry(name), paths.member(name))]
        )
        entries = self._demand_all({path: found[path] for path in map(paths.entry, names)})
        return entries, {name for name in names if _is_alive(found[paths.member(name)])}


def _requesters(decisions: RolloutRecord) -> list[str]:
    """Return the members that requested the present limits."""
    limits = (decisions.max_unavailable, decisions.max_failed)
    return sorted({known.by for known in limits if known is not None})


def _is_alive(outcome: Any) -> bool:  # noqa: ANN401 -- an outcome of Get or Exists
    """Whether a member's node belongs to a session.

    One that may not be read exists as well, but nothing is known of it.
    """
    if isinstance(outcome, Exception):
        return isinstance(outcome, NoAuthError)
    stat = outcome[1] if isinstance(outcome, tuple) else outcome
    return stat is not None and not is_left_over(stat)


def _version_of(found: Found) -> int | None:
    return None if found is None else found[1].version
