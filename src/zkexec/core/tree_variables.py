"""Which variables of the command come from znodes, and what makes them unusable."""

from __future__ import annotations

from zkexec.core.input_options import VariableTree
from zkexec.core.snapshot import Problem, Tree, Znode
from zkexec.core.tree_files import lasting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_VARIABLE_BYTES = 131_071
"""The name, `=` and the value.  Linux takes 128 KiB (MAX_ARG_STRLEN in linux/binfmts.h) for one of
them, with the zero byte at its end."""

BESIDE_TEXT_BYTES = 9
"""What an argument or a variable takes beside its text: the zero byte, and a pointer."""

_KEPT = frozenset(("PATH", "ENV", "BASH_ENV", "NOTIFY_SOCKET"))
_KEPT_PREFIXES = ("LD_", "ZKEXEC_")
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


def value_of(content: bytes) -> bytes:
    """Return the value that a content is: without the line ends at its end."""
    return content.rstrip(b"\r\n")


def problem_of_value(name: str, value: bytes) -> Problem | None:
    """Return why this cannot be the value of a variable, if there is a reason."""
    if b"\0" in value:
        return Problem.NUL
    is_long = len(name.encode("utf-8", "surrogateescape")) + 1 + len(value) > LONGEST_VARIABLE_BYTES
    return Problem.LONG_VARIABLE if is_long else None


def name_in_tree(path: str, prefix: str) -> str:
    """Return the name of the variable of a znode in a tree, given its path below the root."""
    # Only of ASCII: the case of other letters depends on the language.
    return "".join(letter if letter in _PLAIN else "_" for letter in _upper(prefix) + _upper(path))


def variables_of(tree: Tree, option: VariableTree) -> tuple[dict[str, bytes], dict[str, Problem]]:
    """Return the variables of a tree, and the problems of its znodes by their paths."""
    if tree.problem is not None:
        return {}, {option.root: tree.problem}
    variables: dict[str, bytes] = {}
    problems: dict[str, Problem] = {}
    for path, znode in sorted(lasting(tree).items()):
        if znode.problem is not None:
            problems[znode.path] = znode.problem
        elif path and znode.content:
            problem = _add(variables, name_in_tree(path, option.prefix), znode)
            if problem is not None:
                problems[znode.path] = problem
    return variables, problems


def _add(variables: dict[str, bytes], name: str, znode: Znode) -> Problem | None:
    if name in variables:
        return Problem.SAME_VARIABLE
    if name in _KEPT or name.startswith(_KEPT_PREFIXES):
        return Problem.KEPT_VARIABLE
    if name[:1].isdigit():
        return Problem.DIGIT_VARIABLE
    value = value_of(znode.content)
    problem = problem_of_value(name, value)
    if problem is None:
        variables[name] = value
    return problem


def size_of_all(variables: Mapping[str, bytes]) -> int:
    """Return how many bytes the kernel counts for these variables."""
    return sum(
        len(name.encode("utf-8", "surrogateescape")) + 1 + len(value) + BESIDE_TEXT_BYTES
        for name, value in variables.items()
    )


def _upper(text: str) -> str:
    return "".join(letter.upper() if letter.isascii() else letter for letter in text)
