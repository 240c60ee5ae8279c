"""One look at groups: what of their znodes has to be read, and what it is when it was read.

The rules of this file:

- Each thing that is looked at has a key.  What is known under its key already is not read.
- All that can be asked for at once is asked for at once: a group is read in three rounds, and
  many groups in as many.
- What cannot be read or understood is part of the sight.  Nothing that stands in a znode is an
  error here.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

from zkexec.cli.converters import HISTORY
from zkexec.core.inputs import restart_name
from zkexec.core.rollout.queue_position import is_queue_node, sequence_of
from zkexec.core.rollout.record import RolloutRecord
from zkexec.frozen import frozen, replace
from zkexec.group import record_codec
from zkexec.group.json_fields import NewerFormatError
from zkexec.group.member_codec import decode_status
from zkexec.group.store import Paths, is_left_over
from zkexec.operator.aims import Seen, Stray, StrayKind, Written
from zkexec.operator.sight import Sight
from zkexec.text import in_letters
from zkexec.znode_paths import RESTART, check_zk_path, group_path
from zkexec.zookeeper.errors import NoAuthError, NoNodeError
from zkexec.zookeeper.requests import Children, Dialogue, Exists, Get, Request
from zkexec.zookeeper.values import Stat

ROOT = "/zkexec"
"""Below it are the groups whose names do not begin with a slash."""

_OF_A_GROUP = frozenset({"state", "members", "queue", RESTART})
_BATCH = 500


class Kind(Enum):
    """What is read of a znode."""

    RECORD = "record"
    NAMES = "names of its children"
    CARD = "status"
    PLACE = "who waits"
    WRITE = "newest write"
    REQUEST = "newest request of an operator"


@frozen()
class Key:
    """One thing to look at; the path is the whole one."""

    kind: Kind
    path: str


class _Forbidden(Enum):
    NAMES = "nobody tells the names"
    WRITE = "nobody tells whether it is there"


@frozen()
class _Record:
    rollout: RolloutRecord
    trouble: str = ""
    forbidden: bool = False
    is_newer: bool = False


@frozen()
class _Place:
    """Who waits in the queue; nobody where the node `is_left_over`, None where that is hidden."""

    member: str | None = None
    is_left_over: bool = False


class Glance:
    """One look at some groups, on one connection; `found` is all that it went by."""

    def __init__(self, chroot: str, known: Mapping[Key, Any], *, watching: bool) -> None:
        """`known` need not be read again; `watching` sets a watch for each key, named by it."""
        self.found: dict[Key, Any] = {}
        self._chroot = chroot
        self._known = known
        self._is_watching = watching

    def groups(self, lock: str) -> Dialogue:
        """The names of the groups by the paths below which they are."""
        if lock:
            return {self._chroot + group_path(lock): lock}
        root = self._chroot + ROOT
        groups = {}
        level = [root]
        while level:
            yield from self._fetch(Key(Kind.NAMES, path) for path in level)
            deeper = []
            for path in level:
                names = set(self._names(path))
                if path != root and {"state", "members"} <= names:
                    groups[path] = path.removeprefix(f"{root}/")
                    names -= _OF_A_GROUP
                deeper += [f"{path}/{name}" for name in names]
            level = [path for path in deeper if path != self._chroot + HISTORY]
        return groups

    def members(self, bases: Iterable[str]) -> Dialogue:
        """Read all that there is of these groups."""
        groups = [Paths("", base) for base in bases]
        yield from self._fetch(
            key
            for paths in groups
            for key in (
                Key(Kind.RECORD, paths.state),
                Key(Kind.NAMES, paths.members),
                Key(Kind.NAMES, paths.queue),
                Key(Kind.REQUEST, paths.restart),
            )
        )
        yield from self._fetch(key for paths in groups for key in self._nodes(paths))
        mirrored = {p for paths in groups for seen in self._cards(paths) for p in _paths(seen)}
        yield from self._fetch(Key(Kind.WRITE, self._whole(path)) for path in sorted(mirrored))
        return None

    def sight(self, base: str, name: str) -> Sight:
        """What was found of a group."""
        paths = Paths("", base)
        known = self.found.get(Key(Kind.RECORD, paths.state))
        members = self.found.get(Key(Kind.NAMES, paths.members))
        found = known or _Record(RolloutRecord())
        if members is _Forbidden.NAMES:
            found = self._forbidden(paths.members)
        statuses = {
            path: self.found.get(Key(Kind.CARD, path)) for path in self._below(paths.members)
        }
        return Sight(
            name=name,
            base=base.removeprefix(self._chroot),
            record=found.rollout,
            members={
                path.rpartition("/")[2]: seen
                for path, seen in statuses.items()
                if seen and not seen.is_left_over
            },
            queue=tuple(member for member, _ in self._queue(paths)),
            tickets=tuple(self._shown(path) for _, path in self._queue(paths)),
            znodes=dict(self._writes(statuses.values())),
            absent=tuple(self._absent(statuses.values())),
            restart=self._request_in(paths),
            strays=tuple(self._strays(paths)),
            trouble=found.trouble,
            forbidden=found.forbidden,
            is_newer=found.is_newer,
            exists=known is not None or members is not None,
        )

    def _fetch(self, keys: Iterable[Key]) -> Dialogue:
        asked = [key for key in dict.fromkeys(keys) if not self._recall(key)]
        while asked:
            absent: list[Key] = []
            for first in range(0, len(asked), _BATCH):
                batch = asked[first : first + _BATCH]
                outcomes = yield [self._request(key) for key in batch]
                pairs = zip(batch, outcomes, strict=True)
                absent += [key for key, outcome in pairs if not self._take(key, outcome)]
            asked = yield from self._await(absent)
        return None

    def _recall(self, key: Key) -> bool:
        if key in self._known:
            self.found[key] = self._known[key]
        return key in self.found

    def _request(self, key: Key) -> Request:
        watch = key if self._is_watching else None
        match key.kind:
            case Kind.NAMES:
                return Children(key.path, watch)
            case Kind.WRITE:
                return Exists(key.path, watch)
            case Kind.PLACE:
                # Nobody changes it.
                return Get(key.path)
            case Kind.RECORD | Kind.CARD | Kind.REQUEST:
                return Get(key.path, watch)

    def _await(self, absent: Sequence[Key]) -> Dialogue:
        """Be told when these come; return those that have come already.

        A read of what is not there arms no watch.
        """
        self.found.update(dict.fromkeys(absent))
        if not absent or not self._is_watching:
            return []
        outcomes = yield [Exists(key.path, key) for key in absent]
        come = [key for key, stat in zip(absent, outcomes, strict=True) if _is_there(stat)]
        return come

    def _take(self, key: Key, outcome: Any) -> bool:  # noqa: ANN401 -- as each request has it
        """Keep what was found; False where there is nothing, and nobody would tell of its coming.

        Members and places are missed without that: the names of all of them are watched.
        """
        if isinstance(outcome, NoNodeError):
            return key.kind in (Kind.CARD, Kind.PLACE)
        if isinstance(outcome, NoAuthError):
            self.found[key] = self._unreadable(key)
        elif isinstance(outcome, Exception):
            raise Paths(self._chroot, "").refusal(key.path, outcome)
        else:
            self.found[key] = self._understood(key, outcome)
        return True

    def _understood(self, key: Key, outcome: Any) -> object:  # noqa: ANN401 -- the same
        match key.kind:
            case Kind.RECORD:
                return self._record(key.path, outcome[0], outcome[1].mzxid)
            case Kind.NAMES:
                return outcome[0]
            case Kind.CARD:
                return _seen(*outcome)
            case Kind.PLACE:
                content, stat = outcome
                return _Place(in_letters(content), is_left_over(stat))
            case Kind.WRITE:
                return outcome and _written(outcome)
            case Kind.REQUEST:
                return _request(*outcome)

    def _unreadable(self, key: Key) -> object:
        match key.kind:
            case Kind.RECORD:
                return self._forbidden(key.path)
            case Kind.NAMES:
                return _Forbidden.NAMES
            case Kind.CARD:
                return Seen(trouble=self._forbidden(key.path).trouble)
            case Kind.PLACE:
                return _Place()
            case Kind.WRITE:
                return _Forbidden.WRITE
            case Kind.REQUEST:
                return None

    def _forbidden(self, path: str) -> _Record:
        refusal = Paths(self._chroot, "").refusal(path, NoAuthError())
        return _Record(RolloutRecord(), str(refusal), forbidden=True)

    def _record(self, path: str, content: bytes, zxid: int) -> _Record:
        try:
            return _Record(record_codec.decode(content).clamped_to(zxid))
        except ValueError as error:
            trouble = f"{self._shown(path)}: {error}"
            return _Record(RolloutRecord(), trouble, is_newer=isinstance(error, NewerFormatError))

    def _names(self, path: str) -> tuple[str, ...]:
        found = self.found.get(Key(Kind.NAMES, path))
        return found if isinstance(found, tuple) else ()

    def _below(self, path: str) -> list[str]:
        return [f"{path}/{name}" for name in self._names(path)]

    def _nodes(self, paths: Paths) -> Iterable[Key]:
        yield from (Key(Kind.CARD, path) for path in self._below(paths.members))
        names = filter(is_queue_node, self._names(paths.queue))
        yield from (Key(Kind.PLACE, f"{paths.queue}/{name}") for name in names)

    def _cards(self, paths: Paths) -> Iterable[Seen]:
        found = (self.found.get(Key(Kind.CARD, path)) for path in self._below(paths.members))
        return (seen for seen in found if seen and not seen.is_left_over)

    def _queue(self, paths: Paths) -> Iterable[tuple[str, str]]:
        """Who waits, with the node, in the order of the numbers that the ensemble has given."""
        for name in sorted(filter(is_queue_node, self._names(paths.queue)), key=sequence_of):
            path = f"{paths.queue}/{name}"
            place = self.found.get(Key(Kind.PLACE, path))
            if place is not None and place.member is not None and not place.is_left_over:
                yield place.member, path

    def _request_in(self, paths: Paths) -> Written | None:
        found = self.found.get(Key(Kind.REQUEST, paths.restart))
        return found if isinstance(found, Written) else None

    def _strays(self, paths: Paths) -> Iterable[Stray]:
        """What is in the places of members and is none of theirs, sorted by path; then the rest."""
        for path in sorted([*self._below(paths.members), *self._below(paths.queue)]):
            parent, _, name = path.rpartition("/")
            kind = Kind.CARD if parent == paths.members else Kind.PLACE
            found = self.found.get(Key(kind, path))
            if kind is Kind.PLACE and not is_queue_node(name):
                yield Stray(self._shown(path), StrayKind.STRANGER)
            elif found is not None and found.is_left_over:
                yield Stray(self._shown(path), StrayKind.LEFT_OVER)
        if self.found.get(Key(Kind.REQUEST, paths.restart)) is StrayKind.NO_REQUEST:
            yield Stray(self._shown(paths.restart), StrayKind.NO_REQUEST)

    def _writes(self, statuses: Iterable[Seen | None]) -> Iterable[tuple[str, Written]]:
        for path in _mirrored(statuses):
            if written := self._written(self._whole(path)):
                yield path, written

    def _written(self, path: str) -> Written | None:
        found = self.found.get(Key(Kind.WRITE, path))
        return found if isinstance(found, Written) else None

    def _absent(self, statuses: Iterable[Seen | None]) -> list[str]:
        """The mirrored znodes of which a server has said that they do not exist, sorted."""
        keys = {path: Key(Kind.WRITE, self._whole(path)) for path in _mirrored(statuses)}
        return sorted(p for p, key in keys.items() if self.found.get(key, ...) is None)

    def _shown(self, path: str) -> str:
        return Paths(self._chroot, "").shown(path)

    def _whole(self, path: str) -> str:
        return Paths(self._chroot, "").mirrored(path)


def _mirrored(statuses: Iterable[Seen | None]) -> Iterable[str]:
    """What living members mirror, each path once."""
    living = [seen for seen in statuses if seen is not None and not seen.is_left_over]
    return dict.fromkeys(path for seen in living for path in _paths(seen))


def _paths(seen: Seen) -> Sequence[str]:
    return seen.facts.inputs if seen.facts else ()


def _seen(content: bytes, stat: Stat) -> Seen:
    born = stat.ctime / 1000
    if is_left_over(stat):
        return Seen(born=born, is_left_over=True)
    try:
        status, facts = decode_status(content)
        for path in facts.inputs:
            check_zk_path(path)
    except ValueError as error:
        return Seen(born=born, trouble=str(error))
    if status.zxid > stat.mzxid:
        # It is about another history of the ensemble, and says nothing about what is there now.
        status = replace(status, zxid=0)
    return Seen(status, facts, born)


def _written(stat: Stat) -> Written:
    return Written(stat.mzxid, stat.mtime / 1000, stat.data_length)


def _request(content: bytes, stat: Stat) -> Written | StrayKind:
    return StrayKind.NO_REQUEST if restart_name(content) is None else _written(stat)


def _is_there(outcome: object) -> bool:
    return isinstance(outcome, Stat)
