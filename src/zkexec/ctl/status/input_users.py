"""The members that have a path as an input, and what becomes of their snapshots without it.

A snapshot is unusable without an input that is a znode, or without all of a tree.  A tree that
loses one of several files is changed like by a push.
"""

from collections.abc import Callable, Collection, Sequence

from zkexec.ctl.history.tree_content import contains, is_tree
from zkexec.ctl.status.group_status import GroupStatus
from zkexec.ctl.status.phrases import names
from zkexec.frozen import frozen

_CONSEQUENCE = "they keep their files, and a member that starts ends with status 125"


@frozen()
class InputUsers:
    """The members of one group that have a path, or a tree around it, as an input.

    `losing` are those whose snapshot becomes unusable without the path.
    """

    group: str
    members: tuple[str, ...]
    losing: tuple[str, ...]

    @property
    def text(self) -> str:
        """Write who they are, and what follows for them."""
        if self.losing:
            return (
                f"{self.group}: an input of {names(self.losing)}, whose snapshot becomes unusable: "
                f"{_CONSEQUENCE}"
            )
        return f"{self.group}: part of an input of {names(self.members)}, to whom it is a change"


def users_of(
    path: str, groups: Sequence[GroupStatus], is_left_without: Callable[[str, str], bool]
) -> list[InputUsers]:
    """Find the members that have the path as an input, by group.

    `is_left_without` is whether a tree has no content without the path.
    """
    inputs = {one for group in groups for one in group.inputs if concerns(one, path)}
    lost = {one for one in inputs if _is_lost(one, path) or is_left_without(one, path)}
    found = []
    for group in groups:
        members = _members(group, inputs)
        if members:
            found.append(InputUsers(group.name, members, _members(group, lost)))
    return found


def lost_inputs(
    tree: str, before: Collection[str], after: Collection[str], groups: Sequence[GroupStatus]
) -> list[str]:
    """Write which members lose inputs of their own if a tree has only the znodes `after`.

    `before` and `after` are paths.  The tree itself is no such input: to its members a push of it
    is a change.
    """
    inputs = {one for group in groups for one in group.inputs if contains(tree, one)} - {tree}
    lost = {one for one in inputs if _parts_of(one, before) and not _parts_of(one, after)}
    lines = []
    for group in groups:
        if members := _members(group, lost):
            paths = sorted(lost & group.inputs)
            lines.append(
                f"{group.name}: removes {names(paths)}, an input of {names(members)}, whose "
                f"snapshot becomes unusable: {_CONSEQUENCE}"
            )
    return lines


def _parts_of(one: str, paths: Collection[str]) -> list[str]:
    """Return the znodes that an input consists of."""
    return [path for path in paths if path == one or contains(one, path)]


def concerns(one: str, path: str) -> bool:
    """Return whether an input is a path, is in it, or contains it."""
    return one == path or contains(one, path) or contains(path, one)


def _is_lost(one: str, path: str) -> bool:
    """Return whether nothing is left of an input without a path."""
    return one == path or (is_tree(path) and contains(path, one))


def _members(group: GroupStatus, inputs: set[str]) -> tuple[str, ...]:
    return tuple(
        row.name
        for row in group.rows
        if row.znode.facts is not None and not inputs.isdisjoint(row.znode.facts.inputs)
    )
