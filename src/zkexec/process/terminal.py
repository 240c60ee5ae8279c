"""The terminal as a sender of signals: its keys, its size, and the shell that moves jobs about.

What the terminal sends goes to a whole process group at once, zkexec and the command alike, so
zkexec must not pass it on.  Only siginfo tells it from the `kill` of somebody.
"""

import os
import signal

KEYS = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH})
"""What the terminal sends to its foreground group; WINCH comes with a change of its size."""
_SI_KERNEL = 0x80


def is_key(info: signal.struct_siginfo) -> bool:
    """Whether a terminal sent this signal."""
    return info.si_signo in KEYS and info.si_code == _SI_KERNEL


def is_job_control_shell(pid: int) -> bool:
    """Tell a shell that moves groups about from any other sender."""
    if pid <= 0 or pid not in (os.getppid(), os.getsid(0)):
        return False
    try:
        return os.getsid(pid) == os.getsid(0) and os.getpgid(pid) != os.getpgrp()
    except ProcessLookupError:
        return False
