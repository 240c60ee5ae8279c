"""A candidate that runs: how it is started and ended, and what the kernel shows of it."""

import os
import signal
import time
from pathlib import Path
from typing import NamedTuple

_END_S = 30.0
_NULL = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
_OURS = ("ZKEXEC_", "PYTHON", "COVERAGE", "PYTEST", "MAKE", "MFLAGS", "KAZOO")
ENVIRONMENT = {name: text for name, text in os.environ.items() if not name.startswith(_OURS)}


class Memory(NamedTuple):
    """What a process takes, in MB: shared pages divided, and those of its own."""

    pss_mb: float
    uss_mb: float


class Activity(NamedTuple):
    """How often the threads of a process have slept so far, and for how long they have run."""

    wakeups: int
    cpu_ms: float


class Running:
    """A process in a session of its own, whose messages go to a file."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._log = log
        messages = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        actions = [
            (os.POSIX_SPAWN_DUP2, _NULL, 0),
            (os.POSIX_SPAWN_DUP2, messages, 1),
            (os.POSIX_SPAWN_DUP2, messages, 2),
        ]
        try:
            self.began_ns = time.monotonic_ns()
            self.pid = os.posix_spawn(
                command[0], command, ENVIRONMENT, file_actions=actions, setsid=True
            )
        finally:
            os.close(messages)
        self._ended = False

    def wait(self) -> int:
        """Wait for its end; return when that was seen, in nanoseconds."""
        os.waitpid(self.pid, 0)
        self._ended = True
        return time.monotonic_ns()

    def has_ended(self) -> bool:
        """Whether it has ended by itself; it stays to be waited for."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def end(self) -> None:
        """Ask it to stop, and kill it where it does not."""
        if self._ended:
            return
        os.kill(self.pid, signal.SIGTERM)
        give_up_at = time.monotonic() + _END_S
        while os.waitpid(self.pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > give_up_at:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                break
            time.sleep(0.001)
        self._ended = True

    def tail(self) -> str:
        """The last of what it has printed."""
        return self.log_text()[-2000:]

    def log_text(self) -> str:
        """All that it has printed."""
        return self._log.read_text(errors="replace")

    def memory(self) -> Memory:
        """What it takes now."""
        sums = dict.fromkeys(("Pss", "Private_Clean", "Private_Dirty", "Private_Hugetlb"), 0)
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in sums:
                sums[name] += int(rest.split()[0])
        pss = sums.pop("Pss")
        return Memory(pss / 1024, sum(sums.values()) / 1024)

    def rss_mb(self) -> float:
        """What of its memory is present now, in MB, shared pages as a whole."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def activity(self) -> Activity:
        """What its threads have done up to now."""
        slept = ran_ns = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            for line in (task / "status").read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches:"):
                    slept += int(line.split()[1])
            ran_ns += int((task / "schedstat").read_text().split()[0])
        return Activity(slept, ran_ns / 1e6)

    def cpu_with_children_ms(self) -> float:
        """The CPU time that it, and the children that it has reaped, have taken up to now."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        ticks_of_children = int(fields[13]) + int(fields[14])
        return self.activity().cpu_ms + ticks_of_children * 1000 / os.sysconf("SC_CLK_TCK")

    def threads(self) -> int:
        """How many threads it has now."""
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def descriptors(self) -> int:
        """How many descriptors it has open now."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))
