"""What the inputs produce on one host, by the rules of the contract and without the core.

The checkers compare it with what zkexec installs and starts: all of it has to be what one state of
the ensemble produces.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from simulation.renderer_model import render
from zkexec.core.events import ZnodesRead
from zkexec.core.input_options import InputOptions, Mirror, VariableTree
from zkexec.core.rendering_result import Rendered, RenderFailed, ValueMissing
from zkexec.core.snapshot import Snapshot, Tree, Znode

OWN_CONTENT = "zknode.data"
LONGEST_NAME = 255
LONGEST_VARIABLE = 128 * 1024 - 1
KEPT = ("PATH", "ENV", "BASH_ENV", "NOTIFY_SOCKET")


@dataclass
class Products:
    """Files by path, variables by name, the paths that cannot be used, and a template's error."""

    files: dict[str, bytes] = field(default_factory=dict)
    variables: dict[str, bytes] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    error: str = ""
    doubts: set[str] = field(default_factory=set)
    """Empty znodes that may be those of installed files, which do not show their znodes."""

    @property
    def is_demanded(self) -> bool:
        """Whether zkexec has to apply it."""
        return self.is_usable and not self.doubts

    @property
    def is_usable(self) -> bool:
        """Whether it can be installed: everything is there, and every template renders."""
        return not self.unusable and not self.error

    def is_of(self, snapshot: Snapshot) -> bool:
        """Whether a snapshot has the same files and variables."""
        is_same = dict(snapshot.files) == self.files
        return is_same and dict(snapshot.variables) == self.variables

    def differs_from(self, other: Snapshot) -> list[str]:
        """Name the files and variables, these with a dollar, that are not the same."""
        files = {path for path in self.files.keys() | other.files.keys()
                 if self.files.get(path) != other.files.get(path)}  # fmt: skip
        names = {f"${name}" for name in self.variables.keys() | other.variables.keys()
                 if self.variables.get(name) != other.variables.get(name)}  # fmt: skip
        return sorted(files | names)


@dataclass(frozen=True)
class Terms:
    """What decides, beside the znodes, what the inputs of a member produce."""

    inputs: InputOptions
    allow_empty: bool
    host: str = ""


def produced(
    terms: Terms,
    znodes: Mapping[str, Znode],
    trees: Mapping[str, Tree],
    installed: Snapshot | None = None,
) -> Products:
    """Return what one state produces; `installed` is what is there from an earlier one.

    It may be partial if something is unusable: then it only shows what.
    """
    found = Products()
    for path in terms.inputs.znodes:
        znode = znodes[path]
        if znode.problem is not None:
            found.unusable[path] = znode.problem.value
        elif not znode.content and not terms.allow_empty:
            found.unusable[path] = "is empty"
    for mirror in terms.inputs.mirrors:
        if mirror.is_tree:
            _add_tree(found, terms, trees[mirror.zk_path.rstrip("/")], mirror, installed)
        else:
            found.files[mirror.local_path] = znodes[mirror.zk_path].content
    for option in terms.inputs.variable_trees:
        _add_variables(found, trees[option.root], option)
    for variable in terms.inputs.variables:
        _set(found, variable.name, variable.zk_path, znodes[variable.zk_path].content)
    _add_templates(found, terms, znodes, trees)
    return found


def produced_by_read(terms: Terms, read: ZnodesRead, installed: Snapshot | None = None) -> Products:
    """Return what the answer to a read produces."""
    return produced(terms, read.znodes, read.trees, installed)


def _add_tree(
    found: Products, terms: Terms, tree: Tree, mirror: Mirror, installed: Snapshot | None
) -> None:
    if tree.problem is not None:
        found.unusable[mirror.zk_path] = tree.problem.value
        return
    lasting = {path: znode for path, znode in tree.znodes.items() if not znode.is_ephemeral}
    files = {}
    for path, znode in lasting.items():
        here = f"{path}/" if path else ""
        has_children = not path or any(other.startswith(here) for other in lasting if other)
        if problem := _problem_of(path, znode, lasting):
            found.unusable[problem[0]] = problem[1]
        elif znode.content:
            files[here + OWN_CONTENT if has_children else path] = znode.content
        elif terms.allow_empty and not has_children:
            files[path] = b""
        elif not terms.allow_empty and installed is not None:
            targets = {mirror.local_path + path}
            if here + OWN_CONTENT not in lasting:
                targets.add(mirror.local_path + here + OWN_CONTENT)
            if targets & installed.files.keys():
                _judge_empty(found, znode, installed)
    found.files |= {mirror.local_path + path: content for path, content in files.items()}
    if not files and not terms.allow_empty:
        found.unusable[mirror.zk_path] = "has nothing below it"


