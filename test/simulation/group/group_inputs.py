"""Trees, templates and variables of a group: what is written to them, and what they produce.

Only groups that have more than plain mirrors use any of it.
"""

from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING

from simulation.forest import Forest, missing
from simulation.group.contents import Mood, draw_mood, is_good_in_calm, make_content
from simulation.input_kinds import InputWriter, Written, restoring
from simulation.input_views import digest_of
from simulation.products import Products, Terms, produced
from simulation.servers.forests import changes_of, forest_on
from simulation.servers.znodes import Change
from simulation.step_commands import contents_of
from zkexec.core.input_options import InputOptions
from zkexec.core.snapshot import Problem, Snapshot, Tree, Znode

if TYPE_CHECKING:
    from simulation.group.host import Host
    from simulation.group.world import World

TOOL_S = 1e9
"""The timeout of the session whose znodes are ephemeral: it lives as long as the history."""


class GroupInputs:
    """The inputs that all members of a group share, beside plain mirrors."""

    def __init__(self, world: "World", inputs: InputOptions, luck: Random) -> None:
        """Begin with trees that do not exist."""
        self._world = world
        self.luck = luck
        self._mood = Mood.GOOD
        self.inputs = inputs
        self.roots = inputs.trees
        self.is_used = inputs.needs_state
        self.trees: list[dict[str, Tree]] = [Forest(self.roots, {}, {}).trees]
        """The trees of each state, as `World.history` has the single znodes."""
        self._writer = InputWriter(luck, inputs, self._make)
        self._tool: int = 0

    def _make(self) -> bytes:
        """Return a content of the mood that is due; the next ones are good."""
        mood, self._mood = self._mood, Mood.GOOD
        return make_content(self._world.pushes, mood)

    @property
    def forest(self) -> Forest:
        """The trees as the leader knows them."""
        return forest_on(self._world.ensemble, self.roots)

    # What the members want.

    def terms_of(self, host: "Host") -> Terms:
        """Return what decides what the inputs produce on this host."""
        return Terms(self.inputs, host.policy.allow_empty, host.label)

    def znodes_at(self, number: int) -> dict[str, Znode]:
        """Return the single znodes of a state."""
        state = self._world.history[number]
        return {
            path: Znode(path, state[path]) if state[path] else missing(path)
            for path in self.inputs.znodes
        }

    def products_at(self, number: int, host: "Host", installed: Snapshot | None = None) -> Products:
        """Return what a state produces on this host."""
        trees = self.trees[number]
        return produced(self.terms_of(host), self.znodes_at(number), trees, installed)

    def digest_at(self, number: int) -> str:
        """Return the digest of a state, as members know it."""
        return digest_of(self.inputs, self.znodes_at(number), self.trees[number])

    @property
    def is_good_in_calm(self) -> bool:
        """Whether the present state can be applied everywhere, and is good in calm."""
        return self._is_good(self.trees[-1])

    # What is written.

    def push_something(self) -> None:
        """Write something new, the same again, or an earlier state."""
        luck, forest = self.luck, self.forest
        match luck.choices(range(3), (10, 2, 3))[0]:
            case 0:
                self._mood = draw_mood(luck)
                self.write(self._writer.change(forest))
            case 1:
                known = {p: z.content for p, z in forest.znodes.items() if not z.is_ephemeral}
                path = luck.choice([*known, *self.inputs.znodes] or [""])
                content = known.get(path) or self._world.history[-1].get(path, b"")
                self.write({path: content} if content else {})
            case 2:
                self.restore(luck.randrange(max(0, len(self.trees) - 4), len(self.trees)))

    def restore(self, number: int) -> None:
        """Write an earlier state once more."""
        now, then = self.forest, self._forest_at(number)
        self.write(restoring(self.znodes_at(number), then, now))

    def _forest_at(self, number: int) -> Forest:
        found = {
            znode.path: znode for tree in self.trees[number].values()
            for znode in tree.znodes.values()
        }  # fmt: skip
        return Forest(self.roots, found, {})

    def undo(self, host: "Host") -> None:
        """Write the newest state that produces what is installed there."""
        for number in reversed(range(len(self.trees))):
            if self.products_at(number, host).is_of(host.files):
                self.restore(number)
                return

    def push_good(self, mood: Mood = Mood.GOOD) -> None:
        """Write contents that make everything usable; the first of them does this."""
        installed = {path: b"" for host in self._world.hosts for path in host.files.files}
        self._mood = mood
        self.write(self._writer.mend(self.forest, installed))

    def remove_newest(self) -> bool:
        """Delete the znode that was written last, if everything stays usable; return whether."""
        znodes = self.forest.znodes
        leaves = [path for path in znodes if path not in self.roots
                  and not any(other.startswith(f"{path}/") for other in znodes)]  # fmt: skip
        for path in sorted(leaves, key=lambda path: (-znodes[path].mzxid, path)):
            after = self.forest
            for _ in after.write(path, Problem.MISSING, self._world.ensemble.next_zxid):
                pass
            if self._is_good(after.trees):
                self.write({path: Problem.MISSING})
                return True
        return False

    def _is_good(self, trees: Mapping[str, Tree]) -> bool:
        """Whether the present single znodes and these trees can be applied everywhere."""
        for host in self._world.hosts:
            products = produced(self.terms_of(host), self.znodes_at(-1), trees, host.there)
            found = Snapshot(products.files, variables=products.variables)
            if not (products.is_demanded and is_good_in_calm(contents_of(found))):
                return False
        return True

    def write(self, changes: Mapping[str, Written]) -> None:
        """Write and delete znodes in one transaction."""
        world, ensemble = self._world, self._world.ensemble
        before, after = self.forest, self.forest
        singles: dict[str, bytes] = {}
        for path, content in changes.items():
            if content is Problem.FORBIDDEN:
                continue
            if not before.contains(path):
                singles[path] = b"" if isinstance(content, Problem) else content
                continue
            for _ in after.write(path, content, ensemble.next_zxid):
                pass
        todo: list[Change] = [
            ensemble.written(path, content) if content else (path, None)
            for path, content in singles.items()
            if content or path in ensemble.tree.nodes
        ]
        todo += changes_of(before, after, ensemble, self._tool_session)
        world.remember(singles)
        world.pushes += 1
        world.log(f"pushed: {dict(changes)}")
        if todo:
            world.has_deleted = True
            world.write(todo)
        self.trees[-1] = self.forest.trees

    def _tool_session(self) -> int:
        """The session of a tool that makes ephemeral znodes."""
        ensemble = self._world.ensemble
        known = ensemble.sessions.get(self._tool)
        if known is None or not known.alive:
            self._tool = ensemble.open(TOOL_S).number
        return self._tool
