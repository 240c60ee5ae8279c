"""Frozen values: they behave as dataclasses do, and are made in no time."""

import pytest

from zkexec.frozen import fields, frozen, replace


@frozen(hidden=("hidden",), uncompared=("seen_at",))
class Key:
    """A value with all that a value may have."""

    name: str
    hidden: str = "none"
    seen_at: float = 0.0

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a key has a name")


@frozen(kw_only=True)
class Door:
    """A value whose fields are named."""

    width: int
    height: int = 2


@frozen()
class Nothing:
    """A value without a field."""


def test_fields_by_place_and_by_name() -> None:
    """Fields are given by place, by name, or left to their defaults."""
    assert fields(Key("a", "b", 3.0)) == {"name": "a", "hidden": "b", "seen_at": 3.0}
    assert fields(Key("a", seen_at=3.0)) == {"name": "a", "hidden": "none", "seen_at": 3.0}
    assert fields(Door(width=1)) == {"width": 1, "height": 2}
    assert fields(Nothing()) == {}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ((), {}),
        (("a", "b", 3.0, 4), {}),
        (("a",), {"name": "b"}),
        (("a",), {"width": 1}),
        (("a", "b", 3.0), {"width": 1}),
    ],
)
def test_fields_that_are_none(given: tuple[object, ...], named: dict[str, object]) -> None:
    """A field too few, too many or given twice is a programmer's error."""
    with pytest.raises(TypeError, match="Key: expected name, hidden, seen_at, at most 3 by place"):
        Key(*given, **named)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [(1,), (1, 2), (1, 2, 3)])
def test_fields_that_have_to_be_named(given: tuple[int, ...]) -> None:
    """A value whose fields are named takes none by place."""
    with pytest.raises(TypeError, match="at most 0 by place"):
        Door(*given)  # type: ignore[call-arg]


def test_what_the_class_checks() -> None:
    """The class may refuse what it is made of."""
    with pytest.raises(ValueError, match="a key has a name"):
        Key("")


def test_equality() -> None:
    """Values of one class are equal by what is compared, and so are their hashes."""
    assert Key("a", seen_at=1.0) == Key("a", seen_at=2.0)
    assert hash(Key("a", seen_at=1.0)) == hash(Key("a", seen_at=2.0))
    assert Key("a", "b") != Key("a", "c")
    assert Nothing() == Nothing()
    others: list[object] = [Key("a"), 1]
    assert Nothing() not in others


def test_nothing_changes() -> None:
    """A value stays what it is; another one is made instead."""
    door = Door(width=1)
    with pytest.raises(AttributeError, match="Door is a value, so its width stays"):
        door.width = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match="Door is a value"):
        del door.height
    assert replace(door, width=2) == Door(width=2)
    assert door == Door(width=1)


def test_text() -> None:
    """A value shows its fields, but for the hidden ones."""
    assert repr(Key("a", "b")) == "Key(name='a', seen_at=0.0)"
    assert repr(Nothing()) == "Nothing()"


def test_patterns() -> None:
    """A pattern takes the fields by place, where they may be given so."""
    match Key("a"):
        case Key(name, _, seen_at):
            assert (name, seen_at) == ("a", 0.0)
    assert Door.__match_args__ == ()
