"""The trees among the znodes of the servers: what they are, and what changes them."""

from collections.abc import Callable
from dataclasses import replace

from simulation.forest import Forest
from simulation.servers.ensemble import Ensemble
from simulation.servers.znodes import Change, Node
from zkexec.core.snapshot import Problem, Znode


def forest_on(servers: Ensemble, roots: tuple[str, ...]) -> Forest:
    """Return the trees as the leader knows them."""
    tree, znodes, pzxids = servers.tree, dict[str, Znode](), dict[str, int]()
    for path, node in tree.nodes.items():
        if any(path == r or path.startswith(f"{r}/") for r in roots):
            problem = None if node.is_readable else Problem.FORBIDDEN
            znodes[path] = Znode(
                path, node.content, node.mzxid, problem, node.version,
                is_ephemeral=bool(node.owner), czxid=node.czxid,
            )  # fmt: skip
            pzxids[path] = tree.pzxid(path)
    return Forest(roots, znodes, pzxids)


def changes_of(
    before: Forest, after: Forest, servers: Ensemble, owner: Callable[[], int]
) -> list[Change]:
    """Return the changes of one transaction that lead from one state of the trees to another."""
    zxid, found = servers.next_zxid, list[Change]()
    for path in sorted(before.znodes, key=lambda path: (-path.count("/"), path)):
        kept = after.znodes.get(path)
        if kept is None or kept.czxid == zxid:
            found.append((path, None))
    for path, znode in sorted(after.znodes.items()):
        known = before.znodes.get(path)
        if znode.czxid == zxid:
            time_ms = round(servers.wall_clock * 1000)
            session = owner() if znode.is_ephemeral else 0
            node = Node(znode.content, zxid, znode.version, session, zxid, time_ms)
            found.append((path, node))
        elif znode.mzxid == zxid:
            found.append(servers.written(path, znode.content, owner() if znode.is_ephemeral else 0))
        elif znode.problem is Problem.FORBIDDEN and known is not None and known.problem is None:
            found.append((path, forbidden(servers.tree.nodes.get(path))))
    return found


def forbidden(before: Node | None) -> Node:
    """Make a znode of the same content that may not be read; that alone is no event."""
    assert before is not None, "a znode that does not exist cannot be read anyhow"
    return replace(before, aversion=before.aversion + 1, is_readable=False)


def nodes_of(forest: Forest) -> dict[str, Node]:
    """Return what a restored ensemble has of these trees: no sessions, and nothing forbidden."""
    found: dict[str, Node] = {}
    for path, znode in sorted(forest.znodes.items()):
        above = path.rpartition("/")[0]
        is_kept = path in forest.roots or above in found
        if is_kept and znode.problem is None and not znode.is_ephemeral:
            found[path] = Node(znode.content, znode.mzxid, max(0, znode.version), czxid=znode.mzxid)
    return found
