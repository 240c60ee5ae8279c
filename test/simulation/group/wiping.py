"""Ensembles that begin another history: wiped, restored, or filled from a copy of older znodes.

All sessions are gone with it, and all servers are at the same point.  Transactions are numbered
from below again, so a client that has seen more of them is refused until zkexec takes a new one.
"""

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from simulation.group.contents import Mood, make_content
from simulation.group.group_znodes import RESTART
from simulation.servers.znodes import Node, Transaction

if TYPE_CHECKING:
    from simulation.group.world import World

MOST = 2
"""Each costs those who were connected a minute."""
KEPT_DUMPS = 4


@dataclass(frozen=True, slots=True)
class Dump:
    """The lasting znodes at one moment, and the log that led to them."""

    nodes: dict[str, Node]
    log: tuple[Transaction, ...]
    made_in_order: int
    state: dict[str, bytes]


class Wiping:
    """The histories of one run."""

    def __init__(self, world: "World", random: Random) -> None:
        """Begin with the first."""
        self._world = world
        self._random = random
        self._dumps: list[Dump] = []
        self._begun = 0
        self.is_wanted = random.random() < 0.3
        """Whether this run sees more than one history."""

    def take_dump(self) -> None:
        """Keep what there is now, now and then."""
        if not self.is_wanted or self._random.random() < 0.8:
            return
        ensemble = self._world.ensemble
        nodes = {path: node for path, node in ensemble.tree.nodes.items() if not node.owner}
        log, made = tuple(ensemble.log), ensemble.tree.made_in_order
        self._dumps = [*self._dumps, Dump(nodes, log, made, self._world.history[-1])][-KEPT_DUMPS:]

    def begin_anew(self) -> None:
        """Begin another history."""
        if not self.is_wanted or self._begun >= MOST or self._world.chaos.calm:
            return
        self._begun += 1
        kinds = [self._wipe, self._restore, self._copy]
        self._random.choice(kinds if self._dumps else kinds[:1])()

    def _wipe(self) -> None:
        world, random = self._world, self._random
        paths = world.paths
        nothing = dict.fromkeys((*world.paths, RESTART), b"")
        before = random.choice(world.history[-4:])
        self._begin("is wiped", Dump({}, (), 0, nothing))
        refill_after_s = random.choice((0.0, 0.0, 30.0, 100.0)) * random.random()
        match random.randrange(3):
            case 0:
                old = {path: before[path] for path in paths}
                world.clock.after(refill_after_s, lambda: self._refill(old))
            case 1:
                new = {path: make_content(world.pushes, Mood.GOOD) for path in paths}
                world.clock.after(refill_after_s, lambda: self._refill(new))

    def _refill(self, contents: dict[str, bytes]) -> None:
        if self._world.chaos.calm:
            return
        inputs = self._world.inputs
        if not inputs.is_used:
            self._world.push(contents)
        elif self._random.random() < 0.5:
            inputs.restore(self._random.randrange(len(inputs.trees)))
        else:
            inputs.push_good()

    def _restore(self) -> None:
        self._begin("is restored from a snapshot", self._random.choice(self._dumps))

    def _copy(self) -> None:
        """Fill a new ensemble with older znodes: each is written anew, what is in them is not."""
        dump = self._random.choice(self._dumps)
        nodes = {
            path: Node(node.content, zxid, czxid=zxid)
            for zxid, (path, node) in enumerate(sorted(dump.nodes.items()), start=1)
        }
        log = tuple(Transaction(node.mzxid, 0, [(path, node)]) for path, node in nodes.items())
        self._begin("is filled from a copy", Dump(nodes, log, 0, dump.state))

    def _begin(self, how: str, dump: Dump) -> None:
        world = self._world
        world.log(f"the ensemble {how}")
        world.ensemble.begin_anew(dump.nodes, dump.log, dump.made_in_order)
        world.remember(dump.state)
        world.inputs.trees[-1] = world.inputs.forest.trees
        world.begin_history()
