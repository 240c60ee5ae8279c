"""Trees that are read by a dialogue, played without a server."""

from collections.abc import Sequence
from typing import Any

import pytest

from support.dialogue_player import at, play
from zkexec.core.snapshot import MOST_BYTES
from zkexec.ctl.history.history_paths import HistoryPaths
from zkexec.ctl.history.history_store import read_tree
from zkexec.ctl.history.tree_state import TreeState
from zkexec.frozen import replace
from zkexec.zookeeper.errors import NoAuthError, NoNodeError, RefusedError
from zkexec.zookeeper.requests import Children, Dialogue, Exists, Get, GetAcl
from zkexec.zookeeper.values import OPEN_ACL, Stat

PATHS = HistoryPaths.below("/chroot")
ROOT = "/chroot/conf"


def reading() -> Dialogue:
    """The dialogue that reads a tree."""
    return read_tree(PATHS, "/conf/")()


def lists(path: str, names: Sequence[str], stat: Stat) -> tuple[list[Any], list[Any]]:
    """The turn that lists one znode."""
    return [Children(path)], [(names, stat)]


def reads(*found: tuple[str, bytes, Stat]) -> tuple[list[Any], list[Any]]:
    """The turn that reads znodes and their ACLs."""
    paths = [path for path, _, _ in found]
    outcomes: list[Any] = [(content, stat) for _, content, stat in found]
    acls = [(OPEN_ACL, stat) for _, _, stat in found]
    return [*map(Get, paths), *map(GetAcl, paths)], [*outcomes, *acls]


def test_listed_and_then_read() -> None:
    """The names are listed level by level, and then all contents are read at once."""
    root, leaf = at(5, pzxid=6), at(6)

    state: TreeState = play(
        reading(),
        lists(ROOT, ["a"], root),
        lists(f"{ROOT}/a", [], leaf),
        reads((ROOT, b"", root), (f"{ROOT}/a", b"1", leaf)),
    )

    assert state.contents == {"a": b"1"}
    assert state.root.stat == root


CHANGES = {
    "written": {"mzxid": 9},
    "another child": {"pzxid": 9},
    "created again": {"czxid": 9},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_changed_between_the_two(change: dict[str, int]) -> None:
    """A znode that has changed since it was listed makes all be read again."""
    before = at(5)
    after = replace(before, **change)

    state: TreeState = play(
        reading(),
        lists(ROOT, [], before),
        reads((ROOT, b"new", after)),
        lists(ROOT, [], after),
        reads((ROOT, b"new", after)),
    )

    assert state.contents == {"": b"new"}


def test_deleted_while_it_is_listed() -> None:
    """A znode that is deleted between the listing of its parent and its own makes a new read."""
    root = at(5)

    state: TreeState = play(
        reading(),
        lists(ROOT, ["a"], root),
        ([Children(f"{ROOT}/a")], [NoNodeError()]),
        lists(ROOT, [], root),
        reads((ROOT, b"1", root)),
    )

    assert state.contents == {"": b"1"}


def test_deleted_before_it_is_read() -> None:
    """A tree that is deleted before it is read does not exist."""
    state: TreeState = play(
        reading(),
        lists(ROOT, [], at(5)),
        ([Get(ROOT), GetAcl(ROOT)], [NoNodeError(), NoNodeError()]),
        ([Children(ROOT)], [NoNodeError()]),
        ([Exists(ROOT)], [None]),
    )

    assert state.znodes == {}


def test_created_meanwhile() -> None:
    """A tree that is created while it is found to be missing is read."""
    root = at(5)

    state: TreeState = play(
        reading(),
        ([Children(ROOT)], [NoNodeError()]),
        ([Exists(ROOT)], [root]),
        lists(ROOT, [], root),
        reads((ROOT, b"1", root)),
    )

    assert state.contents == {"": b"1"}


def test_ephemeral_znodes_are_skipped() -> None:
    """An ephemeral znode is known by its name, and is not read."""
    root = at(5)

    state: TreeState = play(
        reading(),
        lists(ROOT, ["a"], root),
        lists(f"{ROOT}/a", [], at(6, ephemeral_owner=7)),
        reads((ROOT, b"1", root)),
    )

    assert state.contents == {"": b"1"}
    assert state.ephemerals == {"a"}


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "a\0b", "\x1b[2J", "a\n"])
def test_impossible_names(name: str) -> None:
    """A name that no znode can have is an error, and no request is made with it."""
    with pytest.raises(RefusedError, match=r"^/conf/: the server has listed an impossible name$"):
        play(reading(), lists(ROOT, [name], at(5)))


@pytest.mark.parametrize(
    ("names", "stat", "reason"),
    [
        ([str(number) for number in range(10_001)], at(5), "more than 5000 znodes are too many"),
        ([], at(5, data_length=MOST_BYTES + 1), f"more than {MOST_BYTES} bytes are too many"),
        (["x" * (MOST_BYTES + 1)], at(5), f"more than {MOST_BYTES} bytes are too many"),
    ],
    ids=["znodes", "bytes", "names"],
)
def test_too_large(names: list[str], stat: Stat, reason: str) -> None:
    """A tree that is too large is refused before its contents are read."""
    with pytest.raises(RefusedError, match=f"^/conf/: {reason}$"):
        play(reading(), lists(ROOT, names, stat))


def test_a_chain_without_end() -> None:
    """A tree that goes deeper and deeper comes to an end as well."""
    levels = (lists(ROOT + "/x" * depth, ["x"], at(5)) for depth in range(6_000))

    with pytest.raises(RefusedError, match="more than 5000 znodes are too many"):
        play(reading(), *levels)


def test_no_permission() -> None:
    """A znode that may not be read is named."""
    root = at(5)

    with pytest.raises(RefusedError, match=r"^/conf/a: no permission to list it \(r\)$"):
        play(
            reading(),
            lists(ROOT, ["a"], root),
            ([Children(f"{ROOT}/a")], [NoAuthError()]),
        )


def test_no_content_in_a_repr() -> None:
    """The repr of a state has no content."""
    state: TreeState = play(reading(), lists(ROOT, [], at(5)), reads((ROOT, b"secret", at(5))))

    assert "secret" not in repr(state) + repr(state.root)
