"""Frozen values: what `dataclass(frozen=True)` gives, without the time that it takes.

`dataclasses` writes source text for each class and compiles it, and loads the compiler's tools
for that.  For the hundred values of zkexec this took as long as everything else that is ours
from the start of zkexec to the start of its command.  So what the classes need is shared here
instead.  To a type checker they are dataclasses.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in cli.py: `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import TypeVar, dataclass_transform

    Made = TypeVar("Made")
else:

    def dataclass_transform(**_: object) -> Callable[[object], object]:
        """Stand for that of `typing`, which only marks what it gets."""
        return lambda marked: marked


@dataclass_transform(frozen_default=True)
def frozen(
    *, kw_only: bool = False, hidden: Collection[str] = (), uncompared: Collection[str] = ()
) -> Callable[[type[Made]], type[Made]]:
    """Make a class one of frozen values, whose fields are its annotations.

    A default is shared by all values that are made without that field.  What is `hidden` is
    in no `repr`, what is `uncompared` makes no two values different.  `__post_init__` is called
    in the end of the making.  Methods that the class defines itself stay as they are.
    """

    def make(cls: type[Made]) -> type[Made]:
        names = tuple(cls.__annotations__)
        methods = {
            "__match_args__": () if kw_only else names,
            "__init__": _init(cls, names, most=0 if kw_only else len(names)),
            "__setattr__": _refuse,
            "__delattr__": _refuse,
            "__repr__": _repr([name for name in names if name not in hidden]),
            **_comparing([name for name in names if name not in uncompared]),
        }
        for name, method in methods.items():
            if name not in vars(cls):
                setattr(cls, name, method)
        return cls

    return make


def fields(one: object) -> dict[str, object]:
    """The fields of a value, in their order."""
    return {name: getattr(one, name) for name in type(one).__annotations__}


def replace(one: Made, **changes: object) -> Made:
    """Another value of the same class, with these fields changed."""
    return type(one)(**{**fields(one), **changes})


def _init(cls: type, names: tuple[str, ...], *, most: int) -> Callable[..., None]:
    defaults = {name: vars(cls)[name] for name in names if name in vars(cls)}
    finish: Callable[[object], None] | None = getattr(cls, "__post_init__", None)

    def init(self: object, *given: object, **named: object) -> None:
        held = dict(zip(names, given, strict=False))
        if named or not len(given) == len(names) == most:
            found = {**defaults, **held, **named}
            if len(given) > most or held.keys() & named or found.keys() != set(names):
                raise TypeError(
                    f"{cls.__name__}: expected {', '.join(names) or 'nothing'}, at most {most} "
                    f"by place; got {len(given)} by place and {', '.join(named) or 'none'} by name"
                )
            held = {name: found[name] for name in names}
        vars(self).update(held)
        if finish is not None:
            finish(self)

    return init


def _repr(shown: list[str]) -> Callable[[object], str]:
    def to_text(self: object) -> str:
        parts = [f"{name}={getattr(self, name)!r}" for name in shown]
        return f"{type(self).__name__}({', '.join(parts)})"

    return to_text


def _comparing(compared: list[str]) -> dict[str, object]:
    def key(one: object) -> tuple[object, ...]:
        held = vars(one)
        return tuple([held[name] for name in compared])

    def equals(self: object, other: object) -> bool:
        return type(self) is type(other) and key(self) == key(other)

    def hashed(self: object) -> int:
        return hash((type(self), *key(self)))

    return {"__eq__": equals, "__hash__": hashed}


def _refuse(self: object, name: str, *_: object) -> None:
    raise AttributeError(f"{type(self).__name__} is a value, so its {name} stays what it is")
