"""What befalls a group: terms, faults and pushes, all drawn from one seed.

First comes a time of faults.  Then they stop, everybody who is not gone for good is there, no pause
is left, something good is pushed, or asked for once more, and within a bound every member has to
run it.
"""

from collections.abc import Sequence
from dataclasses import replace as replace_plot
from random import Random

from simulation.group.checker import Violation
from simulation.group.command_model import CommandModel
from simulation.group.contents import Mood, is_good_in_calm, restart_in
from simulation.group.group_znodes import MEMBERS, QUEUE, RESTART, status_of
from simulation.group.host import Host
from simulation.group.world import Plot, World
from simulation.input_kinds import SHARE_WITH_TREES, draw_inputs
from simulation.step_commands import SHARE_WITH_STEPS, draw_steps
from zkexec.core.input_options import InputOptions, Mirror
from zkexec.core.policy import (
    MaxFailed,
    MaxUnavailable,
    Notify,
    OnFailure,
    Policy,
    StartPolicy,
)
from zkexec.core.rollout.operations import failures
from zkexec.core.rollout.version import contents_of, version_of
from zkexec.core.snapshot import Snapshot
from zkexec.core.step import Step
from zkexec.frozen import replace

QUIET_S = 5.0
RETRY_S = 60.0
REARM_S = 60.0
WIRED_EVERY = 8
"""One of this many seeds has the product's client, and servers that read its bytes.

Such a run takes longer than one whose requests are carried as values.
"""
MANY_STARTS = 5
"""So many in calm, of each member on average, show that they all crash."""
SHARE_OF_TWINS = 0.15
"""In so many of the groups."""
LARGE, HUGE = 1_000_000_000, 2_000_000_000
"""From the first of these seeds on all groups are large, from the second even larger."""
SHARE_WITH_NOTIFY = 0.2
"""In this share of the seeds, service managers wait for some of the members."""
SHARE_OF_WIDE = 0.5
"""In so many of the groups there are zones, tolerated failures, holds or several sets of inputs."""


def draw_size(random: Random) -> int:
    """Most groups are small; some are not."""
    return random.randint(2, 5) if random.random() < 0.9 else random.randint(6, 12)


def draw_terms(random: Random) -> Policy:
    """Terms that all members of a group share."""
    # Now and then there are no inputs: then only requested restarts can change anything.
    count = 0 if random.random() < 0.04 else random.choice((1, 1, 1, 2, 2, 3))
    policy = Policy(
        inputs=InputOptions(mirrors=tuple(Mirror(f"/f{n}", f"/z{n}") for n in range(count))),
        start=random.choice((StartPolicy.FRESH, *StartPolicy)),
        connect_timeout_s=random.choice((10.0, 30.0)),
        session_timeout_s=random.choice((4.0, 10.0, 30.0)),
        settle_s=random.choice((0.0, 0.1, 1.0)),
        kill_timeout_s=random.choice((1.0, 5.0, 20.0)),
        checks_health=random.random() < 0.8,
        health_delay_s=random.choice((3.0, 8.0, 30.0)),
        health_interval_s=random.choice((2.0, 10.0, 30.0)),
        health_timeout_s=random.choice((None, None, 1.0)),
        raises_alerts=random.random() < 0.3,
        min_healthy_s=random.choice((None, None, 0.0, 1.0, 5.0)),
        on_failure=random.choice((OnFailure.PAUSE, OnFailure.PAUSE, OnFailure.REVERT)),
        max_unavailable=random.choice(
            (
                MaxUnavailable(),
                MaxUnavailable(),
                MaxUnavailable(2),
                MaxUnavailable(3),
                MaxUnavailable(50, True),
            )
        ),
        in_group=True,
        restart_path=RESTART,
    )
    if not policy.checks_health and policy.min_healthy_s == 0.0:
        # A version that ran for no time at all is known good, and a program that ends at each
        # start on such files never lives until its turn comes.
        return replace(policy, min_healthy_s=None)
    return policy


