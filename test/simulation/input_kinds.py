"""Inputs beside plain mirrors, drawn for a world, and what is written to them.

A world of this kind has trees as folders, templates that read trees, variables, or some of each.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from random import Random

from simulation.forest import Ephemeral, Forest
from simulation.products import OWN_CONTENT
from zkexec.core.input_options import InputOptions, Mirror, Template, Variable, VariableTree
from zkexec.core.policy import Policy
from zkexec.core.snapshot import Problem, Znode
from zkexec.frozen import replace

SHARE_WITH_TREES = 0.45
"""In this share of the seeds that may have them there are inputs beside plain mirrors."""

NAMES = ("a", "b", "sub", "sub/a", "sub/b", "sub/zknode.data", "deep/er/a", "zknode.data")
VALUES = ("a", "b", "hosts/one", "hosts/two")
SETTINGS = ("one", "two", "two.a", "sub/one")
LOCAL_TEXT = b"maybe:/v0/a list:/v0/hosts"
Written = bytes | Problem


def draw_inputs(random: Random, policy: Policy) -> Policy:
    """Return the policy with inputs of other kinds beside its plain mirrors."""
    inputs = policy.inputs
    folders = random.choice((0, 1, 1, 2))
    mirrors = tuple(Mirror(f"/d{n}/", f"/t{n}/") for n in range(folders))
    templates: tuple[Template, ...] = ()
    values: tuple[str, ...] = ()
    if random.random() < 0.5:
        values = random.choice((("/v0",), ("/v0", "/v1"), ("/t0",) if folders else ("/v0",)))
        znode = Template("/r0", zk_path="/tpl")
        local = Template("/r1", file="/local", text=LOCAL_TEXT)
        templates = random.choice(((znode,), (znode,), (local,), (znode, local)))
    variables: tuple[Variable, ...] = ()
    variable_trees: tuple[VariableTree, ...] = ()
    if random.random() < 0.4:
        variables = (Variable("ONE", "/e0"), Variable("TWO", "/e1"))[: random.choice((1, 1, 2))]
    if random.random() < 0.3 or not (folders or templates or variables):
        variable_trees = (VariableTree("/et", random.choice(("", "app_"))),)
        if random.random() < 0.2:
            variable_trees += (VariableTree("/eu"),)
    drawn = InputOptions(
        mirrors=(*inputs.mirrors, *mirrors), templates=templates, values=values,
        variables=variables, variable_trees=variable_trees,
    )  # fmt: skip
    return replace(policy, inputs=drawn)


class InputWriter:
    """Draws what is written to the inputs of a world; `make` returns a new content."""

    def __init__(self, random: Random, inputs: InputOptions, make: Callable[[], bytes]) -> None:
        """Begin without having written anything."""
        self._random = random
        self._inputs = inputs
        self._make = make

    def fill(self) -> dict[str, Written]:
        """Return contents that make a usable snapshot of everything."""
        found: dict[str, Written] = {path: self._make() for path in self._inputs.znodes}
        for root in self._inputs.trees:
            names = self._names(root)
            chosen = self._random.sample(names, min(len(names), self._random.randint(1, 3)))
            if root in self._mirrored:
                # A znode with content has no child of this name, or the tree is unusable.
                chosen = [name for name in chosen if not name.endswith("zknode.data")] or ["a"]
            found[root] = b""
            found |= {f"{root}/{name}": self._make() for name in chosen}
        return found | self._texts(is_good=True)

    def mend(self, forest: Forest, installed: Collection[str] = ()) -> dict[str, Written]:
        """Return what makes everything usable and good, whatever is there.

        `installed` are the files of a version before: what had content there gets some.
        """
        found = self.fill()
        for mirror in self._inputs.mirrored_trees:
            root = mirror.zk_path[:-1]
            below = [path for path in found if path.startswith(f"{root}/")]
            for path in {root, *(path.rpartition("/")[0] for path in below)}:
                folder = f"{path}/".removeprefix(mirror.zk_path)
                if f"{mirror.local_path}{folder}{OWN_CONTENT}" in installed:
                    found[path] = self._make()
        gone = {
            path: Problem.MISSING
            for root in forest.roots
            for path in forest.below(root)
            if path not in found
        }
        return {**gone, **dict(sorted(found.items()))}

    def change(self, forest: Forest) -> dict[str, Written]:
        """Return changes of trees and of single znodes of other kinds, perhaps none."""
        random, found = self._random, dict[str, Written]()
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            kinds = ["tree"] * 3 * bool(forest.roots)
            kinds += ["text"] * any(template.zk_path for template in self._inputs.templates)
            kinds += ["value"] * bool(self._inputs.variables)
            match random.choice(kinds) if kinds else "":
                case "tree":
                    found |= self._change_of_tree(forest, random.choice(forest.roots))
                case "text":
                    found |= self._texts(is_good=random.random() < 0.7)
                case "value":
                    path = random.choice(self._inputs.variables).zk_path
                    found[path] = random.choice((self._make(), self._odd_value()))
        return found

    @property
    def _mirrored(self) -> Sequence[str]:
        return [mirror.zk_path[:-1] for mirror in self._inputs.mirrored_trees]

    def _names(self, root: str) -> Sequence[str]:
        if root in self._mirrored:
            return NAMES
        return VALUES if root in self._inputs.values else SETTINGS

    def _change_of_tree(self, forest: Forest, root: str) -> Mapping[str, Written]:
        random = self._random
        below = [path for path in forest.below(root) if path != root]
        new = f"{root}/{random.choice(self._names(root))}"
        path = random.choice(below) if below else new
        match random.choices(range(10), (8, 8, 5, 2, 2, 1, 1, 1, 2, 3))[0]:
            case 0:
                return {new: self._make()}
            case 1:
                return {path: self._make()}
            case 2:
                return {path: Problem.MISSING}
            case 3:
                return {path: b""}
            case 4:
                return {f"{root}/ephemeral": random.choice((Ephemeral(b"x"), Problem.MISSING))}
            case 5:
                return {root: random.choice((Problem.MISSING, b"", self._make()))}
            case 6:
                return {root: Problem.MISSING, f"{root}/{self._names(root)[0]}": self._make()}
            case 7:
                return {new: b""} if new not in forest.znodes else {new: self._make()}
            case 8:
                return {random.choice((path, root)): Problem.FORBIDDEN}
            case _:
                return {path: self._odd_value()}

    def _odd_value(self) -> bytes:
        """Return a value that may be no variable, or another one than it seems."""
        make = self._make()
        return self._random.choice((make + b"\n", make + b"\r\n\n", b"\n", b"nul\0", b"good"))

    def _texts(self, *, is_good: bool) -> dict[str, Written]:
        """Return a new text for each template that is in a znode."""
        random, values = self._random, self._inputs.values
        paths = [template.zk_path for template in self._inputs.templates if template.zk_path]
        words = ["text", f"t{random.randrange(3)}"]
        for root in values:
            words += random.sample(
                (f"maybe:{root}/a", f"maybe:{root}/b", f"list:{root}", f"list:{root}/hosts"), 2
            )
        if random.random() < 0.4:
            words.append("host")
        if not is_good:
            words += random.choice((["broken"], [f"zk:{values[0]}/a"], [f"zk:{values[0]}/b"]))
        return {path: " ".join(words).encode() for path in paths}


def restoring(state: Mapping[str, Znode], then: Forest, now: Forest) -> dict[str, Written]:
    """Return what brings an earlier state back."""
    gone = {path: Problem.MISSING for path in now.znodes if path not in then.znodes}
    found: dict[str, Written] = {
        path: znode.problem or znode.content for path, znode in state.items()
    }
    for path, znode in sorted(then.znodes.items()):
        content = Ephemeral(znode.content) if znode.is_ephemeral else znode.content
        found[path] = znode.problem or content
    return {**gone, **found}
