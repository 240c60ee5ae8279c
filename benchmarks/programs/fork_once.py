"""What a fork and an exec cost in a bare Python process: the reference of a health check.

    fork_once.py

Forks, executes `true`, waits for it, and prints the CPU time of both processes for this, in
microseconds.  It does nothing else: no session, no signals, no deadline, no process tree.
"""

import os
import resource


def cpu_s() -> float:
    """Return the CPU time of this process and of those that it has waited for."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


before_s = cpu_s()
if not (pid := os.fork()):
    os.execvp("true", ["true"])
os.waitpid(pid, 0)
print(round((cpu_s() - before_s) * 1e6))
