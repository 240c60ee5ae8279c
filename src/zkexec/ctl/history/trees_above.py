"""The trees with a history that contain what a push writes: each gets an entry in the same push.

The root of such a tree is written with the content that it has, so that its version moves.  The
entry is left out if the tree is too large to be kept, or if it would show a content to more
identities than may read the znode.  Then the present content of the tree counts as that of
another tool.
"""

from collections.abc import Collection, Sequence

from zkexec.ctl.history.content_change import ContentChange, Removal
from zkexec.ctl.history.content_history import PathHistory, digest_of
from zkexec.ctl.history.history_acl import HistoryAcl
from zkexec.ctl.history.history_paths import HistoryPaths
from zkexec.ctl.history.history_store import history_steps
from zkexec.ctl.history.tree_content import contains, decode, encode, is_tree
from zkexec.frozen import frozen
from zkexec.group.paths import LARGEST_COMMIT
from zkexec.zookeeper.errors import NoNodeError, RefusedError
from zkexec.zookeeper.requests import Create, Dialogue, Exists, Get, Operation, SetContent, size_of


@frozen()
class TreesAbove:
    """What a push writes to the trees around its paths: entries, and the roots themselves."""

    entries: Sequence[ContentChange]
    roots: Sequence[Operation]


def trees_above(
    paths: HistoryPaths,
    acl: HistoryAcl,
    changes: Sequence[ContentChange | Removal],
    inputs: Collection[str] = (),
) -> Dialogue:
    """Find the trees with a history that contain one of the paths → TreesAbove.

    The roots of trees that are `inputs` are written even if the tree has no history.  A tree whose
    root is removed is none of them.
    """
    gone = {f"{change.path}/" for change in changes if isinstance(change, Removal)}
    trees = sorted({tree for change in changes for tree in _trees_around(change.path)} - gone)
    if not trees:
        return TreesAbove((), ())
    requests = [Exists(paths.index(tree)) for tree in trees]
    outcomes = yield requests
    written = {paths.znode(change.path) for change in changes}
    entries: list[ContentChange] = []
    roots: list[Operation] = []
    for tree, request, outcome in zip(trees, requests, outcomes, strict=True):
        if paths.demand(request, outcome) is None and tree not in inputs:
            continue
        try:
            history: PathHistory = yield from history_steps(paths, tree)
        except RefusedError:
            # What makes a tree unreadable must not stop the push of one file in it.
            roots += yield from _unread_root(paths, tree, written)
            continue
        if history.tree is None or not (history.entries or tree in inputs):
            continue
        if (whole := paths.znode(tree)) not in written:
            roots.append(SetContent(whole, history.tree.root.content, history.version))
        inside = [change for change in changes if contains(tree, change.path)]
        if not history.entries:
            continue
        change = ContentChange(history=history, content=_content(history, inside), source=tree)
        if _can_keep(paths, acl, change, inside):
            entries.append(change)
    return TreesAbove(entries, roots)


def _unread_root(paths: HistoryPaths, tree: str, written: Collection[str]) -> Dialogue:
    """Read only the root of a tree → what writes it with the content that it has."""
    request = Get(paths.znode(tree))
    (found,) = yield [request]
    if isinstance(found, NoNodeError) or request.path in written:
        return []
    content, stat = paths.demand(request, found)
    return [SetContent(request.path, content, stat.version)]


def _trees_around(path: str) -> list[str]:
    """The trees that contain a path, except itself; / is no tree."""
    parts = path.split("/")[1:]
    # The last part of a tree's path is empty, behind its slash.
    most = len(parts) - 1 if is_tree(path) else len(parts) + 1
    return [f"/{'/'.join(parts[:count])}/" for count in range(1, most) if path != "/"]


def _content(history: PathHistory, inside: Sequence[ContentChange | Removal]) -> bytes:
    """The content of a tree after these changes."""
    contents = dict(decode(history.content or b""))
    for change in inside:
        below = change.path[len(history.path) :].rstrip("/")
        if isinstance(change, ContentChange) and not is_tree(change.path):
            contents[below] = change.content
            continue
        contents = {p: c for p, c in contents.items() if not f"{p}/".startswith(f"{below}/")}
        if isinstance(change, Removal):
            continue
        contents |= {
            f"{below}/{path}".rstrip("/"): content
            for path, content in decode(change.content).items()
        }
    return encode(contents)


def _can_keep(
    paths: HistoryPaths,
    acl: HistoryAcl,
    change: ContentChange,
    inside: Sequence[ContentChange | Removal],
) -> bool:
    tree = change.history
    create = Create(paths.content(tree.path, digest_of(change.content)), change.content, tree.acl)
    return (
        size_of(create) <= LARGEST_COMMIT
        and acl.secret_znode(tree) is None
        and not any(acl.hides(each.history, tree) for each in inside)
    )
