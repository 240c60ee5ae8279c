"""What one consistent read of all inputs produces on this host, or why it cannot be used."""

from __future__ import annotations

from zkexec.core.input_options import InputOptions, root_of
from zkexec.core.snapshot import (
    MOST_BYTES,
    MOST_VARIABLES_BYTES,
    MOST_ZNODES,
    Problem,
    Snapshot,
    Tree,
    Znode,
)
from zkexec.digest import digest_of_parts
from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from zkexec.core.rendering_result import RenderResult


@frozen(hidden=("znodes", "trees"))
class Reading:
    """All inputs as they were at one moment: single znodes by path, and trees by root."""

    znodes: Mapping[str, Znode]
    trees: Mapping[str, Tree]

    def zxid_of(self, inputs: InputOptions) -> int:
        """Return the newest zxid of all inputs, with what was removed from trees."""
        single = (self.znodes[path].mzxid for path in inputs.znodes)
        return max((*single, *(tree.zxid for tree in self.trees.values())), default=0)

    def written_by(self, inputs: InputOptions) -> int:
        """Return the newest mzxid of what counts: without removals, and what is ephemeral."""
        single = (self.znodes[path].mzxid for path in inputs.znodes)
        below = (
            znode.mzxid
            for root, tree in self.trees.items()
            for znode in tree.znodes.values()
            if root in inputs.values or not znode.is_ephemeral
        )
        return max((*single, *below), default=0)

    def changed_at(self, inputs: InputOptions) -> float:
        """Return the newest time of a write, in seconds of the epoch."""
        single = [self.znodes[path].mtime for path in inputs.znodes]
        below = (znode.mtime for tree in self.trees.values() for znode in tree.znodes.values())
        return max((*single, *below), default=0.0)

    @property
    def versions(self) -> dict[str, int]:
        """The versions of the znodes that exist and that options name; of a tree, its root's."""
        roots = {root: tree.znodes.get("") for root, tree in self.trees.items()}
        named = {**self.znodes, **{root: znode for root, znode in roots.items() if znode}}
        return {path: znode.version for path, znode in named.items() if znode.version >= 0}

    @property
    def is_forbidden(self) -> bool:
        """Whether something may not be read, which no watch will report to be over."""
        below = (znode for tree in self.trees.values() for znode in tree.znodes.values())
        problems = [tree.problem for tree in self.trees.values()]
        problems += [znode.problem for znode in (*self.znodes.values(), *below)]
        return Problem.FORBIDDEN in problems


