"""The inputs as options name them: files, trees, templates and variables.

A tree is named by a path with a slash at its end, which is also how people see it.  Its *root* is
this path without the slash.
"""

from __future__ import annotations

from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


@frozen()
class Mirror:
    """One `--mirror`: the target (absolute) and the znode whose content it gets.

    If both end with a slash, the target is the folder of a tree.
    """

    local_path: str
    zk_path: str

    @property
    def is_tree(self) -> bool:
        """Whether this is a tree and its folder."""
        return self.zk_path.endswith("/")


@frozen(hidden=("text",))
class Template:
    """One `--template`: the target, and the znode of the text, or the text of a local file.

    `file` is the name of the local file, for people; `zk_path` is "" then.
    """

    local_path: str
    zk_path: str = ""
    file: str = ""
    text: bytes = b""

    @property
    def name(self) -> str:
        """How messages name it."""
        return self.zk_path or self.file


@frozen()
class Variable:
    """One `--env`: the name of a variable, and the znode that contains its value."""

    name: str
    zk_path: str


@frozen()
class VariableTree:
    """One `--env-tree`: the root of a tree of variables, and what their names begin with."""

    root: str
    prefix: str = ""


@frozen(kw_only=True)
class InputOptions:
    """All inputs of a member.  `values` are the roots of the trees that templates may read."""

    mirrors: tuple[Mirror, ...] = ()
    templates: tuple[Template, ...] = ()
    values: tuple[str, ...] = ()
    variables: tuple[Variable, ...] = ()
    variable_trees: tuple[VariableTree, ...] = ()

    @property
    def znodes(self) -> tuple[str, ...]:
        """The paths of the single znodes, each once."""
        files = (mirror.zk_path for mirror in self.mirrors if not mirror.is_tree)
        texts = (template.zk_path for template in self.templates if template.zk_path)
        values = (variable.zk_path for variable in self.variables)
        return _unique((*files, *texts, *values))

    @property
    def mirrored_trees(self) -> tuple[Mirror, ...]:
        """The mirrors that are trees."""
        return tuple(mirror for mirror in self.mirrors if mirror.is_tree)

    @property
    def targets(self) -> tuple[str, ...]:
        """The local paths of all targets: that of a tree ends with a slash."""
        mirrored = (mirror.local_path for mirror in self.mirrors)
        return (*mirrored, *(template.local_path for template in self.templates))

    @property
    def trees(self) -> tuple[str, ...]:
        """The roots of all trees, each once."""
        mirrored = (root_of(mirror.zk_path) for mirror in self.mirrored_trees)
        return _unique((*mirrored, *self.values, *(tree.root for tree in self.variable_trees)))

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of all inputs as people see them: that of a tree ends with a slash."""
        return (*self.znodes, *(f"{root}/" for root in self.trees))

    @property
    def file_options(self) -> tuple[str, ...]:
        """The names of the options that give targets, for messages."""
        given = (("--mirror", self.mirrors), ("--template", self.templates))
        return tuple(name for name, found in given if found)

    @property
    def options(self) -> tuple[str, ...]:
        """The names of the options that give inputs, for messages."""
        given = (
            ("--values", self.values),
            ("--env", self.variables),
            ("--env-tree", self.variable_trees),
        )
        return (*self.file_options, *(name for name, found in given if found))

    @property
    def identity(self) -> tuple[object, ...]:
        """The names of all inputs and targets: first the mirrors, then each other kind in use.

        Member IDs are made of it.  So if there are only mirrors, nothing may come after them.
        """
        mirrors = [(mirror.local_path, mirror.zk_path) for mirror in self.mirrors]
        kinds = {
            "templates": [(each.local_path, each.zk_path, each.file) for each in self.templates],
            "values": self.values,
            "variables": [(each.name, each.zk_path) for each in self.variables],
            "variable trees": [(each.root, each.prefix) for each in self.variable_trees],
        }
        return (mirrors, *((kind, each) for kind, each in kinds.items() if each))

    @property
    def needs_state(self) -> bool:
        """Whether the files alone do not show what was installed, so that a state file is kept."""
        return bool(self.trees or self.templates or self.variables)


def root_of(zk_path: str) -> str:
    """Return the root of a tree that is named by this path."""
    return zk_path.removesuffix("/")


def _unique(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(paths))
