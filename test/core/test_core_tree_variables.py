"""Which variables a tree becomes, and which values no variable can have."""

from collections.abc import Mapping

import pytest

from core.readings import tree_of
from zkexec.core.input_options import VariableTree
from zkexec.core.snapshot import MOST_VARIABLES_BYTES, Problem, Tree
from zkexec.core.tree_variables import (
    LONGEST_VARIABLE_BYTES,
    name_in_tree,
    problem_of_value,
    size_of_all,
    value_of,
    variables_of,
)

ROOT = "/t"
MANY = 131_071


def made_of(tree: Tree, prefix: str = "") -> dict[str, bytes]:
    """Return the variables of a tree that can be used."""
    variables, problems = variables_of(tree, VariableTree(ROOT, prefix))
    assert problems == {}
    return variables


def problems_of(contents: Mapping[str, bytes], prefix: str = "") -> dict[str, Problem]:
    """Return what is wrong with a tree of these contents, by the path below the root."""
    found = variables_of(tree_of(ROOT, contents), VariableTree(ROOT, prefix))[1]
    return {path.removeprefix("/t/"): problem for path, problem in found.items()}


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"", b""),
        (b"a", b"a"),
        (b"a\n", b"a"),
        (b"a\r\n", b"a"),
        (b"a\n\n\r\n\r", b"a"),
        (b"\n", b""),
        (b"\na\nb\n", b"\na\nb"),
        (b"a \t\n", b"a \t"),
        (b"a\n ", b"a\n "),
        (b"a\x0b\n", b"a\x0b"),
        (b"\xff\xfe\n", b"\xff\xfe"),
    ],
)
def test_a_value_has_no_line_ends_at_its_end(content: bytes, value: bytes) -> None:
    """All line ends at the end go, and nothing else."""
    assert value_of(content) == value


@pytest.mark.parametrize(
    ("prefix", "path", "name"),
    [
        ("", "a", "A"),
        ("", "db/host-name.1", "DB_HOST_NAME_1"),
        ("app_", "a", "APP_A"),
        ("my-app.", "a b", "MY_APP_A_B"),
        ("", "1a", "1A"),
        ("", "ä", "_"),
        ("", "ß", "_"),
        ("", "\u0131\ufb01", "__"),  # a letter whose upper case is I, and one that becomes two
        ("", "\U0001f600", "_"),
        ("", "\u0661", "_"),  # a digit that is none of ASCII
        ("", "A_b=c", "A_B_C"),
    ],
)
def test_a_name_has_only_plain_characters(prefix: str, path: str, name: str) -> None:
    """Letters become upper case, and every other character than letters and digits is _."""
    assert name_in_tree(path, prefix) == name


def test_a_tree_becomes_variables() -> None:
    """Each znode with content below the root is one; the root itself and folders are none."""
    contents = {"": b"root", "a": b"1\n", "b/c": b"2", "d": b"", "e": b"\n", "f": b"3", "f/g": b"4"}
    expected = {"A": b"1", "B_C": b"2", "E": b"", "F": b"3", "F_G": b"4"}
    assert made_of(tree_of(ROOT, contents)) == expected
    prefixed = {f"X_{name}": value for name, value in expected.items()}
    assert made_of(tree_of(ROOT, contents), "x_") == prefixed


def test_ephemeral_znodes_are_no_variables() -> None:
    """They neither set a variable nor collide with one."""
    contents = {"a": b"1", "b": b"2", "A": b"3"}
    assert made_of(tree_of(ROOT, contents, ephemeral=("b", "A"))) == {"A": b"1"}


def test_an_empty_tree_has_no_variables() -> None:
    """Unlike a tree of files, a tree of variables may have none."""
    assert made_of(tree_of(ROOT, {})) == {}


def test_a_tree_that_is_not_there() -> None:
    """A problem of the whole tree is that of its root."""
    option = VariableTree(ROOT)
    assert variables_of(Tree({}, problem=Problem.MISSING), option) == ({}, {"/t": Problem.MISSING})


def test_a_znode_that_may_not_be_read() -> None:
    """It is named, unless it is ephemeral; what can be read is right."""
    problems = dict.fromkeys(("b", "c"), Problem.FORBIDDEN)
    tree = tree_of(ROOT, {"a": b"1"}, problems=problems, ephemeral=("c",))
    found = ({"A": b"1"}, {"/t/b": Problem.FORBIDDEN})
    assert variables_of(tree, VariableTree(ROOT)) == found