def _problem_of(path: str, znode: Znode, lasting: Mapping[str, Znode]) -> tuple[str, str] | None:
    """Return the path of a znode that no file can be made of, and why."""
    if znode.problem is not None:
        return znode.path, znode.problem.value
    if len(path.rsplit("/", maxsplit=1)[-1].encode()) > LONGEST_NAME:
        return znode.path, "has a long name"
    own = f"{path}/{OWN_CONTENT}" if path else OWN_CONTENT
    if znode.content and own in lasting:
        return f"{znode.path}/{OWN_CONTENT}", "has a reserved name"
    return None


def _judge_empty(found: Products, znode: Znode, installed: Snapshot) -> None:
    """An empty znode whose file is there is unusable, unless it was created since."""
    if znode.czxid > installed.zxid:
        # It may still be the same one, of a snapshot of which no zxid is known.
        found.doubts.add(znode.path)
    else:
        found.unusable[znode.path] = "has become empty"


def _add_variables(found: Products, tree: Tree, option: VariableTree) -> None:
    if tree.problem is not None:
        found.unusable[option.root] = tree.problem.value
        return
    names: dict[str, str] = {}
    for path, znode in tree.znodes.items():
        if znode.problem is not None and not znode.is_ephemeral:
            found.unusable[znode.path] = znode.problem.value
        if not path or not znode.content or znode.is_ephemeral:
            continue
        spelled = (option.prefix + path).upper()
        name = "".join(c if c.isascii() and c.isalnum() else "_" for c in spelled)
        if name in names:
            found.unusable[znode.path] = f"is the same variable as {names[name]}"
        if name in KEPT or name.startswith(("LD_", "ZKEXEC_")):
            found.unusable[znode.path] = "is a variable that no tree may set"
        names[name] = path
        _set(found, name, znode.path, znode.content)


def _set(found: Products, name: str, path: str, content: bytes) -> None:
    value = content.rstrip(b"\r\n")
    if b"\0" in value:
        found.unusable[path] = "contains a NUL"
    elif len(name) + 1 + len(value) > LONGEST_VARIABLE:
        found.unusable[path] = "is longer than a variable can be"
    found.variables[name] = value


def _add_templates(
    found: Products, terms: Terms, znodes: Mapping[str, Znode], trees: Mapping[str, Tree]
) -> None:
    values = {}
    for root in terms.inputs.values:
        tree = trees[root]
        if tree.problem is not None:
            found.unusable[root] = tree.problem.value
        for znode in tree.znodes.values():
            if znode.problem is not None:
                found.unusable[znode.path] = znode.problem.value
        values[root] = {path: znode.content for path, znode in tree.znodes.items()}
    if not terms.inputs.templates or found.unusable:
        return
    match render(texts_of(terms.inputs, znodes), values, terms.host):
        case Rendered(files):
            found.files |= files
        case RenderFailed(reason):
            found.error = reason
        case ValueMissing(path):
            found.unusable[path] = "does not exist"


def texts_of(inputs: InputOptions, znodes: Mapping[str, Znode]) -> list[tuple[str, str, bytes]]:
    """Return the target, the name and the text of each template, as a renderer gets them."""
    return [
        (each.local_path, each.name, znodes[each.zk_path].content if each.zk_path else each.text)
        for each in inputs.templates
    ]


def key_of(
    inputs: InputOptions, znodes: Mapping[str, Znode], trees: Mapping[str, Tree]
) -> frozenset[tuple[str, bytes]]:
    """Return the paths and contents of all inputs: what makes a version."""
    found = {(path, znodes[path].content) for path in inputs.znodes}
    for root in inputs.trees:
        found |= {
            (znode.path, znode.content)
            for znode in trees[root].znodes.values()
            if root in inputs.values or not znode.is_ephemeral
        }
    return frozenset(found)