class Production:
    """The files and variables that a reading produces, and the problems by path."""

    def __init__(
        self,
        inputs: InputOptions,
        reading: Reading,
        *,
        allow_empty: bool,
        installed: Snapshot,
        most_variables_bytes: int = MOST_VARIABLES_BYTES,
    ) -> None:
        """Apply the rules for each kind of input, but for templates, see `add_rendered`.

        `installed` is what is there from an earlier version.  A command can get variables of at
        most `most_variables_bytes` in all.
        """
        self._most_variables_bytes = most_variables_bytes
        self._inputs = inputs
        self._reading = reading
        self._allow_empty = allow_empty
        self._installed = installed
        self.files: dict[str, bytes] = {}
        self.variables: dict[str, bytes] = {}
        self.problems: dict[str, Problem] = {}
        self.unrendered = ""
        self._check_znodes()
        if inputs.trees:
            self._add_trees()
        if inputs.variables:
            self._add_variables()
        if not self.problems:
            self._add_mirrors()
            self._check_limits()

    def _check_znodes(self) -> None:
        for path in self._inputs.znodes:
            znode = self._reading.znodes[path]
            if znode.problem is not None:
                self.problems[path] = znode.problem
            elif not znode.content and not self._allow_empty:
                self.problems[path] = Problem.EMPTY

    def _add_trees(self) -> None:
        from zkexec.core.tree_files import InstalledFiles, TreeFiles  # noqa: PLC0415 -- seldom used
        from zkexec.core.tree_variables import variables_of  # noqa: PLC0415

        installed = InstalledFiles(self._installed.files, self._installed.zxid)
        for mirror in self._inputs.mirrored_trees:
            root = root_of(mirror.zk_path)
            found = TreeFiles(
                self._reading.trees[root],
                root,
                mirror.local_path,
                allow_empty=self._allow_empty,
                installed=installed,
            )
            self.files.update(found.files)
            self.problems.update(found.problems)
        for option in self._inputs.variable_trees:
            variables, problems = variables_of(self._reading.trees[option.root], option)
            self.variables.update(variables)
            self.problems.update(problems)
        for root in self._inputs.values:
            self.problems.update(_unreadable(root, self._reading.trees[root]))

    def _add_variables(self) -> None:
        from zkexec.core.tree_variables import problem_of_value, value_of  # noqa: PLC0415

        for option in self._inputs.variables:
            znode = self._reading.znodes[option.zk_path]
            if znode.path in self.problems:
                continue
            value = value_of(znode.content)
            problem = problem_of_value(option.name, value)
            if problem is None:
                self.variables[option.name] = value
            else:
                self.problems[znode.path] = problem

    def _add_mirrors(self) -> None:
        for mirror in self._inputs.mirrors:
            if not mirror.is_tree:
                self.files[mirror.local_path] = self._reading.znodes[mirror.zk_path].content

    def _check_limits(self) -> None:
        sizes = [len(content) for _, content in self._contents()]
        if len(sizes) > MOST_ZNODES:
            self.problems[self._inputs.paths[-1]] = Problem.TOO_MANY
        elif sum(sizes) > MOST_BYTES:
            self.problems[self._inputs.paths[-1]] = Problem.TOO_LARGE
        elif self.variables:
            from zkexec.core.tree_variables import size_of_all  # noqa: PLC0415

            if size_of_all(self.variables) > self._most_variables_bytes:
                single = [variable.zk_path for variable in self._inputs.variables]
                trees = [tree.root for tree in self._inputs.variable_trees]
                self.problems[(*single, *trees)[-1]] = Problem.MANY_VARIABLES

    def add_rendered(self, result: RenderResult) -> None:
        """Add the rendered templates, or why there are none."""
        from zkexec.core.rendering_result import (  # noqa: PLC0415 -- most have no templates
            Rendered,
            RenderFailed,
            ValueMissing,
        )

        match result:
            case Rendered(files):
                self.files.update(files)
            case ValueMissing(path):
                self.problems[path] = Problem.NO_VALUE
            case RenderFailed(reason):
                self.unrendered = reason
                for template in self._inputs.templates:
                    target = template.local_path
                    if target in self._installed.files:
                        self.files[target] = self._installed.files[target]

    def snapshot(
        self, restart: str, restart_znode: Znode | None, known: Mapping[str, bytes]
    ) -> Snapshot:
        """Return the snapshot; `restart_znode` is what requested the restart, None for nothing.

        What has not changed since the `known` files stays the same object: it is in memory once.
        """
        inputs, reading = self._inputs, self._reading
        zxid, changed_at = reading.zxid_of(inputs), reading.changed_at(inputs)
        written = reading.written_by(inputs) if reading.trees else -1
        if restart_znode is not None:
            zxid = max(zxid, restart_znode.mzxid)
            written = max(written, restart_znode.mzxid) if reading.trees else -1
            changed_at = max(changed_at, restart_znode.mtime)
        return Snapshot(
            {
                path: known[path] if known.get(path) == content else content
                for path, content in self.files.items()
            },
            zxid=zxid,
            znode_versions=reading.versions,
            restart=restart,
            changed_at=changed_at,
            variables=self.variables,
            digest=self._digest() if inputs.needs_state else "",
            unrendered=self.unrendered,
            written=written,
        )

    def _digest(self) -> str:
        """Return the digest of the paths and bytes of all inputs, and of the local templates."""
        texts = ((b"", template.text) for template in self._inputs.templates if template.file)
        contents = ((path.encode(), content) for path, content in self._contents())
        return digest_of_parts({*texts, *contents})

    def _contents(self) -> Iterator[tuple[str, bytes]]:
        """Give the path and the content of each znode of the inputs, of each once."""
        inputs, seen = self._inputs, set(self._inputs.znodes)
        yield from ((path, self._reading.znodes[path].content) for path in inputs.znodes)
        for root in inputs.trees:
            counts_all = root in inputs.values
            for znode in self._reading.trees[root].znodes.values():
                if znode.path not in seen and (counts_all or not znode.is_ephemeral):
                    seen.add(znode.path)
                    yield znode.path, znode.content


def values_of(inputs: InputOptions, reading: Reading) -> dict[str, dict[str, bytes]]:
    """Return what templates may read: of each tree of `--values`, the contents by path below it."""
    return {
        root: {path: znode.content for path, znode in reading.trees[root].znodes.items()}
        for root in inputs.values
    }


def texts_of(inputs: InputOptions, reading: Reading) -> list[tuple[str, str, bytes]]:
    """Return the target, the name and the text of each template."""
    return [
        (
            template.local_path,
            template.name,
            reading.znodes[template.zk_path].content if template.zk_path else template.text,
        )
        for template in inputs.templates
    ]


def _unreadable(root: str, tree: Tree) -> Iterable[tuple[str, Problem]]:
    if tree.problem is not None:
        return [(root, tree.problem)]
    znodes = tree.znodes.values()
    return [(znode.path, znode.problem) for znode in znodes if znode.problem is not None]
