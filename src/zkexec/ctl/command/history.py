"""`zkexecctl history`: list what was pushed to a znode, when, by whom and why."""

import json
from typing import Any

from zkexec.ctl.arguments import Invocation
from zkexec.ctl.cluster_connection import connect
from zkexec.ctl.exit_status import DONE, SubcommandError
from zkexec.ctl.history.content_history import HistoryEntry, PathHistory
from zkexec.ctl.history.history_paths import HistoryPaths
from zkexec.ctl.history.history_store import read_history
from zkexec.ctl.status.time_phrases import full_time
from zkexec.ctl.terminal.console import Console
from zkexec.ctl.terminal.table import Cell, Column, table
from zkexec.ctl.terminal.text_diff import short_digest, size_text

_OTHER_TOOL = "another tool"


def run(invocation: Invocation, console: Console) -> int:
    """List the entries, newest first."""
    (path,) = invocation.paths
    with connect(invocation.connection, console) as cluster:
        history: PathHistory = cluster.run(read_history(HistoryPaths.below(cluster.chroot), path))
    if history.content is None and not history.entries:
        raise SubcommandError(f"{path}: there is no such znode, and no history of one")
    if invocation.json:
        console.out(json.dumps(_in_json(history)))
        return DONE
    if history.content is None:
        console.paragraph(f"{path}: was deleted")
    width = console.width if console.is_terminal else None
    for line in table(_columns(history), width, console.paint):
        console.out(line)
    return DONE


def _columns(history: PathHistory) -> list[Column]:
    present = history.present
    rows = [_cells(entry, is_present=entry is present) for entry in reversed(history.entries)]
    if (unlisted := history.unlisted) is not None:
        rows.insert(0, _cells(unlisted, is_present=True))
    titles = ("REVISION", "TIME", "BY", "SIZE", "SHA256", "HELD", "MESSAGE")
    ranks = (0, 2, 0, 4, 3, 0, 0)
    columns = [
        Column(title, tuple(column), rank)
        for title, column, rank in zip(titles, zip(*rows, strict=True), ranks, strict=True)
    ]
    # Most paths never had a push with a hold.
    return [column for column in columns if column.title != "HELD" or not column.is_empty]


def _cells(entry: HistoryEntry, *, is_present: bool) -> list[Cell]:
    revision = [f"@{entry.revision}"] * bool(entry.revision) + ["now"] * is_present
    return [
        Cell(" ".join(revision), "good" if is_present else ""),
        Cell(full_time(entry.at)),
        Cell(_OTHER_TOOL, "busy") if entry.set_by_other_tool else Cell(entry.by),
        Cell(size_text(entry.size)),
        Cell(short_digest(entry.digest)),
        Cell(f"after {entry.held_after}" if entry.held_after else ""),
        Cell(entry.message),
    ]


def _in_json(history: PathHistory) -> dict[str, Any]:
    entries = [_entry_in_json(entry, history) for entry in reversed(history.entries)]
    if (unlisted := history.unlisted) is not None:
        entries.insert(0, _entry_in_json(unlisted, history))
    return {"path": history.path, "exists": history.content is not None, "contents": entries}


def _entry_in_json(entry: HistoryEntry, history: PathHistory) -> dict[str, Any]:
    is_unlisted = not entry.revision
    return {
        "revision": entry.revision or None,
        "present": is_unlisted or entry is history.present,
        "set_by_other_tool": entry.set_by_other_tool,
        "kept": entry.digest in history.kept or is_unlisted,
        "at": entry.at,
        "by": entry.by or None,
        "message": entry.message or None,
        "size": entry.size,
        "sha256": entry.digest,
        "restored_revision": entry.restored_revision or None,
        "held_after": entry.held_after or None,
    }
