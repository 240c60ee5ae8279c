"""Write new files below a folder, each at its full path, and remove what is in a folder.

So a person, a pipeline or a check can read what would be installed.
"""

from __future__ import annotations

import os
import stat
from errno import ENOTEMPTY
from itertools import count

from zkexec.files.target_file import folder_of, make_folders, write_all
from zkexec.lean import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from zkexec.files.staged_file import Attributes

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""How a folder is opened whose content is removed: never through a link."""
VARIABLES_NAME = ".env"
"""The file in a staged folder that contains the variables."""
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-")
"""The bytes that mean nothing to a shell."""
_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_staged_folder(
    folder: str,
    files: Mapping[str, bytes],
    targets: Iterable[str],
    variables: Mapping[str, bytes] | None = None,
    attributes_of: Callable[[str], Attributes] | None = None,
) -> None:
    """Write each file, as accessible as a new target, below a folder that is new or empty.

    The folder of a tree is there even if the tree is empty.  Variables are written into one file,
    as a shell reads them, which only this user can read.  `attributes_of` returns the mode and
    owner that options give to a target.  Raises OSError, whose `filename` is that of the folder or
    of the target; then nothing is left.
    """
    is_new = _make_folder(folder)
    try:
        for target in targets:
            for path in files_of(target, files):
                _write_below(folder, path, files.get(path), attributes_of)
        if variables:
            write_new(f"{folder}/{VARIABLES_NAME}", _assignments(variables), 0o600)
    except BaseException:
        _remove_content(folder)
        if is_new:
            with suppress(OSError):
                os.rmdir(folder)
        raise


def _assignments(variables: Mapping[str, bytes]) -> bytes:
    return b"".join(
        b"%s=%s\n" % (name.encode(), _quoted(value)) for name, value in sorted(variables.items())
    )


def _quoted(value: bytes) -> bytes:
    """Quote a value for a shell, if it needs that."""
    if _PLAIN.issuperset(value):
        return value
    return b"'%s'" % value.replace(b"'", b"'\\''")


def files_of(target: str, files: Mapping[str, bytes]) -> list[str]:
    """Return the paths of the files of a target; those of a tree begin with its folder itself."""
    if not target.endswith("/"):
        return [target]
    return [target, *sorted(path for path in files if path.startswith(target))]


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


def empty_folder(folder: int) -> bool:
    """Remove all that is in an open folder; return whether nothing is left.  Never fails.

    No link is followed, and nothing is removed that is mounted in it.  Folders can be nested
    deeper than calls or descriptors allow, so what is in them is moved up.
    """
    numbers = count()
    try:
        mount = _mount_of(folder)
        while sum(_remove_entry(folder, name, mount, numbers) for name in os.listdir(folder)):
            pass  # what was moved up is removed in the next round
        return not os.listdir(folder)
    except OSError:
        return False


def _remove_entry(above: int, name: str, mount: str, numbers: Iterator[int]) -> bool:
    """Remove a file, or a folder whose content is moved up; return whether there is more to do."""
    try:
        os.unlink(name, dir_fd=above)
    except IsADirectoryError:
        return _remove_folder(above, name, mount, numbers)
    except OSError:
        pass  # such as a file on which another is mounted
    return False


def _remove_folder(above: int, name: str, mount: str, numbers: Iterator[int]) -> bool:
    with suppress(OSError):
        folder = _open_own(above, name)
        try:
            if _mount_of(folder) != mount:
                return False
            moved = sum(_move_up(folder, entry, above, numbers) for entry in os.listdir(folder))
        finally:
            os.close(folder)
        os.rmdir(name, dir_fd=above)
        return moved > 0
    return False


def _move_up(folder: int, name: str, above: int, numbers: Iterator[int]) -> bool:
    """Remove a file, or move a folder up under a new name; return whether it was moved."""
    try:
        os.unlink(name, dir_fd=folder)
    except IsADirectoryError:
        with suppress(OSError):
            os.rename(name, f".zkexec-{next(numbers)}", src_dir_fd=folder, dst_dir_fd=above)
            return True
    except OSError:
        pass
    return False


def _open_own(above: int, name: str) -> int:
    """Open a folder, also one whose owner has no right to read or change it."""
    try:
        folder = os.open(name, FOLDER_FLAGS, dir_fd=above)
    except PermissionError:
        if not stat.S_ISDIR(os.lstat(name, dir_fd=above).st_mode):
            raise
        os.chmod(name, 0o700, dir_fd=above)
        folder = os.open(name, FOLDER_FLAGS, dir_fd=above)
    with suppress(OSError):
        os.fchmod(folder, 0o700)
    return folder


def _mount_of(folder: int) -> str:
    """Identify the mount of an open folder: a bind mount can be of the same filesystem."""
    with open(f"/proc/self/fdinfo/{folder}", encoding="ascii") as file:
        return next((line for line in file if line.startswith("mnt_id:")), "")


def _make_folder(folder: str) -> bool:
    """Make a folder that only this user can enter; return False if it is there and empty."""
    try:
        make_folders(folder_of(folder))
        os.mkdir(folder, 0o700)
    except FileExistsError:
        if os.listdir(folder):
            raise OSError(ENOTEMPTY, os.strerror(ENOTEMPTY), folder) from None
        return False
    return True


def _write_below(
    folder: str,
    target: str,
    content: bytes | None,
    attributes_of: Callable[[str], Attributes] | None,
) -> None:
    path = path_below(folder, target)
    try:
        make_folders(folder_of(path))
        if content is not None and attributes_of is not None:
            _write_with(path, content, attributes_of(target))
        elif content is not None:
            write_new(path, content, 0o644)
    except OSError as failure:
        raise OSError(failure.errno, failure.strerror, target) from failure


def _write_with(path: str, content: bytes, attributes: Attributes) -> None:
    """Write a new file that is as accessible as these attributes allow from its first byte on.

    An owner that this user cannot give is left out: then the rights of others are, as well.
    """
    from zkexec.files.staged_file import (  # noqa: PLC0415 - seldom needed
        AttributesRefusedError,
        give_attributes,
    )

    mode = attributes.mode
    fd = os.open(path, _FILE_FLAGS, 0o644 if mode is None else 0o600)
    try:
        try:
            give_attributes(fd, attributes)
        except AttributesRefusedError:
            if mode is not None:
                os.fchmod(fd, mode & 0o700)
        write_all(fd, content)
    finally:
        os.close(fd)


def _remove_content(path: str) -> None:
    with suppress(OSError):
        folder = os.open(path, FOLDER_FLAGS)
        try:
            empty_folder(folder)
        finally:
            os.close(folder)
