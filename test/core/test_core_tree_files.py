"""Which files a tree becomes, by the rules for its shapes, and what makes it unusable."""

from collections.abc import Mapping

import pytest

from core.readings import tree_of
from zkexec.core.snapshot import Problem, Tree
from zkexec.core.tree_files import InstalledFiles, TreeFiles

ROOT, FOLDER = "/t", "/etc/app/"
NOTHING = InstalledFiles({})

Contents = Mapping[str, bytes]


def made_of(
    tree: Tree, *, allow_empty: bool = False, installed: InstalledFiles = NOTHING
) -> TreeFiles:
    """Apply the rules to a tree."""
    return TreeFiles(tree, ROOT, FOLDER, allow_empty=allow_empty, installed=installed)


def files_of(tree: Tree, *, allow_empty: bool = False) -> dict[str, bytes]:
    """Return the files of a tree that can be used, by their paths below the folder."""
    made = made_of(tree, allow_empty=allow_empty)
    assert made.problems == {}
    return {path.removeprefix(FOLDER): content for path, content in made.files.items()}


def problems_of(
    tree: Tree, *, allow_empty: bool = False, installed: InstalledFiles = NOTHING
) -> dict[str, Problem]:
    """Return what makes a tree unusable."""
    return made_of(tree, allow_empty=allow_empty, installed=installed).problems


