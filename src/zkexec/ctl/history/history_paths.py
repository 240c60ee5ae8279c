"""Where the history of a path is, and what an operator reads if the server refuses a request.

The index of a path is the znode below /zkexec/.history that has the quoted path as its name.  The
path of a tree ends with a slash, so it has an index beside that of the single znode.
"""

from typing import Any
from urllib.parse import quote

from zkexec.cli.converters import HISTORY
from zkexec.frozen import frozen
from zkexec.group.paths import Paths
from zkexec.zookeeper.errors import NoAuthError, RefusedError
from zkexec.zookeeper.requests import (
    Check,
    Children,
    Create,
    Delete,
    Exists,
    Get,
    GetAcl,
    Request,
    SetAcl,
    SetContent,
)


@frozen()
class HistoryPaths:
    """The whole paths of a znode, its history and its contents, for one chroot."""

    paths: Paths

    @classmethod
    def below(cls, chroot: str) -> "HistoryPaths":
        """Make them for a chroot, "" for none."""
        return cls(Paths(chroot, HISTORY))

    def znode(self, path: str) -> str:
        """Return the whole path of the znode itself."""
        return self.paths.mirrored(path)

    def index(self, path: str) -> str:
        """Return the znode of its history."""
        return f"{self.paths.base}/{quote(path, safe='')}"

    def content(self, path: str, digest: str) -> str:
        """Return the znode of one content."""
        return f"{self.index(path)}/{digest}"

    def demand(self, request: Request, outcome: Any) -> Any:  # noqa: ANN401 -- as each request has it
        """Return the outcome of a request, or raise if it is an error."""
        if isinstance(outcome, Exception):
            raise self.refusal(request, outcome)
        return outcome

    def refusal(self, request: Any, error: Exception) -> RefusedError:  # noqa: ANN401 -- any request
        """Return what to raise if the server refuses; a missing permission is named."""
        if not isinstance(error, NoAuthError):
            return self.paths.refusal(request.path, error)
        what, letter, is_parents = _PERMISSIONS[type(request)]
        shown = self.paths.shown(request.path)
        if not is_parents:
            return RefusedError(f"{shown}: no permission to {what} it ({letter})")
        above = self.paths.shown(request.path.rpartition("/")[0])
        return RefusedError(f"{above}: no permission to {what} {shown} ({letter})")


_PERMISSIONS: dict[type[Any], tuple[str, str, bool]] = {
    Get: ("read", "r", False),
    Exists: ("read", "r", False),
    Check: ("read", "r", False),
    GetAcl: ("see the ACL of", "r", False),
    Children: ("list", "r", False),
    SetContent: ("write", "w", False),
    SetAcl: ("change the ACL of", "a", False),
    Create: ("create", "c", True),
    Delete: ("delete", "d", True),
}
"""For each request what needs the permission, its letter, and whether it is that of the parent."""
