"""`zkexecctl undo`: push earlier content of the znodes; everything else is as for `push`.

What it goes back to is shown first.  If that has failed in a group as well, a warning names the
revision that was known good.
"""

import re

from zkexec.ctl.arguments import Invocation
from zkexec.ctl.cluster_connection import ClusterConnection, connect
from zkexec.ctl.command.push import Push, check_usable
from zkexec.ctl.exit_status import SubcommandError
from zkexec.ctl.history.content_change import ContentChange
from zkexec.ctl.history.content_history import HistoryEntry, PathHistory
from zkexec.ctl.history.history_store import entry_of, read_entry
from zkexec.ctl.history.tree_content import is_tree
from zkexec.ctl.printed_command import printed_command
from zkexec.ctl.status.failed_revisions import failed_revisions
from zkexec.ctl.status.group_reader import GroupReader
from zkexec.ctl.status.time_phrases import full_time
from zkexec.ctl.terminal.console import Console


def run(invocation: Invocation, console: Console) -> int:
    """Push earlier contents of the znodes of the invocation."""
    check_usable(invocation, console)
    with connect(invocation.connection, console) as cluster:
        push = Push(invocation, console, cluster)
        histories = [push.read(path) for path in invocation.paths]
        entries = [_entry_to_restore(history, invocation) for history in histories]
        groups = GroupReader(cluster, invocation.lock, live=False).read()
        pairs = list(zip(histories, entries, strict=True))
        for history, entry in pairs:
            console.paragraph(_destination(history, entry))
            for warning in failed_revisions(history, entry, groups):
                console.report(f"warning: {warning}")
        return push.carry_out([_change(push, cluster, *pair) for pair in pairs])


def _destination(history: PathHistory, entry: HistoryEntry) -> str:
    """Write which revision an undo goes to, and who has pushed it, when and why."""
    present = history.present
    source = f" from @{present.revision}" if present else ""
    who = "another tool" if entry.set_by_other_tool else entry.by or "unknown"
    why = f": {entry.message}" if entry.message else ""
    at = full_time(entry.at)
    return f"{history.path}: back{source} to @{entry.revision} ({who}, {at}{why})"


def _change(
    push: Push, cluster: ClusterConnection, history: PathHistory, entry: HistoryEntry
) -> ContentChange:
    content: bytes = cluster.run(read_entry(push.paths, history.path, entry))
    return ContentChange(
        history=history,
        content=content,
        source=f"@{entry.revision}",
        restored_revision=entry.origin,
    )


def _entry_to_restore(history: PathHistory, invocation: Invocation) -> HistoryEntry:
    """Choose the entry of the requested revision, by default the one before the present."""
    to = invocation.to
    entry = history.before() if to is None else entry_of(history, to)
    if entry is None:
        exists = history.content is not None or history.entries
        what = "nothing earlier in its history" if exists else "there is no such znode"
        if not exists and (named := re.fullmatch("(.+)@([0-9]+)", history.path)):
            words = ("undo", named[1], "--to", named[2])
            command = printed_command(invocation.connection.words, *words)
            what += f"; to go back to a revision: {command}"
        if exists and is_tree(history.path):
            what += ": if one file of it was pushed, undo this file"
        raise SubcommandError(f"{history.path}: {what}")
    return entry
