"""Find the other members of this host that write to the same files.

- Each member keeps a small file with the paths of its targets, and locks it while it lives.  A file
  that is not locked belongs to a member that has ended.
- A member writes its own file before it reads those of others, so if two start at the same moment,
  at least one finds the other.
- The files are in a folder of the host if there is one, not in that of one service.  Without any
  folder nothing is found; nothing here is an error.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from typing import Any

from zkexec.cli.settings import Settings
from zkexec.digest import sha256
from zkexec.frozen import frozen
from zkexec.lean import suppress
from zkexec.process.procfs import read_boot_id
from zkexec.process.runtime_folder import NoRuntimeFolderError, RuntimeFolder, in_first
from zkexec.runtime.member_id import MemberIdentity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


_SUFFIX = ".files"
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TRIES = 100
_LARGEST = 4_000_000
MOST_MEMBERS = 10
"""At most this many members are reported."""


@frozen()
class Sharing:
    """Another member, and a file that both write to; `member` names its group if that differs."""

    member: str
    pid: int
    file: str


def share_files(settings: Settings, identity: MemberIdentity) -> list[Sharing]:
    """Publish this member's targets on this host; return the members that write to one of them."""
    targets = [_real_path(target) for target in settings.policy.inputs.targets]
    group = f"{sorted(settings.servers)}{settings.chroot} {settings.lock}"
    own = {"member": identity.member_id, "group": group, "lock": settings.lock, "files": targets}
    # Without an ID of the boot, the name of the file is new at each start, and old ones would stay.
    if not targets or not read_boot_id():
        return []
    try:
        return in_first(lambda folder: _share_in(folder, identity, own), of_host=True)
    except NoRuntimeFolderError:
        return []


def _real_path(target: str) -> str:
    """Resolve the links of a target; the folder of a tree keeps its slash."""
    return os.path.realpath(target).rstrip("/") + ("/" if target.endswith("/") else "")


def _share_in(
    folder: RuntimeFolder, identity: MemberIdentity, own: dict[str, Any]
) -> list[Sharing]:
    name = sha256(identity.lock_file_id.encode()).hexdigest()[:32] + _SUFFIX
    _publish(folder, name, json.dumps({**own, "pid": os.getpid()}).encode())
    found = [sharing for other in _others(folder, name) for sharing in _common(own, other)]
    return sorted(found, key=lambda sharing: (sharing.member, sharing.pid))[:MOST_MEMBERS]


def _publish(folder: RuntimeFolder, name: str, content: bytes) -> None:
    """Write the own file, and lock it until the end of this process; it is never closed."""
    file = os.open(name, _FLAGS | os.O_CREAT, 0o600, dir_fd=folder.descriptor)
    try:
        for _ in range(_TRIES):
            # Another member that checks whether it is locked locks it for a moment.
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.01)
        os.ftruncate(file, 0)
        os.pwrite(file, content, 0)
    except OSError:
        os.close(file)
        raise


def _others(folder: RuntimeFolder, own: str) -> Iterator[dict[str, Any]]:
    """Yield the contents of the files of living members."""
    for name in sorted(os.listdir(folder.descriptor)):
        if name.endswith(_SUFFIX) and name != own:
            with suppress(OSError, ValueError):
                found = json.loads(_read_locked(folder, name))
                if isinstance(found, dict):
                    yield found


def _read_locked(folder: RuntimeFolder, name: str) -> bytes:
    """Return the content of a file that another process has locked, "" if none has."""
    file = os.open(name, _FLAGS, dir_fd=folder.descriptor)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(file, _LARGEST, 0)
    else:
        return b""
    finally:
        os.close(file)


def _common(own: dict[str, Any], other: dict[str, Any]) -> Iterable[Sharing]:
    """Yield one of the files that both write to, if there is any."""
    files = other.get("files")
    if not isinstance(files, list):
        return
    member, pid = str(other.get("member", "")), other.get("pid")
    if other.get("group") != own["group"]:
        member += f" of {other.get('lock', '')}"
    others = {file for file in files if isinstance(file, str)}
    trees = [file for file in others if file.endswith("/")]
    for file in own["files"]:
        if file in others or file.startswith(tuple(trees)) or _is_above(file, others):
            yield Sharing(member, pid if isinstance(pid, int) else 0, file)
            return


def _is_above(file: str, others: Iterable[str]) -> bool:
    """Whether this is the folder of a tree in which another target is."""
    return file.endswith("/") and any(other.startswith(file) for other in others)
