"""Trees and readings made from contents, for the tests of what inputs produce."""

from collections.abc import Mapping

from zkexec.core.production import Reading
from zkexec.core.snapshot import Problem, Tree, Znode
from zkexec.frozen import replace


def tree_of(
    root: str,
    contents: Mapping[str, bytes],
    *,
    ephemeral: tuple[str, ...] = (),
    problems: Mapping[str, Problem] = {},
    created: Mapping[str, int] = {},
    zxid: int = 1,
) -> Tree:
    """Make a tree from contents by path below the root; what is above each of them is empty.

    `created` are the czxids of some of them, and `zxid` is the mzxid of all.
    """
    znodes = {"": Znode(root)}
    for path in (*contents, *ephemeral, *problems):
        names = path.split("/")
        above = ["/".join(names[:depth]) for depth in range(1, len(names) + 1)]
        znodes.update({each: Znode(f"{root}/{each}") for each in above if each not in znodes})
    for path, znode in znodes.items():
        znodes[path] = replace(
            znode,
            content=contents.get(path, b""),
            mzxid=zxid,
            problem=problems.get(path),
            version=0,
            is_ephemeral=path in ephemeral,
            czxid=created.get(path, 0),
        )
    return Tree(znodes, zxid)


def written_before(tree: Tree, mzxid: int) -> Tree:
    """Return the tree with znodes that were all written before something was removed from it."""
    return replace(
        tree, znodes={path: replace(one, mzxid=mzxid) for path, one in tree.znodes.items()}
    )


def reading_of(contents: Mapping[str, bytes], trees: Mapping[str, Tree] = {}) -> Reading:
    """Make a reading of single znodes, by content, and of trees."""
    znodes = {path: Znode(path, content, 1, version=0) for path, content in contents.items()}
    return Reading(znodes, trees)
