"""`zkexecctl show`: write the present or an earlier content of a znode to stdout, byte for byte.

Of a tree it lists the files.
"""

from zkexec.ctl.arguments import Invocation
from zkexec.ctl.cluster_connection import ClusterConnection, connect
from zkexec.ctl.exit_status import DONE, SubcommandError
from zkexec.ctl.history.content_history import digest_of
from zkexec.ctl.history.history_paths import HistoryPaths
from zkexec.ctl.history.history_store import (
    entry_of,
    read_content,
    read_entry,
    read_history,
    read_tree,
)
from zkexec.ctl.history.tree_content import Znodes, decode, encode, is_tree, listed
from zkexec.ctl.history.tree_state import TreeState
from zkexec.ctl.terminal.console import Console
from zkexec.ctl.terminal.table import Cell, Column, table
from zkexec.ctl.terminal.text_diff import is_text, short_digest, size_text


def run(invocation: Invocation, console: Console) -> int:
    """Write the content; refuse to write binary content to a terminal."""
    (path,) = invocation.paths
    with connect(invocation.connection, console) as cluster:
        content = _content(cluster, path, invocation.revisions)
    if is_tree(path):
        return _list_files(decode(content), console)
    if console.is_terminal and not is_text(content):
        raise SubcommandError(
            f"{path}: binary content ({size_text(len(content))}) is not shown on a terminal: "
            "write it to a file or a pipe"
        )
    console.write(content)
    return DONE


def _content(cluster: ClusterConnection, path: str, revisions: tuple[int, ...]) -> bytes:
    paths = HistoryPaths.below(cluster.chroot)
    if revisions:
        entry = entry_of(cluster.run(read_history(paths, path)), revisions[0])
        kept: bytes = cluster.run(read_entry(paths, path, entry))
        return kept
    if is_tree(path):
        state: TreeState = cluster.run(read_tree(paths, path))
        content = encode(state.contents) if state.znodes else None
    else:
        content = cluster.run(read_content(paths, path))
    if content is None:
        raise SubcommandError(f"{path}: there is no such znode")
    return content


def _list_files(znodes: Znodes, console: Console) -> int:
    files = listed(znodes)
    columns = [
        Column("FILE", tuple(Cell(file) for file, _ in files)),
        Column("SIZE", tuple(Cell(size_text(len(content))) for _, content in files)),
        Column("SHA256", tuple(Cell(short_digest(digest_of(content))) for _, content in files)),
    ]
    if not files:
        console.out("no files")
        return DONE
    for line in table(columns, console.width if console.is_terminal else None, console.paint):
        console.out(line)
    return DONE
