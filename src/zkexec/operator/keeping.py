"""Where histories are: reading a path with its history, and the earlier contents.

The rules of this file:

- The history of a path is the znode below /zkexec/.history that is named like the path, its
  slashes quoted.  Its content is the index, its children are the contents, named by digest.
- The index is written in one transaction with the path and never alone, so both are seen in one
  moment where the path was the same before and after the index was read.
- What may be refused later for want of permission is asked for before a person is asked: by a
  write over a version that there never is.
"""

import shlex
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from zkexec.cli.converters import HISTORY
from zkexec.frozen import frozen
from zkexec.group.store import Paths
from zkexec.operator.cluster import Question
from zkexec.operator.contents import Entry, Znode, decode, digest_of, is_digest
from zkexec.operator.outcome import OperatorError
from zkexec.zookeeper.errors import BadVersionError, NoAuthError, NoNodeError, RefusedError
from zkexec.zookeeper.requests import (
    Children,
    Create,
    Delete,
    Dialogue,
    Exists,
    Get,
    GetAcl,
    Request,
    SetAcl,
    SetContent,
)
from zkexec.zookeeper.values import Stat

_TRIES = 20
_NO_VERSION = 2**31 - 1


@frozen()
class Places:
    """The whole paths of a znode, its history and its contents, for one chroot."""

    paths: Paths

    @classmethod
    def below(cls, chroot: str) -> "Places":
        """Those below a chroot, "" for none."""
        return cls(Paths(chroot, HISTORY))

    def znode(self, path: str) -> str:
        """The path itself."""
        return self.paths.mirrored(path)

    def index(self, path: str) -> str:
        """The znode of its history."""
        return f"{self.paths.base}/{quote(path, safe='')}"

    def content(self, path: str, digest: str) -> str:
        """The znode of one content."""
        return f"{self.index(path)}/{digest}"

    def demand(self, request: Any, outcome: Any) -> Any:  # noqa: ANN401 -- as the request has it
        """The outcome of a request, where it is no error."""
        if isinstance(outcome, Exception):
            raise self.refusal(request, outcome)
        return outcome

    def refusal(self, request: Any, error: Exception) -> RefusedError:  # noqa: ANN401 -- kazoo's
        """What to raise where the server says no; a missing permission is named by its letter."""
        if not isinstance(error, NoAuthError):
            return self.paths.refusal(request.path, error)
        what, letter, is_parents = _PERMISSIONS[type(request)]
        shown = self.paths.shown(request.path)
        if not is_parents:
            return RefusedError(f"{shown}: no permission to {what} it ({letter})")
        above = self.paths.shown(request.path.rpartition("/")[0])
        return RefusedError(f"{above}: no permission to {what} {shown} ({letter})")


def look(places: Places, path: str, *, writing: bool = False) -> Question:
    """Ask for a path with its history → Znode."""
    return lambda: looked(places, path, writing=writing)


def looked(places: Places, path: str, *, writing: bool = False) -> Dialogue:
    """Read a path with its history; `writing` refuses where it may not be written."""
    whole, index = places.znode(path), places.index(path)
    requests: list[Request] = [
        Get(whole),
        GetAcl(whole),
        Get(index),
        GetAcl(index),
        Children(index),
        Exists(whole),
    ]
    probes = [SetContent(each, b"", _NO_VERSION) for each in (whole, index)] if writing else []
    for _ in range(_TRIES):
        outcomes = yield [*requests, *probes]
        found = [
            None if isinstance(outcome, NoNodeError) else places.demand(request, outcome)
            for request, outcome in zip(requests, outcomes, strict=False)
        ]
        for probe, outcome in zip(probes, outcomes[len(requests) :], strict=True):
            if not isinstance(outcome, BadVersionError | NoNodeError):
                places.demand(probe, outcome)
        if _is_one_moment(found):
            return _znode(places, path, found)
    raise RefusedError(f"{path}: others change it all the time")


def _is_one_moment(found: Sequence[Any]) -> bool:
    content, acl, index, index_acl, names, after = found
    is_whole = (content is None) == (acl is None) and (
        (index is None) == (index_acl is None) == (names is None)
    )
    before = None if content is None else content[1].mzxid
    return is_whole and before == (None if after is None else after.mzxid)


def _znode(places: Places, path: str, found: Sequence[Any]) -> Znode:
    content, acl, index, index_acl, names, _ = found
    stat: Stat | None = None if content is None else content[1]
    try:
        entries = () if index is None else decode(index[0])
    except ValueError as error:
        shown = places.paths.shown(places.index(path))
        remedy = shlex.join(["zkCli.sh", "deleteall", shown])
        raise RefusedError(f"{shown}: {error}; a new history begins after: {remedy}") from None
    return Znode(
        path=path,
        content=None if content is None else content[0],
        version=-1 if stat is None else stat.version,
        mzxid=0 if stat is None else stat.mzxid,
        modified_at=0.0 if stat is None else max(0.0, stat.mtime / 1000),
        acl=() if acl is None else tuple(acl[0]),
        entries=entries,
        index_version=-1 if index is None else index[1].version,
        index_mzxid=0 if index is None else index[1].mzxid,
        index_acl=() if index_acl is None else tuple(index_acl[0]),
        kept=frozenset(filter(is_digest, names[0] if names else ())),
    )


def read(places: Places, path: str) -> Question:
    """Ask for what a path holds now → bytes, None where it does not exist."""

    def steps() -> Dialogue:
        request = Get(places.znode(path))
        (found,) = yield [request]
        if isinstance(found, NoNodeError):
            return None
        return places.demand(request, found)[0]

    return steps


def entry_of(znode: Znode, number: int) -> Entry:
    """The entry of this number; OperatorError, with the numbers there are, where it is not."""
    entry = znode.numbered(number)
    if entry is None:
        there = ", ".join(f"@{entry.number}" for entry in znode.entries)
        raise OperatorError(
            f"{znode.path}: expected a number of its history "
            f"({there or 'which is empty'}), got @{number}"
        )
    return entry


def recall(places: Places, path: str, entry: Entry) -> Question:
    """Ask for the content of an entry → bytes; OperatorError where it is no longer kept."""

    def steps() -> Dialogue:
        request = Get(places.content(path, entry.digest))
        (found,) = yield [request]
        content = None if isinstance(found, NoNodeError) else places.demand(request, found)[0]
        # Whoever may write there could have put anything there.
        if content is None or digest_of(content) != entry.digest:
            raise OperatorError(f"{path}: the content of @{entry.number} is not kept any more")
        return content

    return steps


_PERMISSIONS: dict[type[Any], tuple[str, str, bool]] = {
    Get: ("read", "r", False),
    GetAcl: ("see the ACL of", "r", False),
    Children: ("list", "r", False),
    SetContent: ("write", "w", False),
    SetAcl: ("change the ACL of", "a", False),
    Create: ("create", "c", True),
    Delete: ("delete", "d", True),
}
