"""Trees as values: the bytes that are kept of them, and the files that they are."""

import pytest

from zkexec.core.snapshot import MOST_ZNODES
from zkexec.ctl.history.tree_content import (
    contains,
    content_size,
    decode,
    differences,
    encode,
    from_files,
    is_tree,
    to_files,
)

TREE = {"": b"top", "a": b"1\n", "b": b"", "c": b"own", "c/d.e": b"\0\n\n", "c/ü/f": b"x"}


def test_what_is_kept() -> None:
    """The kept bytes have the format, a line for each znode, and all contents."""
    assert encode({"b/c": b"two\n", "": b"1", "a": b""}) == (
        b"zkexec tree 1\n1 .\n0 a\n4 b/c\n\n1two\n"
    )


@pytest.mark.parametrize("tree", [{}, {"": b"x"}, {"a": b""}, TREE], ids=str)
def test_there_and_back(tree: dict[str, bytes]) -> None:
    """What was encoded is decoded as it was."""
    assert decode(encode(tree)) == tree


def test_equal_trees_are_equal_bytes() -> None:
    """Neither the order nor what follows from other znodes makes a difference."""
    shuffled = dict(reversed(TREE.items()))
    with_folders = {**shuffled, "c/ü": b""}

    assert encode(with_folders) == encode(shuffled) == encode(TREE)
    assert encode({"": b""}) == encode({})


HOSTILE = {
    "nothing": b"",
    "a newer format": b"zkexec tree 2\n\n",
    "no end": b"zkexec tree 1\n1 a\n",
    "no size": b"zkexec tree 1\na\n\nx",
    "negative size": b"zkexec tree 1\n-1 a\n\n",
    "leading zero": b"zkexec tree 1\n01 a\n\nx",
    "endless size": b"zkexec tree 1\n" + b"9" * 5000 + b" a\n\nx",
    "superscript": "zkexec tree 1\n² a\n\nxx".encode(),
    "too short": b"zkexec tree 1\n5 a\n\nx",
    "too long": b"zkexec tree 1\n1 a\n\nxy",
    "wrong order": b"zkexec tree 1\n1 b\n1 a\n\nxy",
    "twice": b"zkexec tree 1\n1 a\n1 a\n\nxy",
    "absolute": b"zkexec tree 1\n1 /a\n\nx",
    "upwards": b"zkexec tree 1\n1 ../a\n\nx",
    "a folder": b"zkexec tree 1\n1 a/\n\nx",
    "empty name": b"zkexec tree 1\n1 \n\nx",
    "control character": b"zkexec tree 1\n1 a\x1b[2J\n\nx",
    "no UTF-8": b"zkexec tree 1\n1 \xff\n\nx",
    "folder without content": b"zkexec tree 1\n0 a\n1 a/b\n\nx",
    "root without content": b"zkexec tree 1\n0 .\n\n",
    "too many": b"zkexec tree 1\n" + b"".join(b"0 %05d\n" % n for n in range(6000)) + b"\n",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_other_bytes_are_refused(content: bytes) -> None:
    """Only what encode writes is decoded; everything else is a ValueError of one line."""
    with pytest.raises(ValueError, match=r"^is no (valid )?tree( of a format .*)?$"):
        decode(content)


def test_as_many_as_can_be() -> None:
    """A tree of the largest number of znodes is decoded."""
    tree = {f"{number:05}": b"" for number in range(MOST_ZNODES)}

    assert decode(encode(tree)) == tree


def test_files() -> None:
    """A znode with others below it has its content in a file of its folder, as the root has."""
    files = {
        "zknode.data": b"top",
        "a": b"1\n",
        "b": b"",
        "c/zknode.data": b"own",
        "c/d.e": b"\0\n\n",
        "c/ü/f": b"x",
    }

    assert to_files(TREE) == files
    assert from_files(files) == TREE


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a": b"1", "a/zknode.data": b"2"}, "a/zknode.data: two znodes would be this file"),
        ({"": b"1", "zknode.data/x": b"2"}, "zknode.data: would be a file and a folder"),
        ({"a/" + "é" * 128: b"1"}, "é: a name of more than 255 bytes is no file"),
    ],
)
def test_trees_that_are_no_files(tree: dict[str, bytes], message: str) -> None:
    """A tree that would need one file twice, or too long a name, is refused with the path."""
    with pytest.raises(ValueError, match=f"{message}$"):
        to_files(tree)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a/zknode.data": b"1"}, "a/zknode.data: is the only file in its folder, and a znode "),
        ({"a\tb": b"1"}, "a\tb: ZooKeeper takes no such name"),
        ({"a/\ue000": b"1"}, "a/\ue000: ZooKeeper takes no such name"),
    ],
)
def test_files_that_are_no_tree(files: dict[str, bytes], message: str) -> None:
    """A file that becomes no znode is refused with its path."""
    with pytest.raises(ValueError, match=f"^{message}"):
        from_files(files)


def test_a_name_that_is_also_an_ordinary_one() -> None:
    """Below a znode without content, a child with the name of the file is that file."""
    assert to_files({"a/zknode.data": b"1"}) == {"a/zknode.data": b"1"}


def test_differences() -> None:
    """Files are added, changed and removed; one that becomes a folder is both."""
    old = {"a": b"1", "b": b"2", "c": b"3", "same": b"4"}
    new = {"a": b"0", "c": b"3", "c/d": b"5", "same": b"4"}

    assert [(one.kind, one.file) for one in differences(old, new)] == [
        ("changed", "a"),
        ("removed", "b"),
        ("removed", "c"),
        ("added", "c/d"),
        ("added", "c/zknode.data"),
    ]


def test_no_content_is_shown_by_accident() -> None:
    """The repr of a difference has no content."""
    (one,) = differences({"a": b"secret"}, {"a": b"hidden"})

    assert "a" in repr(one)
    assert "secret" not in repr(one)
    assert "hidden" not in repr(one)


def test_paths_of_trees() -> None:
    """A slash at the end makes a tree, but for the root of all znodes."""
    assert [is_tree(path) for path in ("/a/", "/a", "/")] == [True, False, False]
    assert contains("/a/", "/a/b")
    assert contains("/a/", "/a")
    assert contains("/a/", "/a/")
    assert not contains("/a/", "/ab")
    assert not contains("/a", "/a/b")


def test_the_size_of_a_tree_is_that_of_its_files() -> None:
    """A person sees how large the files are, not what is kept beside them."""
    assert content_size("/a/", encode({"x": b"12", "y": b"345"})) == 5
    assert content_size("/a", b"1234") == 4


def test_a_deep_tree_takes_no_longer() -> None:
    """A tree of 5,000 levels, which others can make, is handled like any other."""
    tree = {"/".join(["x"] * depth): b"1" for depth in range(1, MOST_ZNODES)}

    assert decode(encode(tree)) == tree
    assert len(to_files(tree)) == len(tree)
