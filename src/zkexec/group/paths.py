"""Where the znodes of a group are, and which names can be a part of such a path.

Names of members, tokens and digests are read from znodes that others wrote, and become parts of
paths: only what can be one is accepted as one.
"""

from __future__ import annotations

from typing import TypeVar

from zkexec.core.rollout.queued_member import queue_name
from zkexec.text import LONGEST
from zkexec.znode_paths import RESTART, check_zk_path
from zkexec.zookeeper.errors import (
    BadVersionError,
    ForbiddenError,
    InvalidAclError,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RefusedError,
    in_words,
)
from zkexec.zookeeper.values import CREATE, READ, Acl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from zkexec.zookeeper.values import Stat


_T = TypeVar("_T")

LARGEST_COMMIT = 1_000_000
"""Bytes; a little above that a server by default takes no request, and hangs up."""

ROOM_FOR_OTHERS = (Acl(READ | CREATE, "world", "anyone"),)
"""Above the group's own znodes, so that groups of other identities find room there."""

_LONGEST_NAME = 255


class Paths:
    """The whole paths of the group's znodes."""

    def __init__(self, chroot: str, base: str) -> None:
        """ValueError if they have no UTF-8 form."""
        self.chroot = chroot
        self.base = chroot + base
        self.state = f"{self.base}/state"
        self.restart = f"{self.base}/{RESTART}"
        self.members = f"{self.base}/members"
        self.queue = f"{self.base}/queue"
        self.in_flight = f"{self.base}/in_flight"
        self.unavailable = f"{self.base}/unavailable"
        self.versions = f"{self.base}/versions"
        self.zones = f"{self.base}/zones"
        self.base.encode()

    @property
    def parts(self) -> tuple[str, ...]:
        """The znodes right below the base that are the group's."""
        lasting = (self.members, self.queue, self.in_flight, self.unavailable)
        return (self.state, *lasting, self.versions, self.zones, self.restart)

    def member(self, member_id: str) -> str:
        """Return that of a member's node."""
        return f"{self.members}/{member_id}"

    def entry(self, member_id: str) -> str:
        """Return that of the entry of a member in flight."""
        return f"{self.in_flight}/{member_id}"

    def unavailable_member(self, member_id: str) -> str:
        """Return that of the mark of an unavailable member."""
        return f"{self.unavailable}/{member_id}"

    def zone(self, zone: str) -> str:
        """Return that of the znode above the living members of a zone."""
        return f"{self.zones}/{zone}"

    def queue_node(self, number: int) -> str:
        """Return that of the queue node with this number."""
        return f"{self.queue}/{queue_name(number)}"

    def version(self, digest: str) -> str:
        """Return that of what is known of a version."""
        return f"{self.versions}/{digest}"

    def below_version(self, digest: str, name: str) -> str:
        """Return that of a znode below the one of a version."""
        return f"{self.versions}/{digest}/{name}"

    def mirrored(self, path: str) -> str:
        """Return the whole path of a znode which is none of the group's."""
        return self.chroot + path.rstrip("/") or "/"

    def shown(self, path: str) -> str:
        """Return a whole path as the operator knows it."""
        return path.removeprefix(self.chroot) or "/"

    def refusal(self, path: str, error: Exception) -> RefusedError:
        """Return what to raise if the server refuses a request on this path."""
        kind = ForbiddenError if isinstance(error, NoAuthError) else RefusedError
        return kind(f"{self.shown(path)}: {_REFUSALS.get(type(error), in_words(error))}")

    def unreadable(self, path: str, error: ValueError) -> RefusedError:
        """Return what to raise if the content of this path cannot be understood."""
        return RefusedError(f"{self.shown(path)}: {error}")

    def without_chroot(self) -> RefusedError:
        """Return what to raise if the chroot is missing."""
        chroot = self.chroot
        return RefusedError(
            f"the chroot {chroot} does not exist: create it, with zkCli.sh create {chroot}"
        )

    def demand(self, path: str, outcome: _T | Exception) -> _T:
        """Return the outcome of a request on this path, unless it is an error."""
        if isinstance(outcome, Exception):
            raise self.refusal(path, outcome)
        return outcome


def check_member(name: str) -> str:
    """Return a name that a member may have unchanged, or raise a ValueError."""
    if not _is_part(name) or len(name) > _LONGEST_NAME:
        raise ValueError("expected a name that a member may have")
    return name


def check_part(text: str) -> str:
    """Return a token, digest or zone that can be a part of a path, or raise a ValueError."""
    if not _is_part(text) or len(text) > LONGEST:
        raise ValueError("expected a token, a digest or a zone that can be a part of a path")
    return text


def _is_part(text: str) -> bool:
    try:
        check_zk_path(f"/{text}")
    except ValueError:
        return False
    return bool(text) and "/" not in text


def is_left_over(stat: Stat) -> bool:
    """Whether a node of a kind that is ephemeral lasts, and so belongs to no session."""
    return not stat.ephemeral_owner


_REFUSALS: dict[type[Exception], str] = {
    NoAuthError: "the cluster gives no permission for this",
    NoNodeError: "does not exist",
    NodeExistsError: "exists already",
    NotEmptyError: "cannot be replaced, as there are znodes below it; delete it with these",
    BadVersionError: "was changed meanwhile",
    InvalidAclError: "the cluster does not take the ACL",
}
