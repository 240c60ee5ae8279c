"""Delete the znodes of a group without members, in steps of which each may be the last.

The rules of this file:

- One transaction deletes `members`, `in_flight` and `state`.  A server refuses it if there is a
  child below the first two, so no group with a member or a turn loses anything.  After it the group
  does not exist.
- Each later transaction also makes `members`, and deletes it again.  It fails as soon as a member
  has made the group anew; what is left is then part of the new group, and stays.
- `unavailable` goes last, with the znode of the group itself.  So what an attempt leaves that was
  cut off is recognised, and another attempt finishes it.
- The znode of the group itself may be one that only another identity can delete, because that one
  has made the znode above it.  Then it is left: without the others it is no group.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from zkexec.core.rollout.record import RolloutRecord
from zkexec.ctl.history.history_paths import HistoryPaths
from zkexec.frozen import frozen
from zkexec.group.paths import Paths, is_left_over
from zkexec.group.record_znodes import decisions_in
from zkexec.znode_paths import check_zk_path
from zkexec.zookeeper.errors import (
    BadVersionError,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RefusedError,
)
from zkexec.zookeeper.requests import (
    Children,
    Create,
    Delete,
    Dialogue,
    Get,
    Operation,
    Transaction,
    first_error,
)
from zkexec.zookeeper.values import OPEN_ACL, Stat

_BATCH = 500
_HAS_CHANGED = (BadVersionError, NodeExistsError, NoNodeError, NotEmptyError)


@frozen()
class GroupZnodesFound:
    """What there is of a group: the znodes of its own by their whole paths, and its record.

    `others` are znodes below the group's path that are not its own, as of another group.  `base` is
    the znode of the group itself.  `error` is why the record cannot be read.
    """

    paths: Paths
    znodes: Mapping[str, Stat]
    others: Sequence[str]
    base: Stat
    record: RolloutRecord
    error: str = ""

    @property
    def is_group(self) -> bool:
        """Whether these are the znodes of a group, or what is left of one."""
        names = {path.removeprefix(f"{self.paths.base}/") for path in self.znodes}
        is_whole = {"state", "members"} <= names
        is_left = "unavailable" in names and not self.others and not self.has_content
        return is_whole or is_left

    @property
    def is_begun(self) -> bool:
        """Whether anything is left of what makes it a group."""
        paths = self.paths
        return not {paths.state, paths.members, paths.in_flight}.isdisjoint(self.znodes)

    @property
    def has_content(self) -> bool:
        """Whether the znode of the group itself has a content, so that it has another purpose."""
        return bool(self.base.data_length)

    @property
    def members(self) -> list[str]:
        """The living members."""
        return self._names(self.paths.members, only_alive=True)

    @property
    def in_flight(self) -> list[str]:
        """The members with a turn."""
        return self._names(self.paths.in_flight, only_alive=False)

    @property
    def of_sessions(self) -> list[str]:
        """The znodes of living sessions that are no members, as the operator knows them."""
        above = f"{self.paths.members}/"
        return sorted(
            self.paths.shown(path)
            for path, stat in self.znodes.items()
            if not is_left_over(stat) and not path.startswith(above)
        )

    def _names(self, above: str, *, only_alive: bool) -> list[str]:
        return sorted(
            path.rpartition("/")[2]
            for path, stat in self.znodes.items()
            if path.rpartition("/")[0] == above and not (only_alive and is_left_over(stat))
        )


class GroupDeletion:
    """The dialogues that delete one group."""

    def __init__(self, paths: Paths) -> None:
        """`paths` are those of the group."""
        self._paths = paths
        self._errors = HistoryPaths(paths)
        self.may_not_delete_base = False
        """Whether the znode of the group itself is left, because a permission is missing."""

    def survey(self) -> Dialogue:
        """Find the znodes of the group → GroupZnodesFound, None if there is nothing at its path."""
        paths, request = self._paths, Children(self._paths.base)
        (found,) = yield [request]
        if isinstance(found, NoNodeError):
            return None
        names, base = self._errors.demand(request, found)
        own = sorted(path for path in paths.parts if path.rpartition("/")[2] in names)
        others = [name for name in names if f"{paths.base}/{name}" not in paths.parts]
        # The record first: if it is the same when it is deleted, no operator has changed it.
        (content,) = yield [Get(paths.state)]
        znodes = yield from self._below(own)
        record, error = RolloutRecord(), ""
        try:
            if not isinstance(content, NoNodeError):
                record = decisions_in(paths, self._errors.demand(Get(paths.state), content))
        except RefusedError as refused:
            error = str(refused)
        return GroupZnodesFound(paths, znodes, sorted(others), base, record, error)

    def _below(self, level: Sequence[str]) -> Dialogue:
        """List these znodes and all below them → the Stat of each."""
        znodes: dict[str, Stat] = {}
        while level:
            deeper: list[str] = []
            for batch in _batches(level):
                requests = [Children(path) for path in batch]
                outcomes = yield requests
                for request, outcome in zip(requests, outcomes, strict=True):
                    if isinstance(outcome, NoNodeError):
                        continue
                    names, znodes[request.path] = self._errors.demand(request, outcome)
                    deeper += [f"{request.path}/{self._checked(name)}" for name in names]
            level = deeper
        return znodes

    def _checked(self, name: str) -> str:
        """Return a name that the server has listed, if it can be part of a path."""
        try:
            is_part = bool(name) and "/" not in check_zk_path(f"/{name}")[1:]
        except ValueError:
            is_part = False
        if not is_part:
            shown = self._paths.shown(self._paths.base)
            raise RefusedError(f"{shown}: the server has listed an impossible name")
        return name

    def end(self, found: GroupZnodesFound) -> Dialogue:
        """Delete what makes it a group → False if something has changed since."""
        paths = self._paths
        below = [path for path in found.znodes if path.startswith(f"{paths.members}/")]
        ends = [paths.state, paths.members, paths.in_flight]
        there = [path for path in (*_deepest_first(below), *ends) if path in found.znodes]
        operations = [Delete(path, found.znodes[path].version) for path in there]
        return (yield from self._write(operations)) if operations else True

    def remove(self, paths: Sequence[str]) -> Dialogue:
        """Delete these znodes of what was a group → False if something has changed since."""
        guard: list[Operation] = [
            Create(self._paths.members, b"", OPEN_ACL),
            Delete(self._paths.members),
        ]
        is_done = yield from self._write([*guard, *map(Delete, paths)])
        if self.may_not_delete_base and not is_done:
            rest = [path for path in paths if path != self._paths.base]
            return (yield from self._write([*guard, *map(Delete, rest)])) if rest else True
        return is_done

    def _write(self, operations: Sequence[Operation]) -> Dialogue:
        (outcome,) = yield [Transaction(operations)]
        refused = first_error(self._paths.demand(operations[0].path, outcome))
        if refused is None:
            return True
        index, error = refused
        if isinstance(error, NoAuthError) and operations[index] == Delete(self._paths.base):
            self.may_not_delete_base = True
            return False
        if isinstance(error, _HAS_CHANGED):
            return False
        raise self._errors.refusal(operations[index], error)


def removals(found: GroupZnodesFound) -> Iterator[list[str]]:
    """Give what is left after the end of a group, in batches, in the order of the deletion."""
    paths = found.paths
    ended = {paths.state, paths.members, paths.in_flight}
    last = [paths.unavailable] if paths.unavailable in found.znodes else []
    if not (found.others or found.has_content):
        last.append(paths.base)
    rest = [
        path
        for path in found.znodes
        if path not in ended
        and path != paths.unavailable
        and not path.startswith((f"{paths.members}/", f"{paths.in_flight}/"))
    ]
    yield from _batches(_deepest_first(rest))
    if last:
        yield last


def _deepest_first(paths: Sequence[str]) -> list[str]:
    return sorted(paths, key=lambda path: (-path.count("/"), path))


def _batches(paths: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(paths)
    while batch := list(islice(rest, _BATCH)):
        yield batch
