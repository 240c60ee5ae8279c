"""Trees that change at any moment: each read shows a state that there was, and misses nothing."""

import os
from collections.abc import Iterable
from random import Random

import pytest

from support.model_server import CHILDREN, CONTENT, ModelServer, State, converse
from zkexec.zookeeper.errors import NoAuthError, NoNodeError, RefusedError
from zkexec.zookeeper.tree_outline import ReadLimits, TreeExcess
from zkexec.zookeeper.tree_reader import TreeReader, TreesFound

BLOCKS = 8
SEEDS = int(os.environ.get("ZKEXEC_SEEDS", "400"))
LIMITS = ReadLimits(8, 400)
ROOTS = ("/t", "/t/a", "/u")
SINGLE = ("/s", "/u/a")
NAMES = ("a", "b", "c")


class World:
    """A reader and the server that it reads from, with writes at any moment."""

    def __init__(self, seed: int) -> None:
        """Draw what the server can do, and how much is written to it."""
        self.random = Random(seed)
        self.touched: set[str] = set()
        self.server = ModelServer(self._fired)
        self.is_old = self.random.random() < 0.5
        self.server.hides_unreadable = self.random.random() < 0.3
        self.permits = self.random.random() < 0.3
        self.pace = self.random.choice((0.0, 0.02, 0.1))
        self.reader = TreeReader(SINGLE, ROOTS, "w", lambda: self.is_old, LIMITS)
        for _ in range(self.random.randrange(30)):
            self.write()

    def _fired(self, path: str) -> None:
        self.touched.add(path)
        self.reader.fired(path)

    def write(self) -> None:
        """Write something, or change a permission."""
        paths = [f"/{self.random.choice('stu')}"]
        while self.random.random() < 0.6:
            paths.append(f"{paths[-1]}/{self.random.choice(NAMES)}")
        if self.permits and self.random.random() < 0.2:
            self.server.permit(paths[-1], is_readable=self.random.random() < 0.6)
        elif self.random.random() < 0.3:
            self.server.commit(*[(path, None) for path in reversed(paths)])
        else:
            content = bytes(self.random.choice((0, 1, 5, 90)))
            changed = paths if self.random.random() < 0.3 else paths[-1:]
            self.server.commit(*[(path, content) for path in changed])

    def between(self) -> None:
        """Write now and then."""
        while self.random.random() < self.pace:
            self.write()

    def read(self) -> TreesFound | None:
        """Read once; None if the znodes never rest."""
        self.touched.clear()
        self.began = self.server.zxid
        run = converse(self.reader.read(), self.server, self.between)
        try:
            while True:
                next(run)
        except StopIteration as end:
            found = end.value
        except RefusedError:
            return None
        assert isinstance(found, TreesFound)
        return found

    @property
    def states(self) -> list[State]:
        """All states that there were during the last read."""
        return self.server.states[self.began :]


def shown(found: TreesFound) -> object:
    """What a read shows, without what the answers of a server leave open."""
    trees = {
        root: {path: brief(what) for path, what in sorted(tree.znodes.items())}
        for root, tree in found.trees.items()
        if tree.excess is None
    }
    return {path: brief(what) for path, what in found.znodes.items()}, trees


def brief(what: object) -> object:
    """A content, or the kind of an error."""
    return what[0] if isinstance(what, tuple) else type(what)


def expected(state: State, roots: Iterable[str]) -> object:
    """What a read of this state has to show of these trees."""
    trees = {root: {path: of(state, path) for path in reached(state, root)} for root in roots}
    return {path: of(state, path) for path in SINGLE}, trees


def of(state: State, path: str) -> object:
    """What there is at a path."""
    node = state.get(path)
    if node is None:
        return NoNodeError
    return node.content if node.is_readable else NoAuthError


def reached(state: State, root: str) -> list[str]:
    """The paths of a tree, as far as they can be known, sorted."""
    paths = [root]
    for path in paths:
        if isinstance(of(state, path), bytes):
            paths += [p for p in state if p.rpartition("/")[0] == path]
    return sorted(paths)


def excesses(state: State) -> dict[str, TreeExcess]:
    """The trees that are too much."""
    too_much = {}
    counted = set(SINGLE)
    for root in ROOTS:
        together = counted | set(reached(state, root))
        if len(together) > LIMITS.znodes:
            too_much[root] = TreeExcess.ZNODES
        elif (
            sum(len(state[path].content) for path in together if path in state) > LIMITS.total_bytes
        ):
            too_much[root] = TreeExcess.BYTES
        else:
            counted = together
    return too_much


@pytest.mark.parametrize("block", range(BLOCKS))
def test_each_read_shows_one_state(block: int) -> None:
    """Whatever is written meanwhile, a read shows a state that there was while it was on its way.

    Each later change of what was read makes a watch fire.
    """
    reads = refused = 0
    for seed in range(block, SEEDS, BLOCKS):
        world = World(seed)
        for _ in range(6):
            found = world.read()
            if found is None:
                continue
            reads += 1
            refused += len(world.reader.refused)
            roots = [root for root in ROOTS if root not in world.reader.refused]
            possible = [expected(state, roots) for state in world.states]
            assert shown(found) in possible, f"seed {seed}"
            if len(world.states) == 1 and not world.permits:
                of_trees = {root: one.excess for root, one in found.trees.items() if one.excess}
                assert of_trees == excesses(world.states[0]), f"seed {seed}"
                assert not world.touched, f"seed {seed}: nothing was written"
            demand_watches(world, found, seed)
            world.write()
    assert reads > SEEDS / BLOCKS
    assert refused


def demand_watches(world: World, found: TreesFound, seed: int) -> None:
    """Each znode that was read, and may be read, has its watches, or they have fired."""
    for tree in found.trees.values():
        for path, what in tree.znodes.items():
            if isinstance(what, NoAuthError) or path in world.touched:
                continue
            places = {(CONTENT, path)}
            if isinstance(what, tuple):
                places.add((CHILDREN, path))
            assert places <= world.server.watches, f"seed {seed}: {path} is not watched"
    for path, what in found.znodes.items():
        is_watched = (CONTENT, path) in world.server.watches or path in world.touched
        assert is_watched or isinstance(what, NoAuthError), f"seed {seed}: {path}"
