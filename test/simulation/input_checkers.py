"""The promises about trees, templates and variables; one small class each, as in `checkers`."""

from collections.abc import Iterator

from simulation.bystander import Bystander, CoreLost, HandledEvent, Violation
from simulation.checkers import Checker
from simulation.products import Products, key_of, produced, texts_of
from simulation.step_checkers import stops_for_change
from zkexec.core import actions, events
from zkexec.core.snapshot import Snapshot, plan
from zkexec.frozen import replace


class InstallsOneState:
    """Installed files and the variables of a started command are of one state of the ensemble.

    Never of an older one than before, unless a refused reload is put back.
    """

    def __init__(self) -> None:
        """Begin before the first state."""
        self._state = 0
        self._known: list[Snapshot] = []
        """What was installed in an earlier life, or by now."""

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Search for the state that files and variables can come from."""
        event, host = moment.event, bystander.host
        if isinstance(event, events.CachedFilesFound):
            self._known.append(event.snapshot)
        if isinstance(event, events.FilesInstalled):
            self._see_install(host.files, bystander)
        for action in moment.actions:
            if isinstance(action, actions.StartCommand):
                started = replace(host.files, variables=action.variables)
                if not any(_is_same(started, known) for known in self._known):
                    raise Violation("the command starts on what is of no state")
            if isinstance(action, actions.RememberState):
                self._see_version(action.snapshot, host.files)

    @staticmethod
    def _see_version(remembered: Snapshot, installed: Snapshot) -> None:
        """Nothing differs in a version that is remembered but its digest."""
        if not _is_same(remembered, installed):
            raise Violation("another version is remembered than is installed")

    def _see_install(self, files: Snapshot, bystander: Bystander) -> None:
        if bystander.reloads.puts_back:
            self._state = 0
        for number, products in self._states(bystander):
            if products.is_usable and products.is_of(files):
                self._state = number
                self._known.append(files)
                return
        raise Violation(f"{dict(files.files)} and {dict(files.variables)} are of no state")

    def _states(self, bystander: Bystander) -> Iterator[tuple[int, Products]]:
        """Yield what each state produces on this host, from the last one on."""
        ensemble, terms = bystander.ensemble, bystander.views.terms
        there = self._known[-1] if self._known else None
        if ensemble.present:
            # Nothing shows of which history it is.
            there = None
        for number in range(self._state, len(ensemble.history)):
            znodes, trees = ensemble.history[number], ensemble.forests[number].trees
            yield number, produced(terms, znodes, trees, there)


def _is_same(one: Snapshot, other: Snapshot) -> bool:
    return not plan(replace(one, restart="", unrendered=""), replace(other, restart=""))


class StagesWhatWasRead:
    """What is staged is what the last read produces, and nothing if that cannot be used.

    The old files may be put back after a refused reload.
    """

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Compare what is staged with what may be wanted."""
        for action in moment.actions:
            if isinstance(action, actions.StageFiles):
                self._judge(action.snapshot, bystander)

    def _judge(self, snapshot: Snapshot, bystander: Bystander) -> None:
        if snapshot.unrendered:
            raise Violation("a version is staged that has an error in a template")
        tree, views = bystander.host.tree, bystander.views
        old = (bystander.reloads.replaced, *(() if tree is None else (tree.loaded,)))
        if bystander.reloads.failed and any(_is_same(snapshot, known) for known in old):
            return
        if not views.known or any(p.is_usable and p.is_of(snapshot) for p in views.known):
            return
        if all(products.is_usable for products in views.known):
            differing = views.known[-1].differs_from(snapshot)
            raise Violation(f"the staged files are not wanted any more: {differing}")
        tried = bystander.host.files
        if not _is_same(snapshot, tried):
            raise Violation("something is staged although what was read cannot be used")


