"""The facts of this host that templates may use, as they were when zkexec started."""

from __future__ import annotations

import os

from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_OWN_VARIABLES = b"ZKEXEC_"
_CGROUPS = "/sys/fs/cgroup"


@frozen(hidden=("environment",))
class HostFacts:
    """What differs between hosts: equal facts and equal inputs render equal bytes.

    `member` and `lock` are "" if there are none.  `cpus` and `memory_bytes` are what this process
    may use, which can be less than the machine has.  `environment` is without zkexec's own
    variables; bytes that are no UTF-8 are surrogates in it.
    """

    hostname: str
    member: str
    lock: str
    cpus: int
    memory_bytes: int
    environment: Mapping[str, str]

    @staticmethod
    def of_this_host(member: str, lock: str, environment: Mapping[bytes, bytes]) -> HostFacts:
        """Collect the facts; `environment` is what the caller of zkexec has passed."""
        return HostFacts(
            hostname=os.uname().nodename,
            member=member,
            lock=lock,
            cpus=_count_cpus(),
            memory_bytes=_count_memory_bytes(),
            environment={
                os.fsdecode(name): os.fsdecode(value)
                for name, value in sorted(environment.items())
                if not name.startswith(_OWN_VARIABLES)
            },
        )


def _count_cpus() -> int:
    """Count the CPUs that this process may run on; a part of one counts as one."""
    count = len(os.sched_getaffinity(0))
    for limit in _cgroup_limits("cpu.max"):
        quota, _, period = limit.partition(" ")
        if quota.isdigit() and period.isdigit() and int(period):
            count = min(count, max(1, -(-int(quota) // int(period))))
    return count


def _count_memory_bytes() -> int:
    """Count the memory of the machine, or what the cgroup of this process may use of it."""
    count = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([count, *(int(limit) for limit in _cgroup_limits("memory.max") if limit.isdigit())])


def _cgroup_limits(name: str) -> Iterator[str]:
    """Read this file of the cgroup (version 2) of this process, and of those above it.

    In a container the cgroup is the root of what it sees, and has the limits of the container.
    """
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            paths = [line[3:].rstrip("\n/") for line in file if line.startswith("0::/")]
    except (OSError, ValueError):
        return
    folders = paths[:1]
    while folders and folders[-1]:
        folders.append(folders[-1].rpartition("/")[0])
    for folder in folders:
        try:
            with open(f"{_CGROUPS}{folder}/{name}", encoding="utf-8") as file:
                yield file.read().strip()
        except (OSError, ValueError):
            continue
