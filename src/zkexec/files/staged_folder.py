"""Write new files below a folder, each at its full path, and remove what is in a folder.

So a person, a pipeline or a check can read what would be installed.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from errno import ENOTEMPTY

from zkexec.files.target_file import folder_of, write_all

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""How a folder is opened whose content is removed: never through a link."""
_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_staged_folder(folder: str, files: Iterable[tuple[str, bytes]]) -> None:
    """Write each file, with the mode of a new target, below a folder that is new or empty.

    Raises OSError, whose `filename` is that of the folder or of the target; then nothing is left.
    """
    is_new = _make_folder(folder)
    try:
        for target, content in files:
            _write_below(folder, target, content)
    except BaseException:
        _remove_content(folder)
        if is_new:
            with suppress(OSError):
                os.rmdir(folder)
        raise


def path_below(folder: str, target: str) -> str:
    """Return the path that a target has if this folder is the root.

    A `..` could lead out of the folder, so a path with one is resolved first.
    """
    if "/../" in target:
        real_folder = os.path.realpath(folder_of(target)).rstrip("/")
        target = f"{real_folder}/{target.rpartition('/')[2]}"
    return folder + target


def write_new(path: str, content: bytes, mode: int) -> None:
    """Write a file that does not exist yet.  Raises OSError."""
    fd = os.open(path, _FILE_FLAGS, mode)
    try:
        write_all(fd, content)
    finally:
        os.close(fd)


def empty_folder(folder: int) -> None:
    """Remove all that is in an open folder; no link is followed.  Never fails."""
    with suppress(OSError):
        for name in os.listdir(folder):
            with suppress(OSError):
                _remove_entry(folder, name)


def _make_folder(folder: str) -> bool:
    """Make a folder that only this user can enter; return False if it is there and empty."""
    try:
        os.makedirs(folder_of(folder), exist_ok=True)
        os.mkdir(folder, 0o700)
    except FileExistsError:
        if os.listdir(folder):
            raise OSError(ENOTEMPTY, os.strerror(ENOTEMPTY), folder) from None
        return False
    return True


def _write_below(folder: str, target: str, content: bytes) -> None:
    path = path_below(folder, target)
    try:
        os.makedirs(folder_of(path), exist_ok=True)
        write_new(path, content, 0o644)
    except OSError as failure:
        raise OSError(failure.errno, failure.strerror, target) from failure


def _remove_content(path: str) -> None:
    with suppress(OSError):
        folder = os.open(path, FOLDER_FLAGS)
        try:
            empty_folder(folder)
        finally:
            os.close(folder)


def _remove_entry(above: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=above)
    except IsADirectoryError:
        folder = os.open(name, FOLDER_FLAGS, dir_fd=above)
        try:
            empty_folder(folder)
        finally:
            os.close(folder)
        os.rmdir(name, dir_fd=above)
