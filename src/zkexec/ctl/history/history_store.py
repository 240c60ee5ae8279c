"""Read a path with its history, and its earlier contents.

The history of a path is the znode below /zkexec/.history that has the quoted path as its name.
Its content is the index, its children are the contents, named by digest.  The index is only
written in one transaction with the path, so both are from one moment if the path was the same
before and after the index was read.  A path with a slash at its end is a whole tree.
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
from zkexec.ctl.history.tree_content import content_size, encode, is_tree
from zkexec.ctl.history.tree_state import TreeRead, TreeState
from zkexec.frozen import replace
from zkexec.zookeeper.errors import BadVersionError, NoNodeError, RefusedError
from zkexec.zookeeper.requests import (
    Children,
    Dialogue,
    Exists,
    Get,
    GetAcl,
    Request,
    SetContent,
)
from zkexec.zookeeper.values import Acl, Stat

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
    if is_tree(path):
        return (yield from _history_of_tree(paths, path, writing=writing))
    whole = paths.znode(path)
    requests: list[Request] = [Get(whole), GetAcl(whole), *_of_index(paths, path), Exists(whole)]
    probes = _probes(paths, path) if writing else []
    for _ in range(_TRIES):
        outcomes = yield [*requests, *probes]
        found = _found(paths, requests, outcomes)
        _check_probes(paths, probes, outcomes[len(requests) :])
        content, acl, *of_index, after = found
        before = None if content is None else content[1].mzxid
        is_one_moment = before == (None if after is None else after.mzxid)
        if is_one_moment and (content is None) == (acl is None) and _is_whole(of_index):
            history = _without_content(paths, path, of_index)
            return history if content is None else _with_content(history, content, acl[0])
    raise RefusedError(f"{path}: others keep changing it")


def _history_of_tree(paths: HistoryPaths, path: str, *, writing: bool) -> Dialogue:
    requests = _of_index(paths, path)
    probes = _probes(paths, path) if writing else []
    for _ in range(_TRIES):
        read = TreeRead(paths, path)
        is_listed = yield from read.listed()
        outcomes = yield [*requests, *probes]
        of_index = _found(paths, requests, outcomes)
        _check_probes(paths, probes, outcomes[len(requests) :])
        if not is_listed or not _is_whole(of_index):
            continue
        # The root is written with the index, so what is read now is from the same moment.
        state: TreeState | None = yield from read.state()
        if state is not None:
            history = _without_content(paths, path, of_index)
            return _with_tree(history, state) if state.znodes else history
    raise RefusedError(f"{path}: others keep changing it")


def _of_index(paths: HistoryPaths, path: str) -> list[Request]:
    index = paths.index(path)
    return [Get(index), GetAcl(index), Children(index)]


def _probes(paths: HistoryPaths, path: str) -> list[Request]:
    whole, index = paths.znode(path), paths.index(path)
    return [SetContent(each, b"", _NO_VERSION) for each in (whole, index)]


def _check_probes(
    paths: HistoryPaths, probes: Sequence[Request], outcomes: Sequence[object]
) -> None:
    for probe, outcome in zip(probes, outcomes, strict=True):
        if not isinstance(outcome, BadVersionError | NoNodeError):
            paths.demand(probe, outcome)


def _found(paths: HistoryPaths, requests: Sequence[Request], outcomes: Sequence[Any]) -> list[Any]:
    """The outcomes of the requests, None for a znode that does not exist."""
    return [
        None if isinstance(outcome, NoNodeError) else paths.demand(request, outcome)
        for request, outcome in zip(requests, outcomes, strict=False)
    ]


def _is_whole(of_index: Sequence[Any]) -> bool:
    index, acl, names = of_index
    return (index is None) == (acl is None) == (names is None)


def _without_content(paths: HistoryPaths, path: str, of_index: Sequence[Any]) -> PathHistory:
    """The history of a path that does not exist."""
    index, index_acl, names = of_index
    try:
        entries = () if index is None else decode(index[0])
    except ValueError as error:
        shown = paths.paths.shown(paths.index(path))
        remedy = shlex.join(["zkCli.sh", "deleteall", shown])
        raise RefusedError(f"{shown}: {error}; to start a new history: {remedy}") from None
    return PathHistory(
        path=path,
        content=None,
        entries=entries,
        index_version=-1 if index is None else index[1].version,
        index_mzxid=0 if index is None else index[1].mzxid,
        index_acl=() if index_acl is None else tuple(index_acl[0]),
        kept=frozenset(filter(is_digest, names[0] if names else ())),
    )


def _with_content(
    history: PathHistory, found: tuple[bytes, Stat], acl: Sequence[Acl]
) -> PathHistory:
    content, stat = found
    return replace(
        history,
        content=content,
        version=stat.version,
        mzxid=stat.mzxid,
        modified_at=max(0.0, stat.mtime / 1000),
        acl=tuple(acl),
    )


def _with_tree(history: PathHistory, state: TreeState) -> PathHistory:
    root = state.root
    with_root = _with_content(history, (encode(state.contents), root.stat), root.acl)
    modified_ms = max(znode.stat.mtime for znode in state.znodes.values())
    return replace(with_root, modified_at=max(0.0, modified_ms / 1000), tree=state)


def read_tree(paths: HistoryPaths, path: str) -> NewDialogue:
    """Read the present content of a tree, without its history → TreeState.

    Of a tree that does not exist it has no znode.
    """

    def steps() -> Dialogue:
        for _ in range(_TRIES):
            read = TreeRead(paths, path)
            if (yield from read.listed()):
                state = yield from read.state()
                if state is not None:
                    return state
        raise RefusedError(f"{path}: others keep changing it")

    return steps


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
        try:
            content_size(path, content)
        except ValueError as error:
            raise SubcommandError(
                f"{path}: what is kept of revision {entry.revision} {error}"
            ) from None
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
