"""Read a path with its history, and its earlier contents.

The history of a path is the znode below /zkexec/.history that has the quoted path as its name.
Its content is the index, its children are the contents, named by digest.  The index is only
written in one transaction with the path, so both are from one moment if the path was the same
before and after the index was read.
"""

import shlex
from collections.abc import Sequence
from typing import Any

from zkexec.ctl.cluster_connection import NewDialogue
from zkexec.ctl.exit_status import SubcommandError
from zkexec.ctl.history.content_history import (
    HistoryEntry,
    PathHistory,
    decode,
    digest_of,
    is_digest,
)
from zkexec.ctl.history.history_paths import HistoryPaths
from zkexec.zookeeper.errors import BadVersionError, NoNodeError, RefusedError
from zkexec.zookeeper.requests import (
    Children,
    Dialogue,
    Exists,
    Get,
    GetAcl,
    SetContent,
)
from zkexec.zookeeper.values import Stat

_TRIES = 20
_NO_VERSION = 2**31 - 1


def read_history(paths: HistoryPaths, path: str, *, writing: bool = False) -> NewDialogue:
    """Return what makes the dialogue of `history_steps`."""
    return lambda: history_steps(paths, path, writing=writing)


def history_steps(paths: HistoryPaths, path: str, *, writing: bool = False) -> Dialogue:
    """Read a path with its history → PathHistory.

    If `writing`, fail if the path may not be written: a write with an impossible version asks for
    the permission before the operator is asked for confirmation.
    """
    whole, index = paths.znode(path), paths.index(path)
    requests: list[Any] = [
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
            None if isinstance(outcome, NoNodeError) else paths.demand(request, outcome)
            for request, outcome in zip(requests, outcomes, strict=False)
        ]
        for probe, outcome in zip(probes, outcomes[len(requests) :], strict=True):
            if not isinstance(outcome, BadVersionError | NoNodeError):
                paths.demand(probe, outcome)
        if _is_one_moment(found):
            return _path_history(paths, path, found)
    raise RefusedError(f"{path}: others keep changing it")


def _is_one_moment(found: Sequence[Any]) -> bool:
    content, acl, index, index_acl, names, after = found
    is_whole = (content is None) == (acl is None) and (
        (index is None) == (index_acl is None) == (names is None)
    )
    before = None if content is None else content[1].mzxid
    return is_whole and before == (None if after is None else after.mzxid)


def _path_history(paths: HistoryPaths, path: str, found: Sequence[Any]) -> PathHistory:
    content, acl, index, index_acl, names, _ = found
    stat: Stat | None = None if content is None else content[1]
    try:
        entries = () if index is None else decode(index[0])
    except ValueError as error:
        shown = paths.paths.shown(paths.index(path))
        remedy = shlex.join(["zkCli.sh", "deleteall", shown])
        raise RefusedError(f"{shown}: {error}; to start a new history: {remedy}") from None
    return PathHistory(
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


def read_content(paths: HistoryPaths, path: str) -> NewDialogue:
    """Read the present content of a path → bytes, None if the znode does not exist."""

    def steps() -> Dialogue:
        request = Get(paths.znode(path))
        (found,) = yield [request]
        if isinstance(found, NoNodeError):
            return None
        return paths.demand(request, found)[0]

    return steps


def read_entry(paths: HistoryPaths, path: str, entry: HistoryEntry) -> NewDialogue:
    """Read the content of an entry → bytes; SubcommandError if it is no longer kept."""

    def steps() -> Dialogue:
        request = Get(paths.content(path, entry.digest))
        (found,) = yield [request]
        content = None if isinstance(found, NoNodeError) else paths.demand(request, found)[0]
        # Everyone with write permission could have put anything there.
        if content is None or digest_of(content) != entry.digest:
            raise SubcommandError(
                f"{path}: the content of revision {entry.revision} is not kept any more"
            )
        return content

    return steps


def entry_of(history: PathHistory, revision: int) -> HistoryEntry:
    """Return the entry of this revision, or raise SubcommandError with the revisions there are."""
    entry = history.entry(revision)
    if entry is None:
        there = ", ".join(str(entry.revision) for entry in history.entries)
        hint = f"its history has {there}" if there else "its history is empty"
        raise SubcommandError(f"{history.path}: no revision {revision}: {hint}")
    return entry
