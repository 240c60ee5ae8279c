"""Confine the process that renders: the kernel ends it at its limits, whatever a template does.

Each limit is set before any template is read, and none can be raised again.
"""

import os
import resource
import signal

from zkexec.templates.render_request import RenderLimits

_STDERR = 2
_FIRST_PASSED = 3
_SHORTEST_S = 0.001
"""A timer of 0 s would never end."""
_PROCESSOR_SPARE_S = 2
"""The limit of processor time is no shorter than that of time, which gives the better reason."""


def drop_inherited_descriptors() -> None:
    """Close all descriptors but stdin and stdout, and print nothing any more."""
    null = os.open("/dev/null", os.O_WRONLY)
    os.dup2(null, _STDERR)
    os.closerange(_FIRST_PASSED, _soft(resource.RLIMIT_NOFILE))


def limit_use(limits: RenderLimits, file_bytes: int) -> None:
    """Limit time, memory, the size of files, and processes.

    The signals of these limits have their default action, and none is blocked: the caller of zkexec
    can have passed on other settings.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGALRM, signal.SIGXCPU, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, max(limits.timeout_s, _SHORTEST_S))
    processor_s = int(limits.timeout_s) + _PROCESSOR_SPARE_S
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, processor_s),
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NPROC, 0),
    ):
        _set(kind, value)


def open_nothing_more() -> None:
    """Let no file and no connection be opened from now on, also no module."""
    _set(resource.RLIMIT_NOFILE, 0)


def offer_to_be_killed() -> None:
    """Let the kernel end this process before the command, if the memory of the host runs out."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")
    except OSError:
        pass  # In this container it may not be changed; nothing depends on it.


def _set(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (lowest, lowest))


def _soft(kind: int) -> int:
    soft, _ = resource.getrlimit(kind)
    return os.sysconf("SC_OPEN_MAX") if soft == resource.RLIM_INFINITY else soft