def draw_plot(random: Random, size: int) -> Plot:
    """The members with their terms, and the ensemble."""
    shared = draw_terms(random)
    policy = [shared] * size
    if random.random() < 0.2:
        widths = (
            MaxUnavailable(),
            MaxUnavailable(2),
            MaxUnavailable(34, True),
            MaxUnavailable(100, True),
        )
        policy = [replace(shared, max_unavailable=random.choice(widths)) for _ in policy]
    tick_s = shared.session_timeout_s * random.choice((0.05, 0.2, 0.5))
    return Plot(policy, random.choice((1, 3, 3, 5)), tick_s)


def with_zones(luck: Random, policies: Sequence[Policy]) -> list[Policy]:
    """Let the members be of two or three zones; some may name none."""
    zones = ["a", "b", "c"][: luck.choice((2, 2, 3))] + [""] * (luck.random() < 0.2)
    limit: MaxUnavailable | None = None
    if luck.random() < 0.5:
        limit = MaxUnavailable(luck.choice((34, 50, 100)), True, True)
    return [
        replace(each, zone=luck.choice(zones), max_unavailable=limit or each.max_unavailable)
        for each in policies
    ]


def with_fewer_inputs(luck: Random, policies: Sequence[Policy]) -> list[Policy]:
    """Let some of the members mirror fewer of the znodes, so that they want other versions."""
    found = []
    for policy in policies:
        inputs, mirrors = policy.inputs, policy.inputs.mirrors
        if not inputs.needs_state and len(mirrors) > 1 and luck.random() < 0.5:
            inputs = InputOptions(mirrors=mirrors[: luck.randint(1, len(mirrors) - 1)])
        found.append(replace(policy, inputs=inputs))
    return found


def with_notify(luck: Random, policies: Sequence[Policy]) -> list[Policy]:
    """Let service managers wait for the first healthy command of some of the members."""
    if luck.random() >= SHARE_WITH_NOTIFY:
        return list(policies)
    return [replace(each, notify=luck.choice(list(Notify))) for each in policies]


def with_wide_terms(luck: Random, plot: Plot, *, is_large: bool) -> Plot:
    """Draw what only groups of format 2 have: zones, tolerated failures, holds, a wide limit."""
    policy, holds = list(plot.policy), 0.0
    if is_large and luck.random() < 0.7:
        amount = luck.choice((MaxUnavailable(17), MaxUnavailable(25), MaxUnavailable(80, True)))
        policy = [replace(each, max_unavailable=amount) for each in policy]
    if luck.random() < SHARE_OF_WIDE:
        if luck.random() < 0.4:
            policy = with_zones(luck, policy)
        if luck.random() < 0.4:
            amounts = (MaxFailed(1), MaxFailed(3), MaxFailed(10, True), MaxFailed(50, True))
            policy = [replace(each, max_failed=luck.choice(amounts)) for each in policy]
        if luck.random() < 0.3:
            policy = with_fewer_inputs(luck, policy)
        if luck.random() < 0.4:
            holds = luck.choice((1.0, 3.0))
    return replace_plot(plot, policy=policy, holds=holds)


def with_steps_of(stepped: Policy, policy: Policy) -> Policy:
    """Return the policy with the steps of another one: they are the same for all members."""
    return replace(
        policy,
        on_change=stepped.on_change,
        reload_signal=stepped.reload_signal,
        step_limits=stepped.step_limits,
    )


