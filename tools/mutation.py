"""Mutants of a file: copies with one mistake each, made from its syntax tree.

The rules of this file:

- A mistake is made in the text, so that everything else stays on its line as it was.
- Each function gets a hollow mutant, whose body only returns the emptiest value of its type, and
  a slight mutant for each place where one word could be wrong: a comparison, a condition, a
  number, a dropped statement, an action that is missing in a list.
- What only readers see is left alone: docstrings, annotations, the texts of messages.
"""

import ast
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

Function = ast.FunctionDef | ast.AsyncFunctionDef
Piece = ast.stmt | ast.expr
Mistakes = Iterator[tuple[Piece, str]]
"""What could be wrong at one node: a piece of the tree, and the text in its place."""

_OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OTHER_CALLS = {"max": "min", "min": "max", "any": "all", "all": "any"}
_OTHER_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
}
# The emptiest value of a type, by the outermost word of its annotation.
_EMPTIEST = {
    "None": "None",
    "bool": "False",
    "int": "0",
    "float": "0.0",
    "str": "''",
    "bytes": "b''",
    "list": "[]",
    "tuple": "()",
    "dict": "{}",
    "Mapping": "{}",
    "set": "set()",
    "frozenset": "frozenset()",
    "Iterator": "iter(())",
    "Iterable": "()",
    "Sequence": "()",
    "Collection": "()",
}


class Place(NamedTuple):
    """A piece of the text, from the first to behind the last byte."""

    start: int
    end: int


@dataclass(frozen=True)
class Mutant:
    """One mistake in one function: the source line where it begins, and what is put where."""

    function: str
    line: int
    source: str
    place: Place
    after: str
    is_hollow: bool

    @property
    def shown(self) -> str:
        """The text of the mistake on one line."""
        return " ".join(self.after.split())

    def applied_to(self, text: bytes) -> bytes:
        """Return the file's text with the mistake in it."""
        return text[: self.place.start] + self.after.encode() + text[self.place.end :]


def mutants_of(text: bytes) -> Iterator[Mutant]:
    """All mutants of a file, function by function, in the order of the file."""
    file = _File(text)
    for name, function in _functions(ast.parse(text)):
        yield from file.mutants(name, function)


def chosen(mutants: list[Mutant]) -> list[Mutant]:
    """Of each function the hollow mutant, and one of the others, always the same.

    What an object begins with is left out: most of it is replaced before anything looks.
    """
    found = []
    for name in dict.fromkeys(mutant.function for mutant in mutants):
        own = [mutant for mutant in mutants if mutant.function == name]
        slight = [mutant for mutant in own if not mutant.is_hollow]
        found += [mutant for mutant in own if mutant.is_hollow]
        if slight and not name.endswith("__init__"):
            found.append(slight[zlib.crc32(name.encode()) % len(slight)])
    return found


def _functions(tree: ast.AST, above: str = "") -> Iterator[tuple[str, Function]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | Function):
            name = f"{above}{node.name}"
            if isinstance(node, Function):
                yield name, node
            yield from _functions(node, f"{name}.")
        else:
            yield from _functions(node, above)


def _own_nodes(function: Function) -> Iterator[ast.AST]:
    """What is executed as a part of this function, without the functions defined in it."""
    rest: list[ast.AST] = list(_statements(function))
    while rest:
        node = rest.pop(0)
        # What stands in an f-string is text for people, and has no good place before Python 3.12.
        if isinstance(node, ast.ClassDef | Function | ast.JoinedStr):
            continue
        yield node
        annotation = getattr(node, "annotation", None)
        rest += [child for child in ast.iter_child_nodes(node) if child is not annotation]


def _statements(function: Function) -> list[ast.stmt]:
    """The body of a function without its docstring."""
    first = function.body[0]
    has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return function.body[1:] if has_docstring else function.body


