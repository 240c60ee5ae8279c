"""The ACLs of what a push creates, made from the ACL of the path.

The rules of this file:

- The history of a path is for everyone who may use the path: its contents have the same ACL, and
  in the index everyone who may write the path may also create and delete.
- A server hides the keys of digests (USER:x) from everyone without the admin permission.  A hidden
  key of one's own, or one that `--acl` names, is known all the same.  With any other no znode can
  get the same ACL, and that is refused before anything is written.
- The history of a tree is for everyone who may read its root.  So a tree is refused if one of its
  znodes may be read by fewer.
"""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha1

from zkexec.cli.cluster_access import acl_of
from zkexec.cli.security import Access
from zkexec.ctl.exit_status import CANNOT_WORK, SubcommandError
from zkexec.ctl.history.content_history import PathHistory
from zkexec.frozen import replace
from zkexec.group.paths import ROOM_FOR_OTHERS
from zkexec.zookeeper.values import CREATE, DELETE, READ, WRITE, Acl

_HIDDEN = ":x"
_ANYONE = ("world", "anyone")


class HistoryAcl:
    """Makes ACLs, with the identities that are known in addition to what the server shows."""

    def __init__(self, access: Access) -> None:
        self._created = acl_of(access)
        self._is_requested = access.acl != Access().acl
        self._known: dict[str, str] = {}
        for entry in access.acl:
            if entry.scheme == "digest":
                self._known[entry.identity.partition(":")[0]] = entry.identity
        for one in access.credentials:
            if one.scheme == "digest":
                self._known[one.user] = f"{one.user}:{_key(one.user, one.password)}"

    @property
    def above(self) -> Sequence[Acl]:
        """The ACL of missing znodes above a new one."""
        return self._created

    @property
    def above_histories(self) -> Sequence[Acl]:
        """The ACL of missing znodes above the histories, where others can create theirs."""
        is_open = self._created == acl_of(Access())
        return self._created if is_open else [*self._created, *ROOM_FOR_OTHERS]

    def of_path(self, history: PathHistory) -> Sequence[Acl]:
        """Return the ACL of a path, also of one that has yet to be created.

        A path that was deleted is created with the ACL of its history: its contents may be as
        secret as they were.
        """
        if history.content is not None:
            return self._completed(history.acl)
        if history.index_version >= 0 and history.entries and not self._is_requested:
            return self._completed(history.index_acl)
        return self._created

    def check_usable(self, history: PathHistory) -> None:
        """Raise SubcommandError if no other znode can get the ACL of a path, or should not."""
        self._check_known(history)
        if (path := self.secret_znode(history)) is not None:
            raise SubcommandError(
                f"{path}: may be read by fewer identities than {history.path}, and so its content "
                "cannot be in the history of this tree: give both the same ACL",
                CANNOT_WORK,
            )

    def secret_znode(self, history: PathHistory) -> str | None:
        """Return the first znode of a tree that not everyone may read who may read its root."""
        znodes = {} if history.tree is None else history.tree.znodes
        secret = (path for path, one in znodes.items() if self._is_secret(one.acl, history))
        return next((history.path + path for path in secret), None)

    def hides(self, inner: PathHistory, tree: PathHistory) -> bool:
        """Return whether a path in a tree may be read by fewer than the root of the tree."""
        return self._is_secret(self.of_path(inner), tree)

    def _is_secret(self, acl: Sequence[Acl], tree: PathHistory) -> bool:
        readers = self._readers(self._completed(acl))
        return _ANYONE not in readers and not self._readers(self.of_path(tree)) <= readers

    def _readers(self, acl: Sequence[Acl]) -> set[tuple[str, str]]:
        return {(one.scheme, one.identity) for one in acl if one.permissions & READ}

    def _check_known(self, history: PathHistory) -> None:
        for one in self.of_path(history):
            if _is_hidden(one):
                user = one.identity.partition(":")[0]
                raise SubcommandError(
                    f"{history.path}: no permission to see the key of digest:{user} in its ACL "
                    "(a), and its history has to be for the same identities; get this permission, "
                    "or give the key with --acl",
                    CANNOT_WORK,
                )

    def of_index(self, history: PathHistory) -> Sequence[Acl]:
        """Return the ACL of the index of its history."""
        return [
            replace(one, permissions=one.permissions | CREATE | DELETE)
            if one.permissions & WRITE
            else one
            for one in self.of_path(history)
        ]

    def has_moved(self, history: PathHistory) -> bool:
        """Return whether the history has another ACL than it should have."""
        return _entries(self.of_index(history)) != _entries(self._completed(history.index_acl))

    def _completed(self, acl: Sequence[Acl]) -> Sequence[Acl]:
        return [self._completed_entry(one) for one in acl]

    def _completed_entry(self, one: Acl) -> Acl:
        user = one.identity.partition(":")[0]
        if not _is_hidden(one) or user not in self._known:
            return one
        return replace(one, identity=self._known[user])


def _is_hidden(one: Acl) -> bool:
    return one.scheme == "digest" and one.identity.endswith(_HIDDEN)


def _entries(acl: Iterable[Acl]) -> set[tuple[str, str, int]]:
    return {(one.scheme, one.identity, one.permissions) for one in acl}


def _key(user: str, password: str) -> str:
    # ZooKeeper uses this hash for its digests.
    return b64encode(sha1(f"{user}:{password}".encode()).digest()).decode()  # noqa: S324
