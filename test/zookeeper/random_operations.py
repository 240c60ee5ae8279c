"""A random program of operations on a tree, as our requests and as calls of kazoo."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.security import ACL, Id

from zkexec.zookeeper.errors import ZooKeeperError
from zkexec.zookeeper.requests import (
    Check,
    Children,
    Create,
    Delete,
    Exists,
    Get,
    GetAcl,
    MultiRead,
    Operation,
    SetAcl,
    SetContent,
    Sync,
    Transaction,
)
from zkexec.zookeeper.session_requests import AnyRequest
from zkexec.zookeeper.values import ADMIN, ALL, CREATE, READ, WRITE, Acl, Stat

NAMES = ("a", "b", "a/x", "a/y", "b/z", "a/x/deep")
_ACLS = (
    (Acl(ALL, "world", "anyone"),),
    (Acl(READ | WRITE | CREATE | ADMIN, "world", "anyone"), Acl(ALL, "ip", "127.0.0.1")),
)


def operations(seed: int, count: int, *, reads_at_once: bool) -> Iterator[AnyRequest]:
    """Make requests with paths below the root; each watch has a key of its own."""
    chance = random.Random(seed)
    for number in range(count):
        path = f"/{chance.choice(NAMES)}"
        watch = chance.choice([None, number])
        draws: list[AnyRequest] = [
            Get(path, watch),
            Exists(path, watch),
            Children(path, watch),
            GetAcl(path),
            SetAcl(path, chance.choice(_ACLS), chance.choice([-1, -1, 0, 1])),
            Sync(path),
            Transaction([_part(chance) for _ in range(chance.randint(0, 4))]),
            *[_write(chance) for _ in range(6)],
        ]
        if reads_at_once:
            draws.append(MultiRead([f"/{name}" for name in chance.sample(NAMES, 3)]))
        yield chance.choice(draws)


def _write(chance: random.Random) -> Create | Delete | SetContent:
    path = f"/{chance.choice(NAMES)}"
    version = chance.choice([-1, -1, -1, 0, 1, 2])
    content = chance.randbytes(chance.choice([0, 3, 5000]))
    kinds = chance.choices([False, True], [4, 1], k=2)
    writes: list[Create | Delete | SetContent] = [
        Create(path, content, chance.choice(_ACLS), *kinds),
        Create(path, content, _ACLS[0]),
        SetContent(path, content, version),
        Delete(path, version),
    ]
    return chance.choice(writes)


def _part(chance: random.Random) -> Operation:
    """Make an operation of a transaction."""
    if chance.randrange(5):
        return _write(chance)
    return Check(f"/{chance.choice(NAMES)}", chance.choice([0, 1]))


class KazooPlayer:
    """Plays requests by means of kazoo, below a root."""

    def __init__(self, client: KazooClient, root: str) -> None:
        self.fired: list[tuple[object, str]] = []
        self._client = client
        self._root = root

    def play(self, request: AnyRequest) -> Any:
        """Do it → its outcome, in the form of `comparable`."""
        try:
            return self._play(request)
        except KazooException as error:
            return f"error {error.code}"

    def _play(self, request: Any) -> Any:
        path = self._root + getattr(request, "path", "")
        watch = self._watch(getattr(request, "watch", None))
        match request:
            case Get():
                content, stat = self._client.get(path, watch=watch)
                return content or b"", stat_of(stat)
            case Exists():
                return stat_of(self._client.exists(path, watch=watch))
            case Children():
                names, stat = self._client.get_children(path, watch=watch, include_data=True)
                return sorted(names), stat_of(stat)
            case GetAcl():
                entries, stat = self._client.get_acls(path)
                return entries_of(entries), stat_of(stat)
            case SetAcl(acl=acl, version=version):
                return stat_of(self._client.set_acls(path, _acl(acl), version))
            case Sync():
                return self._client.sync(path) and None
            case MultiRead(paths):
                return [self.play(Get(one)) for one in paths]
            case Transaction(operations=many):
                return self._commit(many)
            case _:
                return self._alone(request)

    def _alone(self, request: Any) -> Any:
        """A single write has the same code as in a transaction, but another outcome."""
        path = self._root + request.path
        match request:
            case Create(_, content, acl, ephemeral, sequence):
                made = self._client.create(path, content, _acl(acl), ephemeral, sequence)
                return str(made).removeprefix(self._root)
            case Delete(version=version):
                return self._client.delete(path, version) and None
            case SetContent(content=content, version=version):
                return stat_of(self._client.set(path, content, version))

    def _commit(self, many: Sequence[Any]) -> list[Any]:
        transaction = self._client.transaction()
        for one in many:
            path = self._root + one.path
            match one:
                case Create(_, content, acl, ephemeral, sequence):
                    transaction.create(path, content, _acl(acl), ephemeral, sequence)
                case Delete(version=version):
                    transaction.delete(path, version)
                case SetContent(content=content, version=version):
                    transaction.set_data(path, content, version)
                case Check(version=version):
                    transaction.check(path, version)
        pairs = zip(many, transaction.commit(), strict=True)
        return [self._of_commit(one, outcome) for one, outcome in pairs]

    def _of_commit(self, one: Any, outcome: Any) -> Any:
        if isinstance(outcome, KazooException):
            return f"error {outcome.code}"
        match one:
            case Create():
                return outcome.removeprefix(self._root)
            case SetContent():
                return stat_of(outcome)
            case _:
                return None

    def _watch(self, key: object) -> Callable[[Any], None] | None:
        if key is None:
            return None

        def fired(event: Any) -> None:
            # The end of the session has no path.
            if event.path:
                self.fired.append((key, event.path.removeprefix(self._root)))

        return fired


def comparable(request: AnyRequest, outcome: Any, root: str) -> Any:
    """Our outcome without what differs between two trees."""
    if isinstance(outcome, ZooKeeperError):
        return f"error {outcome.code}"
    match request:
        case Get():
            return outcome[0], stat_of(outcome[1])
        case Children():
            return sorted(outcome[0]), stat_of(outcome[1])
        case GetAcl():
            return entries_of(outcome[0]), stat_of(outcome[1])
        case Exists() | SetContent() | SetAcl():
            return stat_of(outcome)
        case Create():
            return outcome.removeprefix(root)
        case MultiRead(paths):
            return [comparable(Get(""), one, root) for one, _ in zip(outcome, paths, strict=True)]
        case Transaction(many):
            return [comparable(one, of, root) for one, of in zip(many, outcome, strict=True)]
        case _:
            return outcome


def stat_of(stat: Any) -> tuple[int, ...] | None:
    """What of a `Stat` is the same in two trees."""
    if stat is None:
        return None
    # kazoo's has the names of Java, and those of Python for some.
    names = vars(stat) if isinstance(stat, Stat) else stat._asdict()
    fields = {name.replace("_", "").lower(): value for name, value in names.items()}
    same = ("version", "cversion", "aversion", "datalength", "numchildren")
    return (*[fields[name] for name in same], bool(fields["ephemeralowner"]))


def entries_of(entries: Sequence[Any]) -> list[tuple[int, str, str]]:
    """The entries of an ACL, of ours or of kazoo's."""
    return [
        (one.permissions, one.scheme, one.identity)
        if isinstance(one, Acl)
        else (one.perms, one.id.scheme, one.id.id)
        for one in entries
    ]


def _acl(entries: Sequence[Acl]) -> list[ACL]:
    return [ACL(one.permissions, Id(one.scheme, one.identity)) for one in entries]
