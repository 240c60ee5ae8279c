"""`zkexecctl diff`: compare an earlier content of a znode with another one, or with the present.

The file is short because a subcommand has a file of its own.
"""

from zkexec.ctl.arguments import Invocation
from zkexec.ctl.cluster_connection import ClusterConnection, connect
from zkexec.ctl.command.change_display import present_name
from zkexec.ctl.exit_status import DONE, SubcommandError
from zkexec.ctl.history.content_history import PathHistory
from zkexec.ctl.history.history_paths import HistoryPaths
from zkexec.ctl.history.history_store import entry_of, read_entry, read_history
from zkexec.ctl.history.tree_content import decode, is_tree
from zkexec.ctl.terminal.console import Console
from zkexec.ctl.terminal.text_diff import text_diff
from zkexec.ctl.terminal.tree_diff import tree_diff


def run(invocation: Invocation, console: Console) -> int:
    """Show what has changed between the two contents."""
    (path,) = invocation.paths
    old_revision, *others = invocation.revisions
    with connect(invocation.connection, console) as cluster:
        history = cluster.run(read_history(HistoryPaths.below(cluster.chroot), path))
        old = _content(cluster, history, old_revision)
        if others:
            new, name = _content(cluster, history, others[0]), _name(path, others[0])
        elif history.content is None:
            raise SubcommandError(f"{path}: there is no such znode: give two revisions")
        else:
            new, name = history.content, present_name(history) if is_tree(path) else history.label
    if old == new:
        console.paragraph(f"{path}: same content")
        return DONE
    names = (_name(path, old_revision), name)
    lines = (
        tree_diff(decode(old), decode(new), path, names)
        if is_tree(path)
        else text_diff(old, new, names)
    )
    for style, line in lines:
        console.out(console.paint(style, line) if style else line)
    return DONE


def _name(path: str, revision: int) -> str:
    return f"@{revision}" if is_tree(path) else f"{path}@{revision}"


def _content(cluster: ClusterConnection, history: PathHistory, revision: int) -> bytes:
    paths = HistoryPaths.below(cluster.chroot)
    entry = entry_of(history, revision)
    content: bytes = cluster.run(read_entry(paths, history.path, entry))
    return content
