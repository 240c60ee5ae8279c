"""Write the files of a tree into a folder that is new or empty, and remove them again.

Every file is new and every folder is opened without following links, so whatever others do there
meanwhile, nothing else is written to.  Folders can be nested deeper than calls or paths can be.
"""

import os
import shutil
from contextlib import suppress

from zkexec.files.staged_folder import FOLDER_FLAGS, empty_folder

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_FOLDER = os.O_RDONLY | os.O_DIRECTORY


class WrittenFolder:
    """A folder that gets files; it is created if it does not exist.

    If it `is_private`, only this user can read what is made; else the umask decides.
    """

    def __init__(self, folder: str, *, is_private: bool = False) -> None:
        self._folder = folder
        self._file_mode, self._folder_mode = (0o600, 0o700) if is_private else (0o644, 0o777)
        self._made: set[str] = set()
        self._is_new = self._make(folder, None)
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
                is_new = self._make(folder, place)
                self._note(file, is_new=is_new and not depth)
                inner = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=place)
                os.close(place)
                place = inner
            file_fd = os.open(name, _NEW_FILE, self._file_mode, dir_fd=place)
            with open(file_fd, "wb") as opened:
                self._note(file, is_new=not folders)
                opened.write(content)
        finally:
            os.close(place)

    def _make(self, folder: str | bytes, place: int | None) -> bool:
        """Create a folder; return False if it was there."""
        try:
            os.mkdir(folder, self._folder_mode, dir_fd=place)
        except FileExistsError:
            return False
        return True

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
            return remove_folder(name, self._top)
        except OSError as error:
            return isinstance(error, FileNotFoundError)
        return True

    def close(self) -> None:
        """Close what is open."""
        os.close(self._top)


def remove_folder(name: str, above: int | None = None) -> bool:
    """Remove a folder, perhaps in an open one; return whether it is gone.  Never fails."""
    with suppress(OSError):
        folder = os.open(name, FOLDER_FLAGS, dir_fd=above)
        try:
            is_empty = empty_folder(folder)
        finally:
            os.close(folder)
        if is_empty:
            os.rmdir(name, dir_fd=above)
            return True
    if os.path.exists("/proc/self"):
        return False
    # Without /proc this is possible, if it is not nested deeper than calls can be.
    with suppress(OSError, RecursionError):
        shutil.rmtree(name, dir_fd=above)
        return True
    return False