def _emptiest(function: Function) -> str | None:
    """Write the emptiest value that the function may return; None if there is none."""
    returned = function.returns
    if returned is None:
        return None
    if isinstance(returned, ast.Constant) and isinstance(returned.value, str):
        returned = ast.parse(returned.value, mode="eval").body
    if "None" in [word.strip() for word in ast.unparse(returned).split("|")]:
        return "None"
    outermost = returned.value if isinstance(returned, ast.Subscript) else returned
    return _EMPTIEST.get(ast.unparse(outermost))


class _File:
    """The text that nodes of the syntax tree stand for."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._line_starts = [0]
        for line in text.splitlines(keepends=True):
            self._line_starts.append(self._line_starts[-1] + len(line))

    def mutants(self, name: str, function: Function) -> Iterator[Mutant]:
        """All mutants of one function."""
        if not (body := _statements(function)):
            return
        emptiest = _emptiest(function)
        if emptiest is not None:
            place = Place(self._place(body[0]).start, self._place(body[-1]).end)
            yield from self._mutant(name, body[0], place, f"return {emptiest}", is_hollow=True)
        for node in _own_nodes(function):
            if function.name == "__init__" and isinstance(node, ast.Assign):
                continue  # An attribute that is missing is Python's error, and no wrong behaviour.
            for wrong, after in (*_mistakes_of_thought(node), *_mistakes_of_omission(node)):
                yield from self._mutant(name, wrong, self._place(wrong), after, is_hollow=False)

    def _mutant(
        self, function: str, node: Piece, place: Place, after: str, *, is_hollow: bool
    ) -> Iterator[Mutant]:
        """A mutant with this text at a place, if it is another one than stands there."""
        if self._text[place.start : place.end] != after.encode():
            source = self._text.splitlines()[node.lineno - 1].decode().strip()
            yield Mutant(function, node.lineno, source, place, after, is_hollow)

    def _place(self, node: Piece) -> Place:
        if node.end_lineno is None or node.end_col_offset is None:
            raise ValueError("a node of a parsed file has an end")
        return Place(
            self._line_starts[node.lineno - 1] + node.col_offset,
            self._line_starts[node.end_lineno - 1] + node.end_col_offset,
        )


def _mistakes_of_thought(node: ast.AST) -> Mistakes:
    """The opposite of what is meant, or a number that is not meant."""
    match node:
        case ast.Compare(ops=[operator]):
            wrong = ast.Compare(node.left, [_OPPOSITES[type(operator)]()], node.comparators)
            yield node, f"({ast.unparse(wrong)})"
        case ast.BoolOp():
            other = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
            yield node, f"({ast.unparse(ast.BoolOp(other, node.values))})"
        case ast.BinOp() if other_operator := _OTHER_OPERATORS.get(type(node.op)):
            yield node, f"({ast.unparse(ast.BinOp(node.left, other_operator(), node.right))})"
        case ast.UnaryOp(op=ast.Not()):
            yield node, f"bool({ast.unparse(node.operand)})"
        case ast.Call(func=ast.Name(id=name)) if name in _OTHER_CALLS:
            yield node.func, _OTHER_CALLS[name]
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            if isinstance(test, ast.Name | ast.Attribute | ast.Call | ast.NamedExpr):
                yield test, f"(not ({ast.unparse(test)}))"
        case ast.Constant(value=bool(value)):
            yield node, str(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield node, repr(value + 1)


def _mistakes_of_omission(node: ast.AST) -> Mistakes:
    """Something that is not done, or not asked for."""
    match node:
        case ast.List(elts=elements, ctx=ast.Load()):
            yield from ((node, _without(elements, index)) for index in range(len(elements)))
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Delete():
            yield node, "pass"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript(), *_]):
            yield node, "pass"


def _without(elements: list[ast.expr], index: int) -> str:
    rest = [ast.unparse(one) for one in (*elements[:index], *elements[index + 1 :])]
    return f"[{', '.join(rest)}]"
