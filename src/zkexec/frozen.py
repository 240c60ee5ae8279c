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
    from typing import Protocol, TypeVar, dataclass_transform

    Made = TypeVar("Made")

    class Frozen(Protocol):
        """A value: the names of the fields in its `repr`, and of those by which it is compared."""

        __shown__: tuple[str, ...]
        __compared__: tuple[str, ...]
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
        own = vars(cls)
        of_class = (
            ("__shown__", _without(names, hidden)),
            ("__compared__", _without(names, uncompared)),
            ("__match_args__", () if kw_only else names),
            ("__init__", _init(cls, names, most=0 if kw_only else len(names))),
        )
        for name, method in (*of_class, *_SHARED):
            if name not in own:
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
    own = vars(cls)
    defaults = {name: own[name] for name in names if name in own}
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


def _without(names: tuple[str, ...], left_out: Collection[str]) -> tuple[str, ...]:
    return tuple([name for name in names if name not in left_out]) if left_out else names


def _to_text(self: Frozen) -> str:
    parts = [f"{name}={getattr(self, name)!r}" for name in self.__shown__]
    return f"{type(self).__name__}({', '.join(parts)})"


def _key(one: Frozen) -> list[object]:
    held = vars(one)
    return [held[name] for name in one.__compared__]


def _equals(self: Frozen, other: Frozen) -> bool:
    return type(self) is type(other) and _key(self) == _key(other)


def _hash(self: Frozen) -> int:
    return hash((type(self), *_key(self)))


def _refuse(self: object, name: str, *_: object) -> None:
    raise AttributeError(f"{type(self).__name__} is a value, so its {name} stays what it is")


_SHARED = (
    ("__setattr__", _refuse),
    ("__delattr__", _refuse),
    ("__repr__", _to_text),
    ("__eq__", _equals),
    ("__hash__", _hash),
)
"""Methods that are the same for all values: to make them for each class would take time."""
