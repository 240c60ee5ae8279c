"""Values as JSON objects in znodes: one table of fields for each kind of value, read and written.

What is read was written by others: another version of zkexec, an operator, a mistake.  Content that
is not valid raises a ValueError whose one line says what is wrong, and which never repeats what the
znode contains.  Unknown keys are ignored, known ones are required; a newer format is refused.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn, TypeVar

from zkexec.enumeration import Enum
from zkexec.frozen import frozen, replace
from zkexec.text import cut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


FORMAT = 2
"""That of a group's znodes."""
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
    def of_bytes(cls, content: bytes, name: str, known_format: int = FORMAT) -> Fields:
        """The object that these bytes are, if they are one of this format."""
        try:
            found = json.loads(content.decode(), parse_int=_whole, parse_constant=_no_number)
        except (ValueError, RecursionError):
            raise ValueError(f"{name} is no valid JSON") from None
        fields = cls._of(found, name)
        version = fields.integer("format")
        if version > known_format:
            raise NewerFormatError(f"{name} was written by a newer zkexec (format {version})")
        if version != known_format:
            raise ValueError(
                f"{name} has format {version}, which this zkexec does not read: "
                "stop the zkexec that writes it, and delete the znode"
            )
        return fields

    @classmethod
    def _of(cls, found: object, name: str) -> Fields:
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
        """Whether there is such a key."""
        return key in self._fields

    def text(self, key: str) -> str:
        """A string."""
        return self._take(key, str)

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

    def each(self, key: str) -> list[tuple[str, Fields]]:
        """The objects in the object under this key, with their names."""
        found = self._take(key, dict)
        return [
            (name, self._of(value, f"{key!r} of {self._name}")) for name, value in found.items()
        ]

    def items(self, key: str) -> list[Fields]:
        """The objects of the array under this key."""
        found = self._take(key, list)
        return [self._of(value, f"{key!r} of {self._name}") for value in found]

    def optional(self, key: str, build: Callable[[Fields], _T]) -> _T | None:
        """What is built of the object under this key, None if that is null."""
        found = self._fields.get(key, "")
        return None if found is None else build(self._of(found, f"{key!r} of {self._name}"))


@frozen()
class Kind:
    """How one field is read from its object, and written to it.

    `write` gets the time of the writing as well.  `key` is the field's name in JSON, "" if that is
    the attribute's.  A field with a `default` need not be there, and is left out if it has that.
    """

    read: Callable[[Fields, str], Any]
    write: Callable[[Any, float], Any] = lambda value, _: value
    key: str = ""
    default: Any = ...

    def named(self, key: str) -> Kind:
        """The same, with another name in JSON."""
        return replace(self, key=key)

    def optional(self, default: object) -> Kind:
        """The same, left out if it has this value."""
        return replace(self, default=default)

    def checked(self, check: Callable[[Any], Any]) -> Kind:
        """The same, where what was read goes through `check`, which may raise a ValueError."""
        return replace(self, read=lambda fields, key: check(self.read(fields, key)))


class Table:
    """The fields of a kind of value, by the names of its attributes."""

    def __init__(self, make: Callable[..., Any], kinds: Mapping[str, Kind]) -> None:
        """`make` makes the value, given all fields by name."""
        self._make = make
        self._kinds = {name: (kind.key or name, kind) for name, kind in kinds.items()}

    def read(self, fields: Fields) -> Any:  # noqa: ANN401 -- what `make` makes
        """Make the value; ValueError if a field is missing or wrong."""
        return self._make(
            **{
                name: kind.default
                if kind.default is not ... and not fields.has(key)
                else kind.read(fields, key)
                for name, (key, kind) in self._kinds.items()
            }
        )

    def write(self, value: object, now: float = 0.0) -> dict[str, Any]:
        """Make the JSON object of a value; `now` is the time of the writing."""
        return {
            key: kind.write(getattr(value, name), now)
            for name, (key, kind) in self._kinds.items()
            if kind.default is ... or getattr(value, name) != kind.default
        }


TEXT = Kind(Fields.text)
"""A string, as it is."""

SHOWN = Kind(Fields.text, lambda text, _: clean(cut(text))).checked(cut)
"""A string that is only shown, and not more of it than is shown."""

INTEGER = Kind(Fields.integer)
"""A whole number from 0 on."""

TRUTH = Kind(Fields.truth)
TEXTS = Kind(Fields.texts, lambda texts, _: list(texts)).checked(tuple)
TIME = Kind(Fields.time, lambda time, _: round(time, 3))
"""Seconds of the epoch."""


def integer(least: int, most: int = MOST) -> Kind:
    """A whole number within these bounds."""
    return Kind(lambda fields, key: fields.integer(key, least, most))


def choice(kind: type[Enum]) -> Kind:
    """One of the values of an enum."""
    return Kind(lambda fields, key: fields.choice(key, kind), lambda value, _: value.value)


def nullable(table: Table) -> Kind:
    """An object, or null for None."""
    return Kind(
        lambda fields, key: fields.optional(key, table.read),
        lambda value, now: None if value is None else table.write(value, now),
    )


def array(table: Table, most: int) -> Kind:
    """An array of objects, of which the last ones are read, at most this many."""
    return Kind(
        lambda fields, key: tuple(map(table.read, fields.items(key)[-most:])),
        lambda values, now: [table.write(value, now) for value in values],
    )


def by_name(table: Table, check_name: Callable[[str], str]) -> Kind:
    """An object of objects; `check_name` raises a ValueError for a wrong name."""
    return Kind(
        lambda fields, key: {check_name(n): table.read(each) for n, each in fields.each(key)},
        lambda values, now: {name: table.write(value, now) for name, value in values.items()},
    )


def pairs(first: str, second: str) -> Kind:
    """An array of objects with two strings, as a tuple of pairs; the second one is only shown."""
    return Kind(
        lambda fields, key: tuple(
            (item.text(first), item.text(second)) for item in fields.items(key)
        ),
        lambda values, _: [{first: one, second: clean(other)} for one, other in values],
    )


def clean(text: str) -> str:
    """The text without halves of characters, which no terminal could show."""
    return text.encode(errors="backslashreplace").decode()


def to_json(value: Mapping[str, Any], known_format: int = FORMAT) -> bytes:
    """The bytes of an object of this format, without blanks."""
    value = {"format": known_format, **value}
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