class SeededGroupRun:
    """One run: the world of this seed and what befalls it."""

    def __init__(self, seed: int, lines: list[str] | None = None) -> None:
        """Draw everything."""
        self._random = Random(seed)
        large = seed >= LARGE
        self._size = self._random.randint(20, 60) if large else draw_size(self._random)
        if seed >= HUGE:
            self._size *= 5
        self.plot = draw_plot(self._random, self._size)
        # Drawn separately, so that a known seed has the same transcript as before.
        loses_watches = Random(seed + 1).random() < 0.25
        if loses_watches:
            policy = [replace(each, rearm_s=REARM_S) for each in self.plot.policy]
            self.plot = Plot(policy, self.plot.servers, self.plot.tick_s)
        # The number leaves the groups of seeds that tests name as they were.
        notified = with_notify(Random(f"notify 47 of {seed}"), self.plot.policy)
        self.plot = replace_plot(self.plot, policy=notified)
        if seed % WIRED_EVERY == 0:
            self.plot = replace_plot(self.plot, is_wired=True)
        luck = Random(f"inputs of {seed}")
        if seed % WIRED_EVERY and not large and luck.random() < SHARE_WITH_TREES:
            inputs = draw_inputs(luck, self.plot.policy[0]).inputs
            policy = [replace(each, inputs=inputs) for each in self.plot.policy]
            self.plot = replace_plot(self.plot, policy=policy, luck_of_inputs=luck)
        luck = Random(f"steps of {seed}")
        if luck.random() < SHARE_WITH_STEPS:
            stepped = draw_steps(luck, self.plot.policy[0])
            policy = [with_steps_of(stepped, each) for each in self.plot.policy]
            self.plot = replace_plot(self.plot, policy=policy, luck_of_steps=luck)
        luck = Random(f"wide terms of {seed}")
        self.plot = with_wide_terms(luck, self.plot, is_large=large)
        self.world = World(self.plot, self._random, lines)
        # Drawn apart, so that all other groups are what they were before there were twins.
        self._twins = Random(f"twins of {seed}")

        self.world.ensemble.loses_watches = loses_watches

    def run(self) -> None:
        """Let it all happen; raise Violation where a promise is broken."""
        random, world = self._random, self.world
        self._prepare()
        faults_s = random.choice((40.0, 80.0, 160.0))
        for _ in range(random.randint(1, 8)):
            world.clock.after(random.uniform(0, faults_s), self._push)
        for _ in range(random.randint(0, 10)):
            world.clock.after(random.uniform(0, faults_s), self._strike)
        for _ in range(random.choice((0, 0, 1, 3, 6))):
            world.clock.after(random.uniform(0, faults_s), world.operator.act)
        self._double(faults_s)
        if world.wiping.is_wanted:
            world.clock.after(random.uniform(5, faults_s), world.wiping.begin_anew)
        if random.random() < 0.2:
            world.clock.after(faults_s * random.uniform(0.7, 0.95), self._push_untimely)
        world.run_until(world.clock.now + faults_s)
        self._calm()
        self._demand_progress()
        if world.inputs.is_used and world.inputs.remove_newest():
            # What is left was written before, and is newer all the same.
            self._demand_progress()
        world.rest()

    def _prepare(self) -> None:
        random, world = self._random, self.world
        if random.random() < 0.95:
            world.push_new(world.paths, Mood.GOOD if random.random() < 0.9 else Mood.HANGS)
        together = random.random() < 0.5
        for host in world.hosts:
            if random.random() < 0.2 and not world.inputs.is_used:
                files = {
                    m.local_path: world.history[-1][m.zk_path] for m in host.policy.inputs.mirrors
                }
                host.files = Snapshot(files if all(files.values()) else {})
            world.clock.after(0.0 if together else random.uniform(0, 20), host.start)

    def _double(self, faults_s: float) -> None:
        """Let a host be there that has the member ID of another one, now and then."""
        random, world = self._twins, self.world
        if random.random() < SHARE_OF_TWINS:
            first = random.choice(world.hosts)
            twin = Host(world, first.number, first.policy, is_twin=True)
            world.double(twin)
            world.clock.after(random.uniform(0, faults_s), twin.start)

    def _retire_twins(self) -> None:
        """Let the first ones have their IDs for themselves."""
        for twin in self.world.twins:
            twin.gone = True
            if twin.living is not None:
                twin.living.lose_power()

    def _push(self) -> None:
        if not self.world.chaos.calm:
            self.world.push_something()

    def _push_untimely(self) -> None:
        """Push what fails now, or in the middle of its rollout, and is worth a retry in calm."""
        world, latest_s = self.world, self._random.choice((0.0, 0.0, 20.0))
        world.outage_from = world.clock.now + latest_s * self._random.random()
        world.push_new(world.paths, Mood.UNTIMELY)

    def _strike(self) -> None:
        hosts = [*self.world.hosts, *self.world.twins]
        head = self.world.truth.head
        if head is not None and self._random.random() < 0.5:
            hosts = [host for host in hosts if host.name == head.member]
        living = [host.process for host in hosts if host.living is not None]
        if living:
            process = self._random.choice(living)
            assert process is not None
            self.world.chaos.strike(process)

    def _calm(self) -> None:
        """End all faults, and push good content, in any state of the members."""
        world = self.world
        world.log("it becomes calm")
        world.chaos.calm = True
        world.ensemble.loses_watches = False
        for heal in world.heals:
            heal()
        for host in world.hosts:
            world.clock.after(self._random.uniform(0, 1), host.start)
        if self._random.random() < 0.5:
            self._check_at_rest()
        self._retire_twins()
        self._end_pause()
        self._want_something_good()

    def _end_pause(self) -> None:
        """Resume the group, which an operator may have paused, and end a hold."""
        world = self.world
        if world.truth.paused is not None:
            world.operator.resume()
            world.run_until(world.clock.now + 20)
        if world.truth.hold is not None:
            world.operator.approve()
            world.run_until(world.clock.now + 20)

    def _want_something_good(self) -> None:
        """Push it, or leave it at what is there; have it restarted, or what failed tried again."""
        world, random = self.world, self._random
        contents = [world.history[-1][path] for path in world.paths]
        world.clock.after(random.uniform(0, 10), self._retry_what_failed)
        is_used = world.inputs.is_used
        is_good = world.inputs.is_good_in_calm if is_used else is_good_in_calm(contents)
        if is_good and failures(world.truth) and random.random() < 0.7:
            return
        pushes = not is_good or random.random() < 0.3
        if pushes:
            world.push_new(world.paths, Mood.GOOD)
        if random.random() < (0.2 if pushes else 0.6):
            world.clock.after(random.choice((0.0, 1.0, 20.0)) * random.random(), self._restart)
        if random.random() < 0.1 * world.clumsiness:
            world.clock.after(random.uniform(0, 30), world.operator.blunder)

    def _restart(self) -> None:
        self.world.operator.restart()

    def _retry_what_failed(self) -> None:
        """Do as operators do who see that what they want has failed once."""
        if failures(self.world.truth):
            self.world.operator.retry()
        self.world.clock.after(RETRY_S, self._retry_what_failed)

    def _check_at_rest(self) -> None:
        """Check that all turns end without new content, if the command is as it should be."""
        world, policy = self.world, self.plot.policy[0]
        grace_s = policy.kill_timeout_s + policy.health_delay_s + (policy.min_healthy_s or 0.0)
        grace_s += sum(policy.step_limits.values())
        world.run_until(
            world.clock.now + 60 + 2 * policy.session_timeout_s + grace_s + self._refused_s
        )
        world.rest()
        if world.truth.paused is not None or world.truth.hold is not None:
            return
        doubled = [twin.name for twin in world.twins]
        for name, entry in world.truth.in_flight.items():
            if name in doubled:
                # It is unknown which of the two has the turn.
                continue
            process = world.hosts[int(name[1:])].living
            command = None if process is None else process.commands.present
            if (
                process is None
                or command is None
                or not command.was_known_good
                or not command.alive
            ):
                continue
            if process.policy.runs(Step.POST_HEALTHY) and not command.warmed:
                # It may have failed its post-healthy command until the turn had failed.
                continue
            if self._has_failed_what_is_wanted(process.host):
                # A member that returned on a known good version waits in its turn for a newer one.
                continue
            known_good = version_of(command.files, process.policy.inputs).digest
            if known_good == entry.digest and world.clock.now > command.started_at + 30 + grace_s:
                raise Violation(f"no progress: {name} keeps its turn")

    @property
    def _refused_s(self) -> float:
        """How long clients may be refused that have seen more than the servers have now."""
        has_more = self.world.histories > 0
        return max(60.0, 7 * self.plot.policy[0].session_timeout_s) if has_more else 0.0

    def _has_failed_what_is_wanted(self, host: Host) -> bool:
        state, mirrors = self.world.history[-1], host.policy.inputs.mirrors
        if self.world.inputs.is_used:
            return self._has_failed_inputs(state[RESTART])
        files = {mirror.local_path: state[mirror.zk_path] for mirror in mirrors}
        wanted = version_of(Snapshot(files, restart=restart_in(state[RESTART])), host.policy.inputs)
        version_state = self.world.truth.versions.get(wanted.digest)
        return version_state is not None and bool(version_state.failed_by)

    def _has_failed_inputs(self, asked: bytes) -> bool:
        restart = restart_in(asked)
        digest = self.world.inputs.digest_at(-1) + (f".{restart}" if restart else "")
        version_state = self.world.truth.versions.get(digest)
        return version_state is not None and bool(version_state.failed_by)

    def _demand_progress(self) -> None:
        """Run on until all is as it should be, and stays so."""
        world = self.world
        policy = self.plot.policy[0]
        turn_s = policy.kill_timeout_s + (policy.min_healthy_s or 0.0) + 15.0
        grace_s = policy.kill_timeout_s + policy.health_delay_s + (policy.min_healthy_s or 0.0)
        grace_s += sum(policy.step_limits.values())
        patience_s = 200 + 8 * policy.session_timeout_s + 4 * grace_s + 2 * self._size * turn_s
        bound = world.clock.now + patience_s + self._refused_s
        born = sum(host.incarnations for host in world.hosts)
        world.clock.after(patience_s / 2, lambda: self._help_who_crash(born))
        settled = 0
        while settled < 3:
            if world.clock.now > bound:
                raise Violation(f"no progress: {self._shortfall()}")
            world.run_until(world.clock.now + QUIET_S)
            settled = settled + 1 if not self._shortfall() else 0

    def _help_who_crash(self, born: int) -> None:
        """Forget the members that are gone for good, if no other lives long enough to reclaim them.

        This is a known limit: a known good version that ends soon after each start all the same.
        """
        world = self.world
        if sum(host.incarnations for host in world.hosts) - born > MANY_STARTS * len(world.hosts):
            world.operator.forget_the_gone()

    def _shortfall(self) -> str:
        world = self.world
        for host in world.hosts:
            if not host.gone and (shortfall := self._shortfall_of(host)):
                return f"{host.name} {shortfall}"
        # The turn of a member that is gone for good is reclaimed by the next in the queue, if any.
        hosts = {host.name: host for host in world.hosts}
        in_flight = [name for name in world.truth.in_flight if not hosts[name].gone]
        if in_flight:
            return f"{in_flight} are in flight"
        queue = world.ensemble.tree.children[QUEUE]
        return f"{list(queue.values())} are in the queue" if queue else ""

    def _shortfall_of(self, host: Host) -> str:
        process, wanted = host.living, self.world.history[-1]
        if process is None:
            return "has no process"
        command = process.commands.present
        if command is None or not command.alive:
            return "has no command"
        if not command.is_healthy(self.world.clock.now, host.policy):
            return "is not healthy"
        if self.world.inputs.is_used:
            if shortfall := self._shortfall_of_inputs(host, command):
                return shortfall
        else:
            for mirror in host.policy.inputs.mirrors:
                if command.files.files[mirror.local_path] != wanted[mirror.zk_path]:
                    return f"does not run on what {mirror.zk_path} holds"
        if command.loaded.files != host.files.files and not command.ignored:
            return "does not run what is on disk"
        if host.policy.runs(Step.POST_HEALTHY) and (command.drained or not command.warmed):
            return "has run no post-healthy command with success"
        asked = restart_in(wanted[RESTART])
        return f"has not restarted for {asked}" if asked not in ("", command.files.restart) else ""

    def _shortfall_of_inputs(self, host: Host, command: CommandModel) -> str:
        """Whether a member runs what the inputs produce, and is up to date in its status."""
        inputs = self.world.inputs
        products = inputs.products_at(-1, host, host.there)
        if not products.is_of(command.files):
            return f"does not run what the inputs produce: {products.differs_from(command.files)}"
        node = self.world.ensemble.tree.nodes.get(MEMBERS + host.name)
        digest = inputs.digest_at(-1)
        if node is None or contents_of(status_of(node).running) != digest:
            return "does not show in its status that it runs the newest version"
        described = None if host.targets is None else host.targets.described
        if described is None or described.digest != digest:
            return "has a state file that does not describe the newest version"
        return ""
