"""Under which name a member is known to its group, and how it is kept from being taken twice.

The rules of this file:

- A name is held by a lock on a local file, for as long as zkexec lives: nothing closes it, and
  the kernel releases it whatever zkexec dies of.  It is closed on exec, so no child holds it.
- Whoever starts again finds the name that it had before: an automatic name ends in the first
  number that nobody holds.
- The files lie in a folder that nobody else can write to, and are never removed: a lock on a
  removed file would keep nobody away.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from errno import EPERM
from itertools import count

from zkexec.core.sha256 import sha256
from zkexec.core.value import value
from zkexec.settings import Settings

RUN = "/run"
"""Where the folder of root's is; everybody else's lies below XDG_RUNTIME_DIR."""
TMP = "/tmp"  # noqa: S108 - A folder in it is taken only where it is ours alone.
"""Where it is otherwise."""

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_LONGEST_HOST_NAME = 100
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class IdentityError(Exception):
    """There is no name for this member; the text is for the operator."""


@value()
class Identity:
    """The member's name, and the place of its lock: a text that no two living processes share."""

    member_id: str
    place: str


def hold_identity(settings: Settings) -> Identity:
    """Take the member's name and hold it until this process ends; raises IdentityError."""
    obstacles = []
    for path in _folders():
        try:
            return _hold_in(_open_folder(path), settings)
        except OSError as error:
            obstacles.append(f"{path} ({error.strerror})")
    raise IdentityError(
        "--lock: expected a folder to hold the member's name in, got " + " and ".join(obstacles)
    )


def _folders() -> Iterator[str]:
    """Where the locks may be: of these, the first that can be used is taken."""
    user = os.geteuid()
    runtime = RUN if user == 0 else os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        yield f"{runtime}/zkexec"
    yield f"{TMP}/zkexec-{user}"


def _open_folder(path: str) -> int:
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    folder = os.open(path, _FOLDER_FLAGS)
    status = os.fstat(folder)
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        os.close(folder)
        raise OSError(EPERM, "others can write to it")
    # systemd-tmpfiles, which removes old files, leaves a locked folder alone.
    with suppress(OSError):
        fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return folder


def _hold_in(folder: int, settings: Settings) -> Identity:
    for member_id in _names(settings):
        place = _hold(folder, _digest(member_id, settings.lock, *_cluster(settings)))
        if place:
            return Identity(member_id, place)
    raise IdentityError(f"--member-id: another zkexec on this host uses {settings.member_id}")


def _names(settings: Settings) -> Iterator[str]:
    if settings.member_id:
        yield settings.member_id
        return
    mirrors = [(mirror.local_path, mirror.zk_path) for mirror in settings.terms.mirrors]
    ours = (settings.command.argv, mirrors, settings.lock, *_cluster(settings))
    stem = f"{_host_name()}-{_digest(*ours)[:8]}"
    yield from (f"{stem}-{slot}" for slot in count())


def _hold(folder: int, name: str) -> str:
    """Lock the file of that name and return its place; "" where somebody else holds it."""
    file = os.open(f"{name}.lock", _FILE_FLAGS, 0o600, dir_fd=folder)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return ""
    status = os.fstat(file)
    with open(_BOOT_ID, encoding="utf-8") as boot:
        return f"{boot.read().strip()}-{status.st_dev:x}-{status.st_ino:x}"


def _cluster(settings: Settings) -> tuple[object, ...]:
    return sorted(settings.servers), settings.chroot


def _host_name() -> str:
    """The host's name, with nothing in it that a znode or a log would stumble over."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", os.uname().nodename)[:_LONGEST_HOST_NAME] or "host"


def _digest(*what: object) -> str:
    return sha256(repr(what).encode("utf-8", "surrogateescape")).hexdigest()[:32]
