"""JSON in znodes: one object, whose values are taken by key and type.

The rules of this file:

- What is read was written by others: another version of zkexec, an operator, a mistake.
  Whatever is no valid content raises a ValueError whose one line says what is wrong.
- Keys that are not known are ignored; all that are known are demanded.
- No error repeats what stands in a znode.
"""

import json
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, NoReturn, TypeVar

from zkexec.text import cut

FORMAT = 1
MOST = 2**63 - 1
"""The largest number that ZooKeeper itself has; whatever is above it is a mistake."""

_DIGITS_OF_MOST = 19
_LATEST = 1e12
"""Seconds of the epoch, far beyond what any clock shows; infinity is above it."""

_T = TypeVar("_T")
_E = TypeVar("_E", bound=Enum)


class NewerFormatError(ValueError):
    """A later version of zkexec has written it."""


class Fields:
    """One JSON object whose values are taken by key and type; ValueErrors name the way to it."""

    def __init__(self, fields: Mapping[str, Any], name: str) -> None:
        self._fields = fields
        self._name = name

    @classmethod
    def of_bytes(cls, content: bytes, name: str) -> "Fields":
        """The object that these bytes are, if they are one of our format."""
        try:
            found = json.loads(content.decode(), parse_int=_whole, parse_constant=_no_number)
        except (ValueError, RecursionError):
            raise ValueError(f"{name} is no valid JSON") from None
        fields = cls._of(found, name)
        version = fields.integer("format")
        if version > FORMAT:
            raise NewerFormatError(f"{name} was written by a newer zkexec (format {version})")
        if version != FORMAT:
            raise ValueError(f"{name} has an unknown format ({version})")
        return fields

    @classmethod
    def _of(cls, found: object, name: str) -> "Fields":
        if not isinstance(found, dict):
            raise ValueError(f"expected a JSON object as {name}")
        return cls(found, name)

    def _take(self, key: str, kind: type[_T]) -> _T:
        value = self._fields.get(key)
        # Python takes true for a 1, JSON does not.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"expected a JSON {_JSON_NAMES[kind]} as {key!r} of {self._name}")
        return value

    def has(self, key: str) -> bool:
        """Whether there is such a key; asked of those that earlier versions did not write."""
        return key in self._fields

    def text(self, key: str) -> str:
        """A string."""
        return self._take(key, str)

    def words(self, key: str) -> str:
        """A string that is only shown, and of that no more than is."""
        return cut(self.text(key))

    def texts(self, key: str) -> list[str]:
        """An array of strings."""
        found = self._take(key, list)
        if not all(isinstance(text, str) for text in found):
            raise ValueError(f"expected JSON strings in {key!r} of {self._name}")
        return found

    def truth(self, key: str) -> bool:
        """True or false."""
        return self._take(key, bool)

    def integer(self, key: str, least: int = 0, most: int = MOST) -> int:
        """A whole number."""
        number = self._take(key, int)
        if number < least:
            raise ValueError(f"expected at least {least} as {key!r} of {self._name}")
        if number > most:
            raise ValueError(f"expected at most {most} as {key!r} of {self._name}")
        return number

    def time(self, key: str) -> float:
        """Seconds of the epoch."""
        is_whole = isinstance(self._fields.get(key), int)
        time = self._take(key, int if is_whole else float)
        if not 0 <= time <= _LATEST:
            raise ValueError(f"expected seconds of the epoch as {key!r} of {self._name}")
        return float(time)

    def choice(self, key: str, kind: type[_E]) -> _E:
        """One of the words of an enum."""
        try:
            return kind(self.text(key))
        except ValueError:
            raise ValueError(f"expected a known {key} in {self._name}") from None

    def each(self, key: str) -> list[tuple[str, "Fields"]]:
        """The objects that stand in the object under this key, with their names."""
        found = self._take(key, dict)
        return [
            (name, self._of(value, f"{key!r} of {self._name}")) for name, value in found.items()
        ]

    def items(self, key: str) -> list["Fields"]:
        """The objects of the array under this key."""
        found = self._take(key, list)
        return [self._of(value, f"{key!r} of {self._name}") for value in found]

    def optional(self, key: str, build: Callable[["Fields"], _T]) -> _T | None:
        """What is built of the object under this key, None where there is null."""
        found = self._fields.get(key, "")
        return None if found is None else build(self._of(found, f"{key!r} of {self._name}"))


def clean(text: str) -> str:
    """The text without halves of characters, which no terminal could show."""
    return text.encode(errors="backslashreplace").decode()


def to_json(value: Mapping[str, Any]) -> bytes:
    """The bytes of an object, without blanks."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, allow_nan=False).encode()


def _whole(digits: str) -> int:
    # Python takes long for many digits, and refuses those of a certain number in words of its own.
    return int(digits) if len(digits) <= _DIGITS_OF_MOST + 1 else MOST + 1


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_JSON_NAMES: Mapping[type, str] = {
    str: "string",
    list: "array",
    dict: "object",
    bool: "boolean",
    int: "number",
    float: "number",
}
