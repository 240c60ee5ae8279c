"""What a member knows of itself beside its core: its group, its name, and what it shows of both."""

from __future__ import annotations

import os
import time

from zkexec.core.rollout.membership import cause_of
from zkexec.digest import sha256
from zkexec.frozen import frozen
from zkexec.zookeeper.values import Acl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zkexec.core.turn import MemberStatus, TurnAges


@frozen()
class LastTurn:
    """The last turn of a member: when it began to apply a change, and when that ended.

    Times are seconds of the epoch; `ended` is 0 while the turn lasts.  `digest` is the version that
    is applied, as far as people see it.  `action` is `restart` or `reload`, "" as long as nothing
    was stopped or reloaded.  `result` is `succeeded`, `failed` or `blocked`, "" for any other end.
    """

    began: float
    digest: str
    ended: float = 0.0
    action: str = ""
    result: str = ""


def last_turn(turn: TurnAges | None, now: float) -> LastTurn | None:
    """Return a turn with times of day; `now` is the present one."""
    if turn is None:
        return None
    ended = 0.0 if turn.ended_s is None else max(0.0, now - turn.ended_s)
    return LastTurn(max(0.0, now - turn.began_s), turn.digest, ended, turn.action, turn.result)


class PhaseTime:
    """When the phase was entered that a member's node shows, over all connections.

    A restart that was over in a moment shows only what runs from then on.
    """

    def __init__(self) -> None:
        self._shown = ("", "", "")
        self._entered = 0.0

    def entered(self, status: MemberStatus, now: float) -> float:
        """Give the time since when it is this phase, with this running, and for this cause.

        It is in seconds of the epoch.
        """
        shown = (status.phase, status.running, cause_of(status))
        if shown != self._shown:
            self._shown, self._entered = shown, now
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
    this profile, None for this one.  `zone` is "" without `--zone`.  `first_check_s` is how long
    after its start a command has its first health check, 0 if it has none.
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
    first_check_s: float = 0.0

    @property
    def duplicate_id(self) -> str:
        """The name of its node while another process has the member ID; no other process has it."""
        return f"{self.member_id}~{sha256(self.lock_file_id.encode()).hexdigest()[:8]}"
