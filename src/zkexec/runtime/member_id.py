"""Under which name a member is known to its group, and how it is kept from being taken twice.

The rules of this file:

- A name is held by a lock on a local file, for as long as zkexec lives: nothing closes it, and
  the kernel releases it whatever zkexec dies of.  It is closed on exec, so no child holds it.
- Whoever starts again finds the name that it had before: an automatic name ends in the first
  number that nobody holds.  Two services have different folders, and neither sees the numbers that
  the other one holds; so what makes them different is part of the automatic name.
- The files are never removed: a lock on a removed file would keep nobody away.
- A name that was given needs no lock.  If no folder can be used, only the member's znode keeps a
  second zkexec of the same name away.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from itertools import count

from zkexec.cli.settings import Settings
from zkexec.digest import sha256
from zkexec.frozen import frozen
from zkexec.process.runtime_folder import (
    NoRuntimeFolderError,
    RuntimeFolder,
    in_first,
    service_folders,
)

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_LONGEST_HOST_NAME = 100
_FILE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class MemberIdError(Exception):
    """There is no name for this member; the text is for the operator."""


@frozen()
class MemberIdentity:
    """The member's name, and the place of its lock: a text that no two living processes share.

    `obstacles` says why the name is not locked, "" if it is.
    """

    member_id: str
    place: str
    obstacles: str = ""


def lock_member_id(settings: Settings) -> MemberIdentity:
    """Take the member's name and hold it until this process ends; raises MemberIdError."""
    try:
        return in_first(lambda folder: _hold_in(folder, settings))
    except NoRuntimeFolderError as none:
        if settings.member_id:
            return MemberIdentity(settings.member_id, _place_of_process(), str(none))
        raise MemberIdError(
            f"--lock: no folder for the lock of the member ID: {none}; make one of them usable, "
            "name another by $RUNTIME_DIRECTORY or $XDG_RUNTIME_DIR, "
            "or give each member a --member-id of its own"
        ) from None


def _hold_in(folder: RuntimeFolder, settings: Settings) -> MemberIdentity:
    for member_id in _names(settings):
        place = _hold(folder, _digest(member_id, settings.lock, *_cluster(settings)))
        if place:
            return MemberIdentity(member_id, place)
    raise MemberIdError(f"--member-id: another zkexec on this host uses {settings.member_id}")


def _names(settings: Settings) -> Iterator[str]:
    if settings.member_id:
        yield settings.member_id
        return
    mirrors = [(mirror.local_path, mirror.zk_path) for mirror in settings.policy.mirrors]
    service = (service_folders(),) if service_folders() else ()
    command = (*settings.command.argv, *settings.command.variables)
    ours = (command, mirrors, settings.lock, *_cluster(settings), *service)
    stem = f"{_host_name()}-{_digest(*ours)[:8]}"
    yield from (f"{stem}-{slot}" for slot in count())


def _hold(folder: RuntimeFolder, name: str) -> str:
    """Lock the file of that name and return its place; "" where somebody else holds it."""
    file = os.open(f"{name}.lock", _FILE_FLAGS, 0o600, dir_fd=folder.descriptor)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        if isinstance(error, BlockingIOError):
            return ""
        raise
    status = os.fstat(file)
    # The file of a service is another one after each end of it, its path is not.
    which = _digest(folder.path, name) if folder.of_service else f"{status.st_ino:x}"
    return f"{_boot_id()}-{status.st_dev:x}-{which}"


def _place_of_process() -> str:
    """A place that no later process has, either."""
    return f"{_boot_id()}-{os.getpid()}-{os.urandom(8).hex()}"


def _boot_id() -> str:
    with open(_BOOT_ID, encoding="utf-8") as boot:
        return boot.read().strip()


def _cluster(settings: Settings) -> tuple[object, ...]:
    return sorted(settings.servers), settings.chroot


def _host_name() -> str:
    """The host's name, with nothing in it that a znode or a log would stumble over."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", os.uname().nodename)[:_LONGEST_HOST_NAME] or "host"


def _digest(*what: object) -> str:
    return sha256(repr(what).encode("utf-8", "surrogateescape")).hexdigest()[:32]
