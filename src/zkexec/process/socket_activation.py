"""What a service manager gave to the process that it started: sockets, and a watchdog.

systemd names that process by its pid, so that no other takes what it only inherited.  If systemd
names zkexec it means the command, whose pid is another one after each restart.  Health checks
and alerts are not meant at all.  Where another process is named, zkexec has nothing to do with it.
"""

from collections.abc import Mapping

_SOCKETS, _WATCHDOG = b"LISTEN_PID", b"WATCHDOG_PID"
_WITH = {
    _SOCKETS: (b"LISTEN_FDS", b"LISTEN_FDNAMES", b"LISTEN_PIDFDID"),
    _WATCHDOG: (b"WATCHDOG_USEC",),
}
_MOST_DIGITS = 6
_OF_ONE_PROCESS = b"LISTEN_PIDFDID"
"""Names the process a second time, in a way that cannot be rewritten; it may be left out."""


def named_by_pid(environment: Mapping[bytes, bytes], pid: int) -> frozenset[bytes]:
    """The variables by which this process is named, and that have to name the command."""
    own = b"%d" % pid
    return frozenset(name for name in _WITH if environment.get(name) == own)


def sockets(environment: Mapping[bytes, bytes], pid: int) -> int:
    """How many sockets were passed to this process: they are its descriptors from 3 on."""
    count = environment.get(b"LISTEN_FDS", b"")
    is_number = count.isdigit() and len(count) <= _MOST_DIGITS
    return int(count) if is_number and _SOCKETS in named_by_pid(environment, pid) else 0


def of_command(environment: Mapping[bytes, bytes], pid: int) -> dict[bytes, bytes]:
    """The environment of the command, but for what `named_by_pid` tells."""
    kept = dict(environment)
    if _SOCKETS in named_by_pid(environment, pid):
        kept.pop(_OF_ONE_PROCESS, None)
    return kept


def of_others(environment: Mapping[bytes, bytes], pid: int) -> dict[bytes, bytes]:
    """The environment of a health check or an alert."""
    kept = dict(environment)
    for name in named_by_pid(environment, pid):
        for without in (name, *_WITH[name]):
            kept.pop(without, None)
    return kept
