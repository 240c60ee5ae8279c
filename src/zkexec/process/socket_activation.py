"""Hand the sockets and the watchdog of systemd to the command.

systemd names the process that they are for by its pid, so that no other process uses what it only
inherited.  If the variables name zkexec, they must name the command, whose pid changes with each
restart, and health checks and alerts must not see them.  Variables that name another process stay
as they are.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


_SOCKETS, _WATCHDOG = b"LISTEN_PID", b"WATCHDOG_PID"
_WITH = {
    _SOCKETS: (b"LISTEN_FDS", b"LISTEN_FDNAMES", b"LISTEN_PIDFDID"),
    _WATCHDOG: (b"WATCHDOG_USEC",),
}
_MOST_DIGITS = 6
_OF_ONE_PROCESS = b"LISTEN_PIDFDID"
"""Names the process again, in a way that cannot be rewritten, so it is removed."""


def named_by_pid(environment: Mapping[bytes, bytes], pid: int) -> frozenset[bytes]:
    """Return the variables that name this process, and that must name the command."""
    own = b"%d" % pid
    return frozenset(name for name in _WITH if environment.get(name) == own)


def sockets(environment: Mapping[bytes, bytes], pid: int) -> int:
    """Return how many sockets were passed to this process, as its descriptors from 3 on."""
    count = environment.get(b"LISTEN_FDS", b"")
    is_number = count.isdigit() and len(count) <= _MOST_DIGITS
    return int(count) if is_number and _SOCKETS in named_by_pid(environment, pid) else 0


def of_command(environment: Mapping[bytes, bytes], pid: int) -> dict[bytes, bytes]:
    """Return the environment of the command, without the change of `named_by_pid`."""
    kept = dict(environment)
    if _SOCKETS in named_by_pid(environment, pid):
        kept.pop(_OF_ONE_PROCESS, None)
    return kept


def of_others(environment: Mapping[bytes, bytes], pid: int) -> dict[bytes, bytes]:
    """Return the environment of a health check or an alert."""
    kept = dict(environment)
    for name in named_by_pid(environment, pid):
        for without in (name, *_WITH[name]):
            kept.pop(without, None)
    return kept
