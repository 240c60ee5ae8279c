"""What a member knows of itself beside its core: its group, its name, and what it shows of both."""

from __future__ import annotations

import os
import time

from zkexec.digest import sha256
from zkexec.frozen import frozen
from zkexec.zookeeper.values import Acl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class PhaseTime:
    """When the phase was entered that a member's node shows, over all connections.

    A restart that was over in a moment shows only what runs from then on.
    """

    def __init__(self) -> None:
        self._shown = ("", "")
        self._entered = 0.0

    def entered(self, phase: str, running: str, now: float) -> float:
        """Give the time since when it is this phase, with this running; in seconds of the epoch."""
        if (phase, running) != self._shown:
            self._shown, self._entered = (phase, running), now
        return self._entered


@frozen()
class Writer:
    """The process that writes a member's znodes: its host, its pid, and the time of day.

    `clock` gives the seconds of the epoch.
    """

    host: str
    pid: int
    clock: Callable[[], float]


def this_process() -> Writer:
    """Describe the process that calls this."""
    return Writer(os.uname().nodename, os.getpid(), time.time)


@frozen()
class MemberProfile:
    """Which group, and which member of it.

    `base` is the path of the group's znodes, below the chroot.  No two living processes have the
    same `lock_file_id`.  `acl` is that of the znodes that are made, None for an open one.
    `inputs` are the paths of the znodes that the configuration is read from.  `shared` are members
    of this host that write to the same files, each with a file.  `writer` is the process that has
    this profile, None for this one.  `zone` is "" without `--zone`.
    """

    base: str
    member_id: str
    lock_file_id: str
    max_unavailable: str
    since: PhaseTime
    acl: Sequence[Acl] | None = None
    inputs: tuple[str, ...] = ()
    shared: tuple[tuple[str, str], ...] = ()
    writer: Writer | None = None
    zone: str = ""
    max_failed: str = "0"

    @property
    def duplicate_id(self) -> str:
        """The name of its node while another process has the member ID; no other process has it."""
        return f"{self.member_id}~{sha256(self.lock_file_id.encode()).hexdigest()[:8]}"