class TouchesNoForeignFile:
    """After an installation there are the wanted files and the foreign ones, and no others."""

    def __init__(self) -> None:
        """Begin with what is there."""
        self._foreign: dict[str, bytes] | None = None

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Compare the disk with what was installed."""
        targets = bystander.host.targets
        assert targets is not None, "the inputs need a state file"
        if self._foreign is None:
            self._foreign = dict(targets.foreign)
        if not isinstance(moment.event, events.FilesInstalled):
            return
        wanted = dict(bystander.host.files.files)
        is_left = set(self._foreign) & set(targets.foreign)
        self._foreign = {p: c for p, c in self._foreign.items() if p in is_left}
        if targets.files != self._foreign | wanted or self._foreign != targets.foreign:
            extra = sorted(targets.files.keys() - self._foreign.keys() - wanted.keys())
            raise Violation(f"files of an earlier version are left: {extra}")


class RendersWhatWasRead:
    """One rendering runs at a time, of what was read, and its result is of exactly this."""

    def __init__(self) -> None:
        """Begin without any."""
        self._running = False

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Compare each rendering with the last read."""
        if isinstance(moment.event, events.RenderFinished | CoreLost):
            self._running = False
        for action in moment.actions:
            if not isinstance(action, actions.RenderTemplates):
                continue
            if self._running:
                raise Violation("a rendering is started while another one runs")
            self._running = True
            read = bystander.views.read
            if read is None:
                raise Violation("a rendering of what was never read")
            inputs = bystander.policy.inputs
            values = {
                root: {path: znode.content for path, znode in read.trees[root].znodes.items()}
                for root in inputs.values
            }
            if [tuple(text) for text in action.templates] != texts_of(inputs, read.znodes):
                raise Violation("other texts are rendered than were read")
            if {root: dict(found) for root, found in action.values.items()} != values:
                raise Violation("other values are rendered than were read")


class RestartsForVariables:
    """A change of a variable restarts the command, and the running one never gets another."""

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Check installations beside a running command."""
        staged, host = bystander.host.staged, bystander.host
        installs = any(isinstance(todo, actions.InstallFiles) for todo in moment.actions)
        is_running = bystander.stopping_since is None and not bystander.over
        tree = host.tree
        if staged is None or tree is None or not (installs and is_running):
            return
        if not bystander.generation or bystander.drains.has_left:
            return
        if dict(staged.variables) != dict(tree.loaded.variables):
            raise Violation("other variables are installed beside a running command")


class StopsOnlyForADifference:
    """No command is stopped if it would be started again on the same files and variables.

    A command that was unhealthy after a reload may be.
    """

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Compare what runs with what is staged."""
        tree, staged = bystander.host.tree, bystander.host.staged
        if tree is None or staged is None or not any(stops_for_change(moment, bystander)):
            return
        is_reloaded = bystander.reloads.at > bystander.started_at
        is_reloaded |= tree.ignored
        if _is_same(tree.loaded, staged) and not is_reloaded:
            raise Violation("a stop although nothing differs from what runs")


class NumbersVersions:
    """Equal inputs have one digest, and other inputs another one, whatever they produce."""

    def __init__(self) -> None:
        """Begin without any version."""
        self._digests: dict[frozenset[tuple[str, bytes]], str] = {}

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Compare the digest of what is staged or remembered with what was read."""
        views = bystander.views
        if len(views.known) != 1 or views.read is None or not views.known[0].is_usable:
            return
        key = key_of(bystander.policy.inputs, views.read.znodes, views.read.trees)
        for action in moment.actions:
            if not isinstance(action, actions.StageFiles | actions.RememberState):
                continue
            digest = action.snapshot.digest
            if not views.known[0].is_of(action.snapshot):
                continue
            if isinstance(action, actions.RememberState) and action.was_healthy:
                # It may be about the version before, which has the same products.
                continue
            if self._digests.setdefault(key, digest) != digest:
                raise Violation("equal inputs have two digests")
            if any(known != key for known, its in self._digests.items() if its == digest):
                raise Violation("other inputs have the same digest")


def input_checkers() -> list[Checker]:
    """One of each kind, for worlds with more than plain mirrors."""
    return [
        InstallsOneState(), StagesWhatWasRead(), TouchesNoForeignFile(), RendersWhatWasRead(),
        RestartsForVariables(), StopsOnlyForADifference(), NumbersVersions(),
    ]  # fmt: skip
