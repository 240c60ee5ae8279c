"""`zkexecctl pull`: write the present files of a tree into a new or empty folder.

Either all files are written or nothing is left.  Every file is new and every folder is opened
without following links, so whatever others do there meanwhile, nothing else is written to.
"""

import os
import shutil
import signal
from contextlib import suppress

from zkexec.ctl.arguments import Invocation
from zkexec.ctl.cluster_connection import connect
from zkexec.ctl.command.ending_signals import SignalledError, signals_raised
from zkexec.ctl.exit_status import CANNOT_WORK, DONE, SubcommandError
from zkexec.ctl.history.history_paths import HistoryPaths
from zkexec.ctl.history.history_store import read_tree
from zkexec.ctl.history.tree_content import Files, to_files
from zkexec.ctl.history.tree_state import TreeState
from zkexec.ctl.terminal.console import Console
from zkexec.ctl.terminal.tree_diff import files_text

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_FOLDER = os.O_RDONLY | os.O_DIRECTORY


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
        raise SubcommandError(
            f"{folder}: cannot write the files: {error.strerror}; nothing was written", CANNOT_WORK
        ) from None
    console.paragraph(f"{path}: {files_text(files)}, in {folder}/")
    return DONE


def _write(files: Files, folder: str) -> None:
    """Write all files, or remove what was written."""
    with signals_raised() as signals:
        with signals.deferred():
            written = _WrittenFolder(folder)
        try:
            for file, content in files.items():
                with signals.deferred():
                    written.add(file, content)
        except BaseException:
            with signals.deferred():
                written.remove()
            raise
        finally:
            written.close()


class _WrittenFolder:
    """A folder that gets files; it is created if it does not exist."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._made: set[str] = set()
        self._is_new = _make(folder, None)
        self._top = os.open(folder, _FOLDER)

    def add(self, file: str, content: bytes) -> None:
        """Write one file, and the folders above it."""
        *folders, name = file.encode().split(b"/")
        place = os.dup(self._top)
        try:
            for folder in folders:
                is_new = _make(folder, place)
                self._note(file, is_new=is_new and folder is folders[0])
                inner = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=place)
                os.close(place)
                place = inner
            with open(os.open(name, _NEW_FILE, 0o644, dir_fd=place), "wb") as opened:
                self._note(file, is_new=not folders)
                opened.write(content)
        finally:
            os.close(place)

    def _note(self, file: str, *, is_new: bool) -> None:
        if is_new:
            self._made.add(file.partition("/")[0])

    def remove(self) -> None:
        """Remove what was written, as far as it is possible."""
        for name in self._made:
            with suppress(OSError):
                try:
                    os.unlink(name, dir_fd=self._top)
                except IsADirectoryError:
                    shutil.rmtree(name, dir_fd=self._top)
        if self._is_new:
            with suppress(OSError):
                os.rmdir(self._folder)

    def close(self) -> None:
        """Close what is open."""
        os.close(self._top)


def _make(folder: str | bytes, place: int | None) -> bool:
    """Create a folder; return False if it was there."""
    try:
        os.mkdir(folder, dir_fd=place)
    except FileExistsError:
        return False
    return True
