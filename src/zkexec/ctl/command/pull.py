"""`zkexecctl pull`: write the present files of a tree into a new or empty folder.

Either all files are written or nothing is left.
"""

import signal

from zkexec.ctl.arguments import Invocation
from zkexec.ctl.cluster_connection import connect
from zkexec.ctl.command.ending_signals import SignalledError, signals_raised
from zkexec.ctl.command.written_folder import WrittenFolder
from zkexec.ctl.exit_status import CANNOT_WORK, DONE, SubcommandError
from zkexec.ctl.history.history_paths import HistoryPaths
from zkexec.ctl.history.history_store import read_tree
from zkexec.ctl.history.tree_content import Files, to_files
from zkexec.ctl.history.tree_state import TreeState
from zkexec.ctl.terminal.console import Console
from zkexec.ctl.terminal.tree_diff import files_text


def run(invocation: Invocation, console: Console) -> int:
    """Write the files of the tree."""
    ((path, folder),) = invocation.pairs
    with connect(invocation.connection, console) as cluster:
        state: TreeState = cluster.run(read_tree(HistoryPaths.below(cluster.chroot), path))
    if not state.znodes:
        raise SubcommandError(f"{path}: there is no such znode")
    try:
        files = to_files(state.contents)
    except ValueError as mistake:
        raise SubcommandError(f"{path}{mistake}; nothing was written") from None
    try:
        _write(files, folder)
    except SignalledError as signalled:
        signal.raise_signal(signalled.number)
    except OSError as error:
        raise _failed(folder, error, "nothing was written") from None
    console.paragraph(f"{path}: {files_text(files)}, in {folder}/")
    return DONE


def _write(files: Files, folder: str) -> None:
    """Write all files, or remove what was written."""
    with signals_raised() as signals:
        with signals.deferred():
            written = WrittenFolder(folder)
        try:
            for file, content in files.items():
                with signals.deferred():
                    written.add(file, content)
        except BaseException as failure:
            with signals.deferred():
                is_removed = written.remove()
            if isinstance(failure, OSError) and not is_removed:
                rest = "not all that was written could be removed"
                raise _failed(folder, failure, rest) from None
            raise
        finally:
            written.close()


def _failed(folder: str, error: OSError, rest: str) -> SubcommandError:
    text = f"{folder}: cannot write the files: {error.strerror}; {rest}"
    return SubcommandError(text, CANNOT_WORK)
