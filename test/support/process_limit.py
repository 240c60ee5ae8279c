"""Processes for which this host has no process or thread to spare.

The kernel counts all processes of a user, and sets no limit to root.  So root lets a command run as
a user that has no other process, and that can still read and write the files of the test.
"""

import os
import subprocess
from functools import cache

MANY, NONE = 100, 1
"""How many processes and threads a user may have; one is there already."""
_CAPABILITIES = "+dac_read_search,+dac_override"


def limited_user() -> tuple[str, ...]:
    """The words before a command that run it as a user to whom limits apply."""
    if os.geteuid() != 0:
        return ("env",)
    # Tests that run in parallel are not counted together.
    number = 60_000 + os.getpid() % 5_000
    who = (f"--reuid={number}", f"--regid={number}", "--clear-groups")
    return ("setpriv", *who, f"--inh-caps={_CAPABILITIES}", f"--ambient-caps={_CAPABILITIES}", "--")


@cache
def can_be_limited() -> bool:
    """Whether a limit binds here: a container may forbid to change the user."""
    probe = (*limited_user(), "prlimit", "--nproc=1:", "sh", "-c", "(exit 0) & wait")
    try:
        run = subprocess.run(probe, capture_output=True, check=False, timeout=60.0)
    except OSError:
        return False
    return b"fork" in run.stderr.lower()


def spare(pid: int, processes: int) -> None:
    """Let the user of a process of `limited_user` have at most this many processes."""
    limit = f"--nproc={processes}:"
    subprocess.run([*limited_user(), "prlimit", f"--pid={pid}", limit], check=True, timeout=60.0)
