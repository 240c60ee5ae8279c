"""One run of the simulation: terms, faults, changes and signals, all drawn from one seed.

First comes a time of faults.  Then they stop, and within a bound the last content of the
ensemble has to be what runs.
"""

from functools import partial
from random import Random

from simulation.bystander import Violation
from simulation.ensemble_model import EnsembleModel
from simulation.flaws import Flaw, draw_flaw, flaw_of
from simulation.host_model import NAME, Tree
from simulation.input_kinds import SHARE_WITH_TREES, InputWriter, draw_inputs, restoring
from simulation.input_views import digest_of
from simulation.products import Products, Terms, produced
from simulation.step_commands import SHARE_WITH_STEPS, contents_of, draw_steps
from simulation.wire.wire_cluster import WireCluster
from simulation.world import Recorder, Step, World
from zkexec.core.events import ExitStatus, SignalReceived
from zkexec.core.input_options import InputOptions, Mirror
from zkexec.core.phases import Phase
from zkexec.core.policy import Notify, Policy, StartPolicy
from zkexec.core.snapshot import Problem, Snapshot, plan
from zkexec.core.step import Step as StepOfChange
from zkexec.frozen import replace

CONTENTS = (b"a", b"b", b"c")
QUIET_S = 4.0
REARM_S = 60.0
SHARE_WITH_NOTIFY = 0.3
"""In this share of the seeds, a service manager waits for the command to be ready."""
MENDING_S = 20.0
"""Pause between two contents of an operator who sees that the last one was refused."""
WIRED_EVERY = 4
"""One of this many seeds has the product's session, and servers that read its bytes.

Such a run takes four times as long as one whose events are made by the model of the cluster.
"""


def draw_terms(random: Random) -> Policy:
    """Terms with times short enough that everything gets into each other's way."""
    count = random.choice((0, 1, 1, 2, 3))
    return Policy(
        inputs=InputOptions(mirrors=tuple(Mirror(f"/f{n}", f"/z{n}") for n in range(count))),
        start=random.choice(list(StartPolicy)),
        allow_empty=random.random() < 0.2,
        connect_timeout_s=random.choice((1.0, 5.0, 30.0)),
        session_timeout_s=random.choice((0.4, 4.0, 10.0)),
        settle_s=random.choice((0.0, 0.1, 1.0)),
        kill_signal=random.choice((15, 15, 2)),
        kill_timeout_s=random.choice((0.0, 1.0, 5.0)),
        checks_health=random.random() < 0.6,
        health_delay_s=random.choice((0.0, 0.5, 5.0)),
        health_interval_s=random.choice((1.0, 5.0)),
        health_timeout_s=random.choice((None, 0.0, 0.5, 2.0)),
        raises_alerts=random.random() < 0.6,
        alert_interval_s=random.choice((0.0, 10.0)),
        alert_recovery=random.random() < 0.5,
        rearm_s=REARM_S,
    )


