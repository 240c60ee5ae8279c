"""`zkexecctl undo`: push earlier content of the znodes; everything else is as for `push`.

The file is short because a subcommand has a file of its own.
"""

from zkexec.ctl.arguments import Invocation
from zkexec.ctl.cluster_connection import ClusterConnection, connect
from zkexec.ctl.command.push import Push, check_usable
from zkexec.ctl.exit_status import SubcommandError
from zkexec.ctl.history.content_change import ContentChange
from zkexec.ctl.history.content_history import HistoryEntry, PathHistory
from zkexec.ctl.history.history_store import entry_of, read_entry
from zkexec.ctl.history.tree_content import is_tree
from zkexec.ctl.terminal.console import Console


def run(invocation: Invocation, console: Console) -> int:
    """Push earlier contents of the znodes of the invocation."""
    check_usable(invocation, console)
    with connect(invocation.connection, console) as cluster:
        push = Push(invocation, console, cluster)
        changes = [
            _change(push, cluster, push.read(path), invocation.to) for path in invocation.paths
        ]
        return push.carry_out(changes)


def _change(
    push: Push, cluster: ClusterConnection, history: PathHistory, to: int | None
) -> ContentChange:
    entry = _entry_to_restore(history, to)
    content: bytes = cluster.run(read_entry(push.paths, history.path, entry))
    return ContentChange(
        history=history,
        content=content,
        source=f"@{entry.revision}",
        restored_revision=entry.origin,
    )


def _entry_to_restore(history: PathHistory, to: int | None) -> HistoryEntry:
    """Choose the entry of the requested revision, by default the one before the present."""
    entry = history.before() if to is None else entry_of(history, to)
    if entry is None:
        exists = history.content is not None or history.entries
        what = "nothing earlier in its history" if exists else "there is no such znode"
        if exists and is_tree(history.path):
            what += ": if one file of it was pushed, undo this file"
        raise SubcommandError(f"{history.path}: {what}")
    return entry
