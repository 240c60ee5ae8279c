"""The hold of a push, and its end by the undo: an operation over the decisions of the group.

It is part of the transaction of the push or undo.  So no member can be admitted to the new contents
before the hold is there, and none to what was held after it has ended.
"""

import time
from collections.abc import Iterable, Mapping

from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout import operations
from zkexec.core.rollout.record import AuditEntry, Hold
from zkexec.ctl.exit_status import SubcommandError
from zkexec.ctl.history.content_history import PathHistory
from zkexec.ctl.history.history_paths import HistoryPaths
from zkexec.ctl.history.tree_content import contains
from zkexec.group import record_codec
from zkexec.group.paths import Paths
from zkexec.group.record_znodes import decisions_in
from zkexec.znode_paths import group_path
from zkexec.zookeeper.errors import BadVersionError, NoNodeError
from zkexec.zookeeper.requests import Dialogue, Get, SetContent

_NO_VERSION = 2**31 - 1


class HoldWrite:
    """The hold of one push to a group; its audit entry has the author and the message."""

    def __init__(
        self, lock: str, chroot: str, audit_entry: AuditEntry, after: MaxUnavailable
    ) -> None:
        self.replaced: Hold | None = None
        """The hold that the last operation replaces."""
        self._lock = lock
        self._paths = Paths(chroot, group_path(lock))
        self._errors = HistoryPaths(self._paths)
        self.token = audit_entry.token
        self.again: Mapping[str, int] = {}
        """The known good versions that the push makes once more, see `operations.hold`."""
        self._audit_entry = audit_entry
        self._after = after

    def check(self, *, writing: bool) -> Dialogue:
        """Raise an error if there is no such group, or its decisions cannot be read.

        If `writing`, a write with an impossible version asks for the permission.
        """
        yield from self._read()
        if writing:
            probe = SetContent(self._paths.state, b"", _NO_VERSION)
            (outcome,) = yield [probe]
            if not isinstance(outcome, BadVersionError | NoNodeError):
                self._errors.demand(probe, outcome)

    def operation(self) -> Dialogue:
        """Read the decisions → the operation that adds the hold to them."""
        record, version = yield from self._read()
        after = operations.hold(record, self._audit_entry, self._after, self.again)
        self.replaced = record.hold
        encoded = record_codec.encode(after, time.time())
        return SetContent(self._paths.state, encoded, version)

    def _read(self) -> Dialogue:
        request = Get(self._paths.state)
        (found,) = yield [request]
        if isinstance(found, NoNodeError):
            shown = self._paths.shown(self._paths.state)
            raise SubcommandError(
                f"--hold: there is no group {self._lock} ({shown} does not exist): start its "
                "members first; nothing was pushed"
            )
        content, stat = self._errors.demand(request, found)
        return decisions_in(self._paths, (content, stat)), stat.version


class HoldEnd:
    """The end of the hold of a push that is undone; `token` is that of this push."""

    def __init__(self, lock: str, chroot: str, audit_entry: AuditEntry, token: str) -> None:
        self.ended: Hold | None = None
        """The hold that the last operation ends."""
        self._paths = Paths(chroot, group_path(lock))
        self._errors = HistoryPaths(self._paths)
        self._audit_entry = audit_entry
        self._token = token

    def is_permitted(self) -> Dialogue:
        """Return whether the decisions may be written, asked by a write that is not possible."""
        (outcome,) = yield [SetContent(self._paths.state, b"", _NO_VERSION)]
        return isinstance(outcome, BadVersionError | NoNodeError)

    def operation(self) -> Dialogue:
        """Read the decisions → the operation that ends the hold, None if it is not there."""
        self.ended = None
        request = Get(self._paths.state)
        (found,) = yield [request]
        if isinstance(found, NoNodeError):
            return None
        content, stat = self._errors.demand(request, found)
        record = decisions_in(self._paths, (content, stat))
        after = operations.end_hold(record, self._audit_entry, self._token)
        if after is None:
            return None
        self.ended = record.hold
        return SetContent(self._paths.state, record_codec.encode(after, time.time()), stat.version)


def left_of_push(token: str, undone: Iterable[PathHistory], other: PathHistory) -> bool:
    """Return whether an undo of these paths leaves something that this push has written elsewhere.

    `other` is an input of the group.
    """
    paths = {history.path: history.mzxid for history in undone}
    if not any(contains(other.path, path) for path in paths):
        return other.origin is not None and other.origin.token == token
    # The files of a tree have histories of their own, but one transaction has written them all.
    znodes = {} if other.tree is None else other.tree.znodes
    return any(
        znode.stat.mzxid in paths.values()
        and bool(name)
        and not any(f"{path}/".startswith(f"{other.path}{name}/") for path in paths)
        for name, znode in znodes.items()
    )
