"""Enums whose values are words, without the time that those of the standard library take.

`enum` imports many modules, and works for each class longer than all else that it contains.  To a
type checker these are the enums of the standard library.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in frozen.py
if TYPE_CHECKING:
    from collections.abc import Iterator
    from enum import Enum
else:

    class EnumKind(type):
        """The class of an enum: each word that its body assigns becomes a member."""

        def __init__(cls, name: str, bases: tuple[type, ...], body: dict[str, object]) -> None:
            super().__init__(name, bases, body)
            cls._members = {}
            for key, value in body.items():
                if isinstance(value, str) and not key.startswith("_"):
                    member = cls._members[value] = object.__new__(cls)
                    member.name, member.value = key, value
                    setattr(cls, key, member)

        def __call__(cls, value: object) -> object:
            """Return the member with this value, or raise a ValueError."""
            try:
                return cls._members[value]
            except (KeyError, TypeError):
                raise ValueError(f"{value!r} is not a valid {cls.__name__}") from None

        def __iter__(cls) -> Iterator[object]:
            return iter(cls._members.values())

        def __len__(cls) -> int:
            return len(cls._members)

    class Enum(metaclass=EnumKind):
        """A class with a fixed set of members, each of which is one object with a name."""

        def __repr__(self) -> str:
            return f"{type(self).__name__}.{self.name}"


__all__ = ["Enum"]