class SeededRun:
    """One run: the world of this seed and what befalls it."""

    def __init__(self, seed: int, record: Recorder | None = None) -> None:
        """Draw the terms and make the world."""
        self._random = Random(seed)
        self.policy = draw_terms(self._random)
        # Drawn separately, so that a known seed has the same transcript as before.
        self._loses_watches = Random(seed).random() < 0.3
        if not self._loses_watches and Random(seed + 1).random() < 0.5:
            # A deadline that comes in any case would hide that another is missing.
            self.policy = replace(self.policy, rearm_s=None)
        self._luck = Random(f"inputs of {seed}")
        if self._luck.random() < SHARE_WITH_TREES:
            self.policy = draw_inputs(self._luck, self.policy)
        self._steps = Random(f"steps of {seed}")
        self._has_steps = self._steps.random() < SHARE_WITH_STEPS
        if self._has_steps:
            self.policy = draw_steps(self._steps, self.policy)
        if Random(f"notify of {seed}").random() < SHARE_WITH_NOTIFY:
            self.policy = replace(self.policy, notify=Notify.ZKEXEC)
        is_wired = seed % WIRED_EVERY == 0
        roots = self.policy.inputs.trees
        make_cluster = (
            partial(WireCluster, self.policy) if is_wired else partial(EnsembleModel, roots=roots)
        )
        self._inputs = InputWriter(self._luck, self.policy.inputs, self._make)
        self._flaw = Flaw.NONE
        """That of the next content that is made for an input of another kind."""
        self.world = World(self.policy, self._random, record, make_cluster)
        self._calm_now = False
        self._mended_at = 0.0
        self._mortal = self._random.random() < 0.3
        """Whether this run may see its end; else too few would live to see the calm."""
        self._spite = 0.0
        """How often more happens before files that could not be written are tried again."""

    def run(self) -> set[Step]:
        """Let it all happen; raise Violation where a promise is broken."""
        self._prepare()
        faults_s = self._random.choice((5.0, 20.0, 60.0))
        for _ in range(self._random.randrange(30)):
            self.world.clock.after(self._random.uniform(0, faults_s), self._befall)
        until = self.world.clock.now + faults_s
        if self.policy.inputs.needs_state:
            for _ in range(self._luck.choice((0, 0, 1, 2))):
                self.world.clock.after(self._luck.uniform(0, faults_s), self._kill)
        self.world.run_until(until)
        while self.world.done and self.policy.inputs.needs_state:
            self._start_again(until)
        if not self.world.done:
            self._calm()
            self._demand_progress()
        for _ in range(2):
            if not self.world.done and self.policy.inputs.needs_state:
                # What is written in calm is applied as well, whatever it is.
                self.world.ensemble.write(self._inputs.change(self.world.ensemble.forests[-1]))
                self._demand_progress()
        return self.world.steps

    def _prepare(self) -> None:
        random, world = self._random, self.world
        if random.random() < 0.9:
            self._fill()
        if random.random() < 0.5 and not self.policy.inputs.needs_state:
            world.host.files_are_cached = True
            world.host.files = Snapshot(
                {
                    mirror.local_path: random.choice(CONTENTS)
                    for mirror in self.policy.inputs.mirrors
                }
            )
        world.ensemble.reachable = random.random() < 0.8
        world.ensemble.loses_replies = random.random() < 0.3
        world.ensemble.loses_watches = self._loses_watches
        world.host.faults = random.random() < 0.7
        self._spite = random.choice((0.0, 0.0, 0.5, 1.0))
        world.host.files_failed = self._make_worse
        world.host.told_to_stop = self._change_while_stopping
        world.host.steps.begun = self._change_while_stopping

    def _start_again(self, until: float) -> None:
        """Start zkexec anew after its end, as an init system does, and go on."""
        self.world.clock.spend(self._luck.uniform(0, 5))
        if self.world.clock.now >= until:
            self._calm()
            self._fill()
        self.world.be_killed()
        self.world.run_until(until)

    def _kill(self) -> None:
        """Kill zkexec now, or in the middle of its next installation."""
        if self._luck.random() < 0.5:
            self.world.host.killed_after = self._luck.randrange(5)
        elif not self.world.done:
            self.world.be_killed()

    def _befall(self) -> None:  # noqa: C901 -- one arm for each
        random, ensemble = self._random, self.world.ensemble
        ensemble.reachable = ensemble.reachable or random.random() < 0.3
        match random.choices(range(9), (10, 2, 1, 1, 1, 1, 1, 1, 1))[0]:
            case 0:
                self._write_something()
            case 1:
                ensemble.suspend(random.choice((0.1, 3, 30)), expires=random.random() < 0.3)
            case 2 if random.random() < 0.3:
                ensemble.suspend(0.1, expires=True)
            case 3 if random.random() < 0.3:
                ensemble.refuse_client()
                ensemble.suspend(1.0, expires=False)
            case 4:
                self._end_something()
            case 5:
                signal = random.choice((1, 2, 10, 28)) if self._mortal else 10
                self.world.deliver(SignalReceived(signal, random.random() < 0.5))
            case 6:
                self.world.lose_core(random.choice((0.0, 0.5, 5.0)))
            case 7:
                self.world.host.disk.begin_spell(self.world.clock.now)
            case 8 if random.random() < 0.5:
                ensemble.begin_anew()
                if random.random() < 0.5:
                    self.world.clock.after(random.uniform(0, 70), self._write_something)

    def _make_worse(self) -> None:
        """Have something happen in the pause between two attempts to write files."""
        random, world = self._random, self.world
        if random.random() >= self._spite:
            return
        world.host.start_fails = self._mortal and random.random() < 0.1
        longest_s = random.choice((0.5, 11.0))
        for _ in range(random.choice((1, 1, 2))):
            world.clock.after(random.uniform(0, longest_s), self._happen_in_the_pause)

    def _change_while_stopping(self) -> None:
        """Have something else wanted during a stop, or what was wanted; now and then one by one."""
        random, world = self._random, self.world
        staged = world.host.staged
        if random.random() >= self._spite or staged is None or self._calm_now:
            return
        for wanted in random.sample((None, world.host.files, staged), random.choice((1, 2, 2))):
            change = self._write_something if wanted is None else partial(self._put_back, wanted)
            world.clock.after(random.uniform(0, 0.5), change)

    def _happen_in_the_pause(self) -> None:
        random, world = self._random, self.world
        if self._calm_now:
            return
        match random.choices(range(5), (6, 3, 2, 1, 1))[0]:
            case 0:
                self._put_back(self.world.host.files)
            case 1:
                self._write_something()
            case 2:
                self._end_something()
            case 3:
                world.ensemble.suspend(random.choice((0.1, 3)), expires=True)
            case 4:
                world.host.disk.begin_spell(world.clock.now)

    def _put_back(self, wanted: Snapshot) -> None:
        """Write what these files hold, as far as they are all there."""
        if self.policy.inputs.needs_state:
            if not self._calm_now:
                self._restore(wanted)
            return
        files, mirrors = wanted.files, self.policy.inputs.mirrors
        if mirrors and not self._calm_now and all(m.local_path in files for m in mirrors):
            contents = {mirror.zk_path: files[mirror.local_path] for mirror in mirrors}
            self.world.ensemble.write(contents)

    def _restore(self, wanted: Snapshot) -> None:
        """Write the newest state that produces this, if there is one."""
        ensemble = self.world.ensemble
        for state, forest in zip(ensemble.history[::-1], ensemble.forests[::-1], strict=True):
            products = produced(self._terms, state, forest.trees)
            if products.is_usable and products.is_of(wanted):
                ensemble.write(restoring(state, forest, ensemble.forests[-1]))
                return

    def _end_something(self) -> None:
        if not self._mortal:
            return
        if self._random.random() < 0.5:
            signal = self._random.choice((3, 15, 15, 15))
            self.world.deliver(SignalReceived(signal, from_terminal=False))
            if signal == 15 and self._has_steps and self._steps.random() < 0.5:
                again = SignalReceived(signal, from_terminal=False)
                after_s = self._steps.uniform(0, 2)
                self.world.clock.after(after_s, partial(self.world.deliver, again))
        else:
            ending = self._random.choice((ExitStatus(), ExitStatus(code=3), ExitStatus(signal=11)))
            self.world.host.end_child(ending)

    def _write_something(self) -> None:
        random = self._random
        if self._calm_now:
            return
        if self.policy.inputs.needs_state and self._luck.random() < 0.8:
            has_flaw = self._has_steps and self._steps.random() < 0.4
            self._flaw = draw_flaw(self._steps) if has_flaw else Flaw.NONE
            self.world.ensemble.write(self._inputs.change(self.world.ensemble.forests[-1]))
            return
        paths = list(self.world.ensemble.state)
        if not paths:
            return
        contents: list[bytes | Problem] = [*CONTENTS, *CONTENTS, b"", Problem.MISSING]
        contents.append(Problem.FORBIDDEN)
        if random.random() < 0.5:
            # Contents that are written once distinguish states, contents that return do not.
            contents = [b"%d" % len(self.world.ensemble.history)]
        chosen = random.sample(paths, random.randint(1, len(paths)))
        written = {path: random.choice(contents) for path in chosen}
        if self._has_steps and self._steps.random() < 0.4:
            written[chosen[0]] = self._content(draw_flaw(self._steps))
        self.world.ensemble.write(written)
        if random.random() < 0.2:
            self.world.clock.after(random.uniform(0, 0.3), self._write_something)

    def _content(self, flaw: Flaw) -> bytes:
        """Return a content that was never there before, with this flaw."""
        return b"%d %s" % (len(self.world.ensemble.history), flaw.value.encode())

    def _make(self) -> bytes:
        """Return a content with the flaw that is due, and perhaps one that was there before."""
        flaw, self._flaw = self._flaw, Flaw.NONE
        if flaw is Flaw.NONE and self._luck.random() < 0.5:
            return self._luck.choice(CONTENTS)
        return self._content(flaw)

    @property
    def _terms(self) -> Terms:
        return Terms(self.policy.inputs, self.policy.allow_empty, NAME)

    @property
    def _products(self) -> Products:
        """What the present state produces."""
        ensemble = self.world.ensemble
        there = self.world.views.there(ensemble.present)
        return produced(self._terms, ensemble.state, ensemble.forests[-1].trees, there)

    def _mended(self) -> dict[str, bytes | Problem]:
        """Return what makes all inputs good, whatever is there."""
        host = self.world.host
        return self._inputs.mend(self.world.ensemble.forests[-1], host.files.files)

    def _mend_inputs(self) -> None:
        """The same for inputs of all kinds."""
        world, products = self.world, self._products
        tree = world.host.tree
        is_bad = not products.is_demanded or world.phase is not Phase.RUNNING
        is_bad |= tree is not None and tree.sick
        wanted = Snapshot(products.files, variables=products.variables)
        is_bad |= flaw_of(contents_of(wanted)) is not Flaw.NONE
        is_bad |= tree is not None and flaw_of(contents_of(tree.loaded)) is not Flaw.NONE
        if is_bad and world.clock.now >= self._mended_at + MENDING_S:
            self._mended_at = world.clock.now
            world.ensemble.write(self._mended())

    def _mend(self) -> None:
        """Do as operators do whose last content was refused, or is bad: write a good one."""
        if self.policy.inputs.needs_state:
            self._mend_inputs()
            return
        world, state = self.world, self.world.ensemble.state
        mirrors = self.policy.inputs.mirrors
        wanted = [state[mirror.zk_path] for mirror in mirrors]
        refused = world.host.steps.refused
        files = {m.local_path: z.content for m, z in zip(mirrors, wanted, strict=True)}
        is_refused = refused is not None and dict(refused.files) == files
        is_refused = is_refused or world.phase is Phase.FAILED
        tree = world.host.tree
        loaded = () if tree is None else tree.loaded.files.values()
        is_sick = (tree is not None and tree.sick) or flaw_of(loaded) is not Flaw.NONE
        is_bad = is_refused or is_sick or flaw_of(files.values()) is not Flaw.NONE
        if is_bad and world.clock.now >= self._mended_at + MENDING_S:
            self._mended_at = world.clock.now
            world.ensemble.write({path: self._content(Flaw.NONE) for path in state})

    def _fill(self) -> None:
        if self.policy.inputs.needs_state:
            self.world.ensemble.write(self._mended())
            return
        paths = self.world.ensemble.state
        self.world.ensemble.write({path: self._random.choice(CONTENTS) for path in paths})

    def _calm(self) -> None:
        self._calm_now = True
        if self.world.host.targets is not None:
            self.world.host.targets.clear_away()
        self.world.ensemble.reachable = True
        self.world.ensemble.loses_replies = False
        self.world.ensemble.loses_watches = False
        self.world.host.faults = False
        if self.world.phase is Phase.LOADING:
            self._fill()

    def _demand_progress(self) -> None:
        """Run on until things stay as they should be, for so long that nothing is on its way."""
        world, policy = self.world, self.policy
        patience_s = max(60.0, 6 * policy.session_timeout_s)
        bound = world.clock.now + patience_s + 2 * policy.session_timeout_s + 60
        settled = 0
        while not world.done and settled < 3:
            if world.clock.now > bound:
                raise Violation(f"no progress: {self._shortfall()}")
            if self._has_steps or self.policy.inputs.needs_state:
                self._mend()
            world.run_until(world.clock.now + QUIET_S)
            settled = settled + 1 if not self._shortfall() else 0

    def _shortfall(self) -> str:
        world = self.world
        if world.phase is not Phase.RUNNING:
            return f"the phase is {world.phase.value}"
        tree = world.host.tree
        if tree is None or not tree.alive:
            return "no child is there"
        if self.policy.inputs.needs_state:
            shortfall = self._shortfall_of_inputs(tree)
        else:
            shortfall = self._shortfall_of_files()
        if shortfall:
            return shortfall
        if plan(tree.loaded, world.host.files) and not tree.ignored:
            return "the command does not run what is on disk"
        # A health check without a time limit can run for ever, and then nothing is known.
        is_judged = world.host.check is None or self.policy.health_timeout_s is not None
        is_in = tree.warmed and not tree.drained
        if self.policy.runs(StepOfChange.POST_HEALTHY) and is_judged and not is_in:
            return "no post-healthy command has succeeded"
        return ""

    def _shortfall_of_files(self) -> str:
        state, files = self.world.ensemble.state, self.world.host.files.files
        mirrors = self.policy.inputs.mirrors
        read = [state[mirror.zk_path] for mirror in mirrors]
        if not all(z.problem is None and (z.content or self.policy.allow_empty) for z in read):
            return ""
        for mirror, znode in zip(mirrors, read, strict=True):
            if files[mirror.local_path] != znode.content:
                return f"{mirror.zk_path} is {znode.content!r}, but the file is not"
        return ""

    def _shortfall_of_inputs(self, tree: Tree) -> str:
        products, host = self._products, self.world.host
        if not products.is_demanded:
            return ""
        running = replace(host.files, variables=tree.loaded.variables)
        if not products.is_of(running):
            return f"the inputs produce other {products.differs_from(running)}"
        described = None if host.targets is None else host.targets.described
        ensemble = self.world.ensemble
        digest = digest_of(self.policy.inputs, ensemble.state, ensemble.forests[-1].trees)
        if described is None or described.digest != digest:
            return "the state file does not describe the newest version"
        return ""