@pytest.mark.parametrize(
    ("contents", "named"),
    [
        ({"a": b"1", "A": b"1"}, "a"),
        ({"a-b": b"1", "a_b": b"2"}, "a_b"),
        ({"a/b": b"1", "a_b": b"2"}, "a_b"),
        ({"ä": b"1", "ö": b"2"}, "ö"),
    ],
)
def test_two_znodes_of_one_tree_with_the_same_name(
    contents: Mapping[str, bytes], named: str
) -> None:
    """The tree is unusable, whatever they contain, and the later of the paths is named."""
    assert problems_of(contents) == {named: Problem.SAME_VARIABLE}
    backwards = dict(reversed(list(contents.items())))
    assert problems_of(backwards) == {named: Problem.SAME_VARIABLE}


def test_an_empty_znode_collides_with_none() -> None:
    """A znode without content sets no variable."""
    assert made_of(tree_of(ROOT, {"a": b"1", "A": b""})) == {"A": b"1"}


@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        *(("", name) for name in ("PATH", "path", "ENV", "bash/env", "bash.env", "notify_socket")),
        *(("", name) for name in ("LD_PRELOAD", "ld/library_path", "ld_", "zkexec/lock")),
        *(("ld-", "x"), ("zkexec.", "x"), ("pa", "th"), ("l", "d_x")),
    ],
)
def test_a_variable_that_no_tree_may_set(prefix: str, path: str) -> None:
    """What decides which program runs, or belongs to zkexec or systemd, makes a tree unusable."""
    assert problems_of({path: b"x"}, prefix) == {path: Problem.KEPT_VARIABLE}
    assert problems_of({path: b""}, prefix) == {}


@pytest.mark.parametrize(
    "name", ["PATHS", "MY_PATH", "ENVIRONMENT", "LD", "LDX", "OLD_X", "ZKEXEC", "NOTIFY_SOCKETS"]
)
def test_a_variable_that_a_tree_may_set(name: str) -> None:
    """A name that only resembles one of these is a name as any other."""
    assert made_of(tree_of(ROOT, {name: b"x"})) == {name: b"x"}


@pytest.mark.parametrize(("prefix", "path"), [("", "1st"), ("", "0"), ("", "7/x"), ("1", "a")])
def test_a_name_that_begins_with_a_digit(prefix: str, path: str) -> None:
    """No shell can read such a variable, so it makes a tree unusable; after a prefix it may be."""
    assert problems_of({path: b"x"}, prefix) == {path: Problem.DIGIT_VARIABLE}
    assert problems_of({path: b""}, prefix) == {}
    assert problems_of({path: b"x"}, f"A{prefix}") == {}


@pytest.mark.parametrize("content", [b"\0", b"a\0b", b"a\0\n"])
def test_a_nul_is_no_part_of_a_value(content: bytes) -> None:
    """A NUL makes the tree unusable."""
    assert problems_of({"a": content}) == {"a": Problem.NUL}


@pytest.mark.parametrize(
    ("name", "length", "is_long"),
    [
        ("A", MANY - 2, False),
        ("A", MANY - 1, True),
        ("NAME", MANY - 5, False),
        ("NAME", MANY - 4, True),
        ("\udcff", MANY - 2, False),
        ("\udcff", MANY - 1, True),
    ],
)
def test_the_longest_variable(name: str, length: int, is_long: bool) -> None:
    """The name, = and the value have at most 131,071 bytes, which is what Linux takes."""
    assert LONGEST_VARIABLE_BYTES == MANY
    expected = Problem.LONG_VARIABLE if is_long else None
    assert problem_of_value(name, b"x" * length) is expected


def test_a_variable_of_a_tree_that_is_too_long() -> None:
    """Its name with the prefix counts, and the line ends at its end do not."""
    longest = b"x" * (MANY - 2) + b"\n\n"
    assert made_of(tree_of(ROOT, {"a": longest})) == {"A": longest.rstrip()}
    assert problems_of({"a": longest}, "P") == {"a": Problem.LONG_VARIABLE}


def test_the_most_variables() -> None:
    """Each counts with its name, =, a zero byte and a pointer; by default 1 MiB is allowed."""
    assert MOST_VARIABLES_BYTES == 1_048_576
    variables = {f"{number:04}": b"x" * 1_010 for number in range(1_024)}
    assert size_of_all(variables) == MOST_VARIABLES_BYTES
    assert size_of_all({**variables, "": b""}) == MOST_VARIABLES_BYTES + 10
    assert size_of_all({}) == 0
