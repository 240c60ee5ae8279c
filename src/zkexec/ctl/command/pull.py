"""`zkexecctl pull`: write the present files of a tree into a new or empty folder.

Either all files are written or nothing is left.  Every file is new and every folder is opened
without following links, so whatever others do there meanwhile, nothing else is written to.
"""

import os
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
from zkexec.files.staged_folder import FOLDER_FLAGS, empty_folder

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
        raise _failed(folder, error, "nothing was written") from None
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


class _WrittenFolder:
    """A folder that gets files; it is created if it does not exist."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._made: set[str] = set()
        self._is_new = _make(folder, None)
        try:
            self._top = os.open(folder, _FOLDER)
        except OSError:
            if self._is_new:
                os.rmdir(folder)
            raise

    def add(self, file: str, content: bytes) -> None:
        """Write one file, and the folders above it."""
        *folders, name = file.encode().split(b"/")
        place = os.dup(self._top)
        try:
            for depth, folder in enumerate(folders):
                is_new = _make(folder, place)
                self._note(file, is_new=is_new and not depth)
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

    def remove(self) -> bool:
        """Remove what was written; return whether nothing of it is left."""
        left = [name for name in self._made if not self._remove(name)]
        if self._is_new:
            with suppress(OSError):
                os.rmdir(self._folder)
        return not left

    def _remove(self, name: str) -> bool:
        try:
            os.unlink(name, dir_fd=self._top)
        except IsADirectoryError:
            return self._remove_folder(name)
        except OSError as error:
            return isinstance(error, FileNotFoundError)
        return True

    def _remove_folder(self, name: str) -> bool:
        """Remove a folder, which can be nested deeper than calls may be."""
        with suppress(OSError):
            folder = os.open(name, FOLDER_FLAGS, dir_fd=self._top)
            try:
                empty_folder(folder)
            finally:
                os.close(folder)
            os.rmdir(name, dir_fd=self._top)
            return True
        return False

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
