"""Disks of a group that fail, and what happens before files are written once more.

A member whose files cannot be written tries again after ten seconds.  In this pause everything may
come that changes what there is to try: an undo, newer content, the end of the old command, the end
of zkexec, the loss of its session, an operator.
"""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from simulation.disk import Disk, Write
from zkexec.core.events import ExitStatus

if TYPE_CHECKING:
    from simulation.group.host import Host
    from simulation.group.world import World

PAUSE_S = 11.0
"""A little more than the pause between two attempts."""


class DiskTrouble:
    """The disks of all hosts, and how spiteful this run is about them."""

    def __init__(self, world: "World", random: Random) -> None:
        """Draw how much of it there is; most runs know none."""
        self._world = world
        self._random = random
        self._disks: dict[str, Disk] = {}
        self._hits = random.choice((0.0, 0.0, 0.0, 0.02, 0.1, 0.4))
        """How often a spell begins just when files are to be written."""
        self._spite = random.choice((0.0, 0.5, 1.0))
        """How often more happens before the next attempt."""
        self._unlucky_starts: dict[str, None] = {}

    def refuses(self, host: "Host", write: Write) -> bool:
        """Whether this write fails; if so, more may happen soon."""
        if self._world.chaos.calm:
            return False
        disk, now = self._disks.setdefault(host.name, Disk(self._random)), self._world.clock.now
        if self._hits and self._random.random() < self._hits:
            disk.begin_spell(now)
        if not disk.refuses(write, now) and not self._world.chaos.disk_is_full():
            return False
        self._make_worse(host)
        return True

    def start_fails(self, host: "Host") -> bool:
        """Whether this start fails, as it may on a host without room for anything."""
        is_hit = host.name in self._unlucky_starts
        self._unlucky_starts.pop(host.name, None)
        return is_hit and not self._world.chaos.calm

    def _make_worse(self, host: "Host") -> None:
        random = self._random
        if random.random() >= self._spite:
            return
        if random.random() < 0.1:
            self._unlucky_starts[host.name] = None
        longest_s = random.choice((0.5, PAUSE_S, PAUSE_S))
        for _ in range(random.choice((1, 1, 2, 3))):
            self._world.clock.after(random.uniform(0, longest_s), lambda: self.strike(host))

    def strike(self, host: "Host") -> None:
        """Let something befall this host and what it wants to apply."""
        if not self._world.chaos.calm and host.living is not None:
            self._random.choices(tuple(BLOWS), tuple(BLOWS.values()))[0](self, host)

    def undo(self, host: "Host") -> None:
        """Push what the files of this host hold, as far as they are all there."""
        if self._world.inputs.is_used:
            self._world.inputs.undo(host)
            return
        files, mirrors = host.files.files, host.policy.inputs.mirrors
        if mirrors and all(mirror.local_path in files for mirror in mirrors):
            self._world.push({mirror.zk_path: files[mirror.local_path] for mirror in mirrors})

    def push(self, _: "Host") -> None:
        """Push something else."""
        self._world.push_something()

    def end_child(self, host: "Host") -> None:
        """Let the command end by itself, which may be the old one, started again."""
        if host.living is not None:
            host.living.commands.end_by_itself(ExitStatus(code=self._random.choice((0, 5))))

    def terminate(self, host: "Host") -> None:
        """Ask zkexec to end."""
        if host.living is not None:
            self._world.chaos.terminate(host.living)

    def kill(self, host: "Host") -> None:
        """Kill zkexec."""
        if host.living is not None:
            host.living.kill("killed in its trouble")

    def expire(self, host: "Host") -> None:
        """End the session of the member, and sometimes keep it away for longer."""
        client = None if host.living is None else host.living.client
        if host.living is None or client is None or client.session is None:
            return
        if self._random.random() < 0.3:
            self._world.chaos.isolate(host.living)
        if self._world.ensemble.has_quorum:
            self._world.log(f"the session of {host.living.name} is ended")
            self._world.ensemble.end(client.session)

    def steer(self, _: "Host") -> None:
        """Have an operator do something."""
        self._world.operator.act()


Blow = Callable[[DiskTrouble, "Host"], None]
BLOWS: dict[Blow, int] = {
    DiskTrouble.undo: 6, DiskTrouble.push: 3, DiskTrouble.end_child: 4, DiskTrouble.terminate: 1,
    DiskTrouble.kill: 1, DiskTrouble.expire: 2, DiskTrouble.steer: 2,
}  # fmt: skip
