"""Processes for which this host has no process or thread to spare.

The kernel counts all processes of a user, and holds no limit against root.  So root lets a command
run as a user that nobody else is, who may still read and write the files of the test.
"""

import os
import subprocess
from functools import cache

MANY, NONE = 100, 1
"""How many processes and threads a user may have; one is there already."""
_CAPABILITIES = "+dac_read_search,+dac_override"


def limited_user() -> tuple[str, ...]:
    """The words before a command that have it run as somebody to whom limits apply."""
    if os.geteuid() != 0:
        return ("env",)
    # Tests that run in parallel are not counted together.
    number = 60_000 + os.getpid() % 5_000
    who = (f"--reuid={number}", f"--regid={number}", "--clear-groups")
    return ("setpriv", *who, f"--inh-caps={_CAPABILITIES}", f"--ambient-caps={_CAPABILITIES}", "--")


@cache
def can_be_limited() -> bool:
    """Whether a limit binds here: a container may not let us become somebody else."""
    probe = (*limited_user(), "prlimit", "--nproc=1:", "sh", "-c", "(exit 0) & wait")
    try:
        run = subprocess.run(probe, capture_output=True, check=False, timeout=60.0)
    except OSError:
        return False
    return b"fork" in run.stderr.lower()


def spare(pid: int, processes: int) -> None:
    """Let a process of `limited_user` have no more than so many, its user's others counted."""
    limit = f"--nproc={processes}:"
    subprocess.run([*limited_user(), "prlimit", f"--pid={pid}", limit], check=True, timeout=60.0)
