"""The faults of the model world, and their chances; none of them once it is calm.

A blow may fall at any time, and with a chance of its own at each single action of each process, so
that every point of a turn is hit sooner or later.
"""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from simulation.servers.link import Loss

if TYPE_CHECKING:
    from simulation.group.process import Process
    from simulation.group.world import World


class Chaos:
    """What goes wrong in one run."""

    def __init__(self, world: "World", random: Random) -> None:
        """Draw how much of each fault there is; many runs know only some of them."""
        self._world = world
        self._random = random
        self.calm = False

        def some(chance: float, most: float) -> float:
            return most * random.random() if random.random() < chance else 0.0

        self._losses = some(0.6, 0.08)
        self._dawdling = some(0.5, 0.1)
        self._slow_disk = some(0.3, 0.3)
        self._full_disk = some(0.2, 0.1)
        self._blows_at_actions = some(0.8, 0.02)
        self._quick_init = random.random() < 0.6
        # Drawn separately, so that a known seed has the same transcript as before.
        self._luck = Random(random.getstate()[1][0] + 1)
        self._shortage = 0.3 if self._luck.random() < 0.2 else 0.0
        weights = {blow: some(0.6, 1.0) for blow in self._all_blows()}
        self._blows = [blow for blow, weight in weights.items() if weight]
        self._weights = [weight for weight in weights.values() if weight]

    def loss(self) -> Loss:
        """What becomes of a request."""
        if self.calm or self._random.random() >= self._losses:
            return Loss.NOTHING
        return Loss.REQUEST if self._random.random() < 0.4 else Loss.REPLY

    def dawdles(self) -> bool:
        """Whether the client's thread is slow to send this request."""
        return not self.calm and self._dawdling > 0 and self._random.random() < self._dawdling

    def disk_is_slow(self) -> bool:
        """Whether this write takes long."""
        return not self.calm and self._slow_disk > 0 and self._random.random() < self._slow_disk

    def disk_is_full(self) -> bool:
        """Whether this write fails."""
        return not self.calm and self._full_disk > 0 and self._random.random() < self._full_disk

    def kill_after(self) -> int | None:
        """After how many writes of an installation zkexec is killed; mostly it is not."""
        luck = self._world.inputs.luck
        return luck.randrange(5) if not self.calm and luck.random() < 0.03 else None

    def lacks_process(self) -> bool:
        """Whether a host has no process to spare for a command just now."""
        return not self.calm and self._luck.random() < self._shortage

    def restart_delay_s(self) -> float:
        """How long the init system waits."""
        longest_s = 2.0 if self._quick_init or self.calm else 60.0
        return 0.1 + longest_s * self._random.random()

    def at_action(self, process: "Process") -> None:
        """Strike a process just when it has acted, now and then."""
        if not self.calm and self._random.random() < self._blows_at_actions:
            self.strike(process)

    def strike(self, process: "Process") -> None:
        """Let something befall this process."""
        if self.calm or process.dead or not self._blows:
            return
        blow = self._random.choices(self._blows, self._weights)[0]
        blow(self, process)

    @staticmethod
    def _all_blows() -> list[Callable[["Chaos", "Process"], None]]:
        return [
            Chaos.push, Chaos.freeze, Chaos.kill, Chaos.lose_power, Chaos.terminate,
            Chaos.hang_up, Chaos.black_hole, Chaos.isolate, Chaos.cut_server_off,
            Chaos.slow_server, Chaos.elect, Chaos.lose_quorum, Chaos.retire, Chaos.steer,
            Chaos.lose_core,
            Chaos.wipe, Chaos.hang, Chaos.sicken, Chaos.lose_zone,
        ]  # fmt: skip

    def push(self, _: "Process") -> None:
        """Push something new right now."""
        self._world.push_something()

    def steer(self, _: "Process") -> None:
        """Have an operator do something right now."""
        self._world.operator.act()

    def wipe(self, _: "Process") -> None:
        """Have the ensemble begin another history, now and then."""
        if self._random.random() < 0.5:
            self._world.wiping.begin_anew()

    def freeze(self, process: "Process") -> None:
        """Freeze the process, sometimes for longer than any other process waits for it."""
        timeout_s = process.policy.session_timeout_s
        longest_s = self._random.choice((timeout_s / 3, timeout_s, 3 * timeout_s, 120.0))
        self._tell(process, "freezes")
        process.freeze()
        self._after(longest_s * self._random.random(), process.thaw)

    def hang(self, process: "Process") -> None:
        """Let the core hang, while its session lives on: others may have to act for it."""
        self._tell(process, "hangs")
        process.hang(True)
        longest_s = 10 * process.policy.session_timeout_s
        self._after(longest_s * self._random.random(), lambda: process.hang(False))

    def sicken(self, process: "Process") -> None:
        """Let the command fail its health checks for a while, whatever it runs on."""
        command, clock = process.commands.present, self._world.clock
        if command is not None and command.healthy_from <= clock.now:
            self._tell(process, "has a command that is not healthy")
            command.healthy_from = clock.now + 120.0

            def recover() -> None:
                command.healthy_from = min(command.healthy_from, clock.now)

            self._after(self._some_time(process), recover)

    def lose_zone(self, process: "Process") -> None:
        """Let all hosts of a zone lose power at once."""
        zone = process.policy.zone
        if zone:
            self._tell(process, f"and all of zone {zone} lose power")
            for host in self._world.hosts:
                if host.policy.zone == zone and host.living is not None:
                    host.living.lose_power()

    def kill(self, process: "Process") -> None:
        """Kill the process, its command with it."""
        process.kill("killed")

    def lose_core(self, process: "Process") -> None:
        """Let zkexec make a mistake of its own; its command runs on."""
        pause_s = self._random.choice((0.0, 1.0, 30.0)) * self._random.random()
        if process.lose_core(pause_s):
            self._tell(process, f"makes a mistake, and begins again in {pause_s:.1f} s")

    def lose_power(self, process: "Process") -> None:
        """Take the whole host down."""
        process.lose_power()

    def terminate(self, process: "Process") -> None:
        """Ask the process to end."""
        self._tell(process, "is asked to end")
        process.signal(15)

    def retire(self, process: "Process") -> None:
        """Take a host down for good, now and then, but not the last one."""
        living = sum(not host.gone for host in self._world.hosts)
        if living > 2 and self._random.random() < 0.3:
            process.host.gone = True
            process.lose_power()

    def hang_up(self, process: "Process") -> None:
        """Cut the connection, as a server or the network may."""
        client = process.client
        if client is not None and client.connection is not None:
            self._tell(process, "is hung up on")
            client.connection.close_at_server()

    def black_hole(self, process: "Process") -> None:
        """Swallow what goes one way, or both, on the present connection, for a while."""
        client = process.client
        if client is None or client.connection is None:
            return
        connection = client.connection
        up, down = self._random.choice(((True, True), (True, False), (False, True)))
        self._tell(process, f"is in a black hole, up {up}, down {down}")
        connection.block(up, down)
        self._after(self._some_time(process), connection.unblock)

    def isolate(self, process: "Process") -> None:
        """Keep a host away from all servers for a while."""
        host, client = process.host, process.client
        if not host.reachable:
            return
        host.reachable = False
        self._tell(process, "is isolated")
        connection = None if client is None else client.connection
        if connection is not None:
            connection.block(True, True)

        def heal() -> None:
            host.reachable = True
            if connection is not None:
                connection.unblock()

        self._after(self._some_time(process), heal)

    def cut_server_off(self, process: "Process") -> None:
        """Keep the server of this process away from the leader."""
        client = process.client
        if client is None or client.connection is None:
            return
        server = client.connection.server
        if len(self._world.ensemble.servers) < 3 or not server.in_contact:
            return
        self._tell(process, f"and server {server.number} are cut off from the leader")
        server.cut_off()
        limit_s = process.policy.session_timeout_s * self._random.random()
        self._world.clock.after(limit_s, server.give_up)
        self._after(self._some_time(process), server.rejoin)

    def slow_server(self, process: "Process") -> None:
        """Let the server of this process lag behind."""
        client = process.client
        if client is None or client.connection is None:
            return
        server = client.connection.server
        usual_s, server.lag_s = server.lag_s, 2.0

        def hurry() -> None:
            server.lag_s = min(usual_s, 0.02)

        self._after(self._some_time(process), hurry)

    def elect(self, process: "Process") -> None:
        """Change the leader: all connections go, and come back."""
        self._lose_leader(process, 0.2 + self._random.random())

    def lose_quorum(self, process: "Process") -> None:
        """Have no leader for a while."""
        self._lose_leader(process, self._some_time(process))

    def _lose_leader(self, process: "Process", seconds: float) -> None:
        if self._world.ensemble.has_quorum:
            self._tell(process, f"sees the leader gone for {seconds:.1f} s")
            self._world.ensemble.lose_quorum()
            self._after(seconds, self._world.ensemble.elect)

    def _some_time(self, process: "Process") -> float:
        timeout_s = process.policy.session_timeout_s
        return self._random.random() * self._random.choice((1.0, timeout_s, 4 * timeout_s, 90.0))

    def _after(self, delay_s: float, heal: Callable[[], None]) -> None:
        """Heal after a while, or at once when it gets calm."""
        done: list[bool] = []

        def once() -> None:
            if not done:
                done.append(True)
                heal()

        self._world.clock.after(delay_s, once)
        self._world.heals.append(once)

    def _tell(self, process: "Process", what: str) -> None:
        self._world.log(f"{process.name} {what}")
