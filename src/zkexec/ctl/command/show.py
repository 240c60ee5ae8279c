"""`zkexecctl show`: write the present or an earlier content of a znode to stdout, byte for byte.

The file is short because a subcommand has a file of its own.
"""

from zkexec.ctl.arguments import Invocation
from zkexec.ctl.cluster_connection import ClusterConnection, connect
from zkexec.ctl.exit_status import DONE, SubcommandError
from zkexec.ctl.history.history_paths import HistoryPaths
from zkexec.ctl.history.history_store import entry_of, read_content, read_entry, read_history
from zkexec.ctl.terminal.console import Console
from zkexec.ctl.terminal.text_diff import is_text, size_text


def run(invocation: Invocation, console: Console) -> int:
    """Write the content; refuse to write binary content to a terminal."""
    (path,) = invocation.paths
    with connect(invocation.connection, console) as cluster:
        content = _content(cluster, path, invocation.revisions)
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
    content: bytes | None = cluster.run(read_content(paths, path))
    if content is None:
        raise SubcommandError(f"{path}: there is no such znode")
    return content