SHAPES: Mapping[str, tuple[Contents, Contents, Contents]] = {
    # Name: the contents of the tree, its files, and the empty ones of --allow-empty.
    "one file": ({"a": b"1"}, {"a": b"1"}, {}),
    "files in folders": ({"a/b": b"1", "c/d/e": b"2"}, {"a/b": b"1", "c/d/e": b"2"}, {}),
    "a folder with content": (
        {"a": b"1", "a/b": b"2"},
        {"a/zknode.data": b"1", "a/b": b"2"},
        {},
    ),
    "a deep folder with content": (
        {"a/b": b"1", "a/b/c": b"2"},
        {"a/b/zknode.data": b"1", "a/b/c": b"2"},
        {},
    ),
    "a root with content alone": ({"": b"1"}, {"zknode.data": b"1"}, {}),
    "a root with content": ({"": b"1", "a": b"2"}, {"zknode.data": b"1", "a": b"2"}, {}),
    "an empty znode": ({"a": b"1", "b": b""}, {"a": b"1"}, {"b": b""}),
    "an empty znode in a folder": ({"a": b"1", "a/b": b""}, {"a/zknode.data": b"1"}, {"a/b": b""}),
    "an empty folder is no file": ({"a/b/c": b"1"}, {"a/b/c": b"1"}, {}),
    "zknode.data of an empty root": ({"zknode.data": b"1"}, {"zknode.data": b"1"}, {}),
    "zknode.data of an empty folder": (
        {"a/zknode.data": b"1"},
        {"a/zknode.data": b"1"},
        {},
    ),
    "zknode.data as a folder": (
        {"a/zknode.data/b": b"1"},
        {"a/zknode.data/b": b"1"},
        {},
    ),
    "zknode.data as a folder with content": (
        {"zknode.data": b"1", "zknode.data/b": b"2"},
        {"zknode.data/zknode.data": b"1", "zknode.data/b": b"2"},
        {},
    ),
    "a name that begins like it": (
        {"a": b"1", "a/zknode.data2": b"2"},
        {"a/zknode.data": b"1", "a/zknode.data2": b"2"},
        {},
    ),
    "bytes that are no text": ({"a": b"\0\xff\r\n"}, {"a": b"\0\xff\r\n"}, {}),
    "names beyond ASCII": ({"ä/日本 x": b"1"}, {"ä/日本 x": b"1"}, {}),
    "hidden names": ({".a/..b": b"1"}, {".a/..b": b"1"}, {}),
    "255 bytes": ({"x" * 255: b"1", "ä" * 127: b"2"}, {"x" * 255: b"1", "ä" * 127: b"2"}, {}),
    "a long path of short names": ({"/".join("x" * 40): b"1"}, {"/".join("x" * 40): b"1"}, {}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_files_of_a_tree(shape: str) -> None:
    """Each znode with content is one file at the same place, or zknode.data in its folder."""
    contents, files, empty = SHAPES[shape]
    tree = tree_of(ROOT, contents)
    assert files_of(tree) == files
    assert files_of(tree, allow_empty=True) == {**files, **empty}


def test_files_are_below_the_folder() -> None:
    """The full path of each file begins with the folder, without a slash twice."""
    made = made_of(tree_of(ROOT, {"": b"1", "a": b"2", "b/c": b"3", "b": b"4"}))
    expected = {"zknode.data": b"1", "a": b"2", "b/c": b"3", "b/zknode.data": b"4"}
    assert made.files == {f"/etc/app/{path}": content for path, content in expected.items()}


def test_ephemeral_znodes_are_no_files() -> None:
    """An ephemeral znode is skipped, and a znode with no other child is a file."""
    tree = tree_of(ROOT, {"a": b"1", "a/e": b"2", "f": b"3"}, ephemeral=("a/e", "f"))
    assert files_of(tree) == {"a": b"1"}
    assert files_of(tree, allow_empty=True) == {"a": b"1"}


def test_an_ephemeral_znode_reserves_no_name() -> None:
    """Only a lasting child named zknode.data is the file of the znode above it."""
    contents = {"a": b"1", "a/b": b"2", "a/zknode.data": b"3"}
    tree = tree_of(ROOT, contents, ephemeral=("a/zknode.data",))
    assert files_of(tree) == {"a/zknode.data": b"1", "a/b": b"2"}
    assert problems_of(tree_of(ROOT, contents)) == {"/t/a/zknode.data": Problem.RESERVED_NAME}


@pytest.mark.parametrize("allow_empty", [False, True])
@pytest.mark.parametrize(
    ("contents", "problems"),
    [
        ({"a": b"1", "a/zknode.data": b"2"}, {"/t/a/zknode.data": Problem.RESERVED_NAME}),
        ({"a": b"1", "a/zknode.data": b""}, {"/t/a/zknode.data": Problem.RESERVED_NAME}),
        ({"a": b"1", "a/zknode.data/b": b"2"}, {"/t/a/zknode.data": Problem.RESERVED_NAME}),
        ({"": b"1", "zknode.data": b"2"}, {"/t/zknode.data": Problem.RESERVED_NAME}),
        ({"x" * 256: b"1"}, {"/t/" + "x" * 256: Problem.LONG_NAME}),
        ({"ä" * 128: b"1"}, {"/t/" + "ä" * 128: Problem.LONG_NAME}),
        ({"a": b"1", "x" * 256: b""}, {"/t/" + "x" * 256: Problem.LONG_NAME}),
        ({"x" * 256 + "/a": b"1"}, {"/t/" + "x" * 256: Problem.LONG_NAME}),
    ],
)
def test_names_that_no_file_can_have(
    contents: Contents, problems: dict[str, Problem], allow_empty: bool
) -> None:
    """A name of over 255 bytes, and a second zknode.data, make the tree unusable."""
    assert problems_of(tree_of(ROOT, contents), allow_empty=allow_empty) == problems


def test_a_znode_that_may_not_be_read() -> None:
    """Each such znode is named; an ephemeral one does not matter."""
    problems = dict.fromkeys(("a", "b/c", "e"), Problem.FORBIDDEN)
    tree = tree_of(ROOT, {"d": b"1"}, problems=problems, ephemeral=("e",))
    assert problems_of(tree) == dict.fromkeys(("/t/a", "/t/b/c"), Problem.FORBIDDEN)


@pytest.mark.parametrize(
    "tree",
    [
        tree_of(ROOT, {}),
        tree_of(ROOT, {"a/b": b""}),
        tree_of(ROOT, {"e": b"1"}, ephemeral=("e",)),
    ],
)
def test_a_tree_without_content(tree: Tree) -> None:
    """It is unusable, and named by its root; --allow-empty accepts it."""
    assert problems_of(tree) == {"/t": Problem.NOTHING_BELOW}
    assert problems_of(tree, allow_empty=True) == {}


@pytest.mark.parametrize("allow_empty", [False, True])
@pytest.mark.parametrize(
    "problem", [Problem.MISSING, Problem.NO_CHROOT, Problem.FORBIDDEN, Problem.TOO_MANY]
)
def test_a_tree_that_is_not_there(problem: Problem, allow_empty: bool) -> None:
    """A problem of the whole tree is that of its root, and nothing else is wrong."""
    made = made_of(Tree({}, problem=problem), allow_empty=allow_empty)
    assert (made.files, made.problems) == ({}, {ROOT: problem})


EMPTIED: Mapping[str, tuple[Contents, str, tuple[str, ...]]] = {
    # Name: the contents now, the path of the emptied znode, its files before.
    "a file": ({"a": b"", "b": b"1"}, "/t/a", ("a",)),
    "a file that is a folder now": ({"a": b"", "a/b": b"1"}, "/t/a", ("a",)),
    "a folder": ({"a": b"", "a/b": b"1"}, "/t/a", ("a/zknode.data",)),
    "a folder that is a leaf now": ({"a": b"", "b": b"1"}, "/t/a", ("a/zknode.data",)),
    "the root": ({"": b"", "b": b"1"}, "/t", ("zknode.data",)),
    "a child named zknode.data": (
        {"a/zknode.data": b"", "b": b"1"},
        "/t/a/zknode.data",
        ("a/zknode.data",),
    ),
}


@pytest.mark.parametrize("name", EMPTIED)
def test_the_znode_of_an_installed_file_becomes_empty(name: str) -> None:
    """The tree is unusable until it has content again; --allow-empty accepts it."""
    contents, path, files = EMPTIED[name]
    installed = InstalledFiles({f"{FOLDER}{file}": b"old" for file in files}, zxid=5)
    tree = tree_of(ROOT, contents)
    assert problems_of(tree) == {}, "nothing is wrong before anything was installed"
    assert problems_of(tree, installed=installed) == {path: Problem.EMPTY}
    assert problems_of(tree, allow_empty=True, installed=installed) == {}


def test_an_empty_znode_that_is_another_one() -> None:
    """A znode that was deleted and created again without content is none that became empty.

    One that was written since then may have had content meanwhile, and is one.
    """
    installed = InstalledFiles({"/etc/app/a": b"old"}, zxid=5)
    contents = {"a": b"", "b": b"1"}
    cases = ((0, 0, True), (5, 5, True), (6, 6, False), (6, 7, True))
    for created, written, is_emptied in cases:
        tree = tree_of(ROOT, contents, created={"a": created}, zxid=written)
        expected = {"/t/a": Problem.EMPTY} if is_emptied else {}
        assert problems_of(tree, installed=installed) == expected


def test_the_file_of_a_deleted_znode_is_none_of_its_parent() -> None:
    """A parent without content is usable while a child of it is named zknode.data."""
    installed = InstalledFiles({"/etc/app/a/zknode.data": b"1", "/etc/app/zknode.data": b"2"}, 5)
    tree = tree_of(ROOT, {"a/zknode.data": b"1", "zknode.data": b"2"})
    assert problems_of(tree, installed=installed) == {}
    assert problems_of(tree_of(ROOT, {"b": b"1"}), installed=installed) == {"/t": Problem.EMPTY}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": b"1"}, {"a/b": b"1"}),
        ({"a": b"1"}, {"a": b"1", "a/b": b"2"}),
        ({"a/b": b"1"}, {"a": b"2"}),
        ({"a": b"1", "a/b": b"2"}, {"a": b"2"}),
        ({"a/zknode.data": b"1"}, {"a": b"1", "a/b": b"2"}),
        ({"a": b"1"}, {"b": b"1"}),
    ],
)
def test_a_tree_that_changes_its_shape(before: Contents, after: Contents) -> None:
    """What was a file can become a folder, and a folder a file, if the znodes are new ones."""
    installed = InstalledFiles(made_of(tree_of(ROOT, before)).files, zxid=5)
    tree = tree_of(ROOT, after, created=dict.fromkeys(("a", "b", "a/b"), 6), zxid=6)
    made = made_of(tree, installed=installed)
    assert made.problems == {}
    assert made.files == made_of(tree).files
    assert set(made.files) != set(installed.contents)


def test_no_content_is_shown() -> None:
    """What was installed is in no repr."""
    assert "secret" not in repr(InstalledFiles({"/etc/app/a": b"secret"}, 5))
