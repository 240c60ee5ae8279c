"""Names become addresses without making the caller wait."""

import os
import select
import threading
from collections.abc import Iterator, Sequence

import pytest

from zkexec.zookeeper.name_lookup import NameLookup
from zookeeper.sockets import DEADLINE_S


def finish(lookup: NameLookup) -> None:
    """Wait until a lookup is done."""
    assert any(select.select([lookup], [], [], DEADLINE_S)), "the lookup is done"
    assert lookup.is_done
    lookup.close()


def test_addresses_need_no_thread() -> None:
    """Hosts that are addresses are known at once, each once."""

    def resolve(_: str) -> Sequence[str]:
        raise AssertionError

    lookup = NameLookup(["127.0.0.1", "::1", "127.0.0.1"], resolve)
    assert lookup.is_done
    assert lookup.addresses == {"127.0.0.1": ("127.0.0.1",), "::1": ("::1",)}
    finish(lookup)


def test_names_are_resolved_by_the_system() -> None:
    """A name of this host is resolved to its addresses."""
    lookup = NameLookup(["localhost", "127.0.0.1"])
    finish(lookup)

    assert set(lookup.addresses["localhost"]) <= {"127.0.0.1", "::1"}
    assert lookup.addresses["localhost"]
    assert lookup.errors == {}


@pytest.mark.parametrize("name", ["no-such-host.invalid", "\N{SNOWMAN}.invalid", "x" * 300])
def test_a_name_that_is_not_known_has_a_reason(name: str) -> None:
    """A name without an address is reported with a reason; the others are resolved."""
    lookup = NameLookup([name, "localhost"])
    finish(lookup)

    assert list(lookup.addresses) == ["localhost"]
    assert list(lookup.errors) == [name]
    assert lookup.errors[name]


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What a slow server of names waits for."""
    event = threading.Event()
    yield event
    event.set()


def test_a_slow_lookup_makes_nothing_wait(gate: threading.Event) -> None:
    """While a name is being resolved the lookup is not done; then it is, with its addresses."""

    def resolve(name: str) -> Sequence[str]:
        assert gate.wait(DEADLINE_S)
        return [f"address of {name}"]

    lookup = NameLookup(["slow"], resolve)
    assert not lookup.is_done
    gate.set()
    finish(lookup)
    assert lookup.addresses == {"slow": ("address of slow",)}


def test_a_lookup_that_is_no_longer_needed_ends_by_itself(gate: threading.Event) -> None:
    """A lookup that was closed ends without an error, and closes its end of the pipe."""

    def resolve(_: str) -> Sequence[str]:
        assert gate.wait(DEADLINE_S)
        return []

    lookup = NameLookup(["slow"], resolve)
    copy = os.dup(lookup.fileno())
    try:
        lookup.close()
        with pytest.raises(BlockingIOError):
            os.read(copy, 1)
        gate.set()
        assert any(select.select([copy], [], [], DEADLINE_S)), "the lookup ends"
        assert os.read(copy, 1) == b""
    finally:
        os.close(copy)
