"""Who may use what a push creates: the ACLs of a path's history, made from the path's own.

The rules of this file:

- What is kept of a path is for those who may use the path: its contents have its ACL, and in the
  index of its history those who may write the path may also create and delete.
- A server hides the keys of digests (USER:x) from whoever has no permission to administer the
  znode.  A hidden key of one's own, or one that `--acl` names, is known all the same; with any
  other, no znode can get the same ACL, and that is refused before something is written.
"""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha1

from zkexec.cli.security import Access
from zkexec.cluster_access import acl_of
from zkexec.frozen import replace
from zkexec.group.store import ROOM_FOR_OTHERS
from zkexec.operator.contents import Znode
from zkexec.operator.outcome import CANNOT_WORK, OperatorError
from zkexec.zookeeper.values import CREATE, DELETE, WRITE, Acl

_HIDDEN = ":x"


class Owners:
    """What is known of identities beside what the server tells."""

    def __init__(self, access: Access) -> None:
        self._created = acl_of(access)
        self._is_asked_for = access.acl != Access().acl
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
        """The ACL of missing znodes above the histories, where others find room for theirs."""
        is_open = self._created == acl_of(Access())
        return self._created if is_open else [*self._created, *ROOM_FOR_OTHERS]

    def of_path(self, znode: Znode) -> Sequence[Acl]:
        """The ACL of a path, also of one that has yet to be created.

        One that was deleted is created for those who could see its history, as its contents may
        be no less secret than they were.
        """
        if znode.content is not None:
            return self._seen(znode.acl)
        if znode.index_version >= 0 and znode.entries and not self._is_asked_for:
            return self._seen(znode.index_acl)
        return self._created

    def demand_known(self, znode: Znode) -> None:
        """Raise OperatorError where the ACL of a path cannot be that of anything else."""
        for one in self.of_path(znode):
            if _is_hidden(one):
                user = one.identity.partition(":")[0]
                raise OperatorError(
                    f"{znode.path}: no permission to see the key of digest:{user} in its ACL (a), "
                    "and its history has to be for the same identities; expected that permission, "
                    "or the key in --acl",
                    CANNOT_WORK,
                )

    def of_index(self, znode: Znode) -> Sequence[Acl]:
        """The ACL of the index of its history."""
        return [
            replace(one, permissions=one.permissions | CREATE | DELETE)
            if one.permissions & WRITE
            else one
            for one in self.of_path(znode)
        ]

    def has_moved(self, znode: Znode) -> bool:
        """Tell whether its history is for others than it should be."""
        return _told(self.of_index(znode)) != _told(self._seen(znode.index_acl))

    def _seen(self, acl: Sequence[Acl]) -> Sequence[Acl]:
        return [self._seen_entry(one) for one in acl]

    def _seen_entry(self, one: Acl) -> Acl:
        user = one.identity.partition(":")[0]
        if not _is_hidden(one) or user not in self._known:
            return one
        return replace(one, identity=self._known[user])


def _is_hidden(one: Acl) -> bool:
    return one.scheme == "digest" and one.identity.endswith(_HIDDEN)


def _told(acl: Iterable[Acl]) -> set[tuple[str, str, int]]:
    return {(one.scheme, one.identity, one.permissions) for one in acl}


def _key(user: str, password: str) -> str:
    # It is ZooKeeper that takes this hash for its digests.
    return b64encode(sha1(f"{user}:{password}".encode()).digest()).decode()  # noqa: S324
