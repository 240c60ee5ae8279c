"""Names become addresses without making the caller wait."""

import os
import select
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from support.waiting import until
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


def at_once(look_up: Callable[[str], None], arguments: tuple[str]) -> None:
    """Look up a name without a thread."""
    look_up(*arguments)


def test_each_name_is_looked_up_by_itself() -> None:
    """Whatever a name is resolved to, or fails with, is kept under the name."""
    failures = {"b": OSError(-2, "not known"), "c": OSError(), "d": UnicodeError("no name")}

    def resolve(name: str) -> Sequence[str]:
        if name in failures:
            raise failures[name]
        return ["10.0.0.1", "10.0.0.2"]

    lookup = NameLookup(["a", "b", "10.0.0.9", "c", "d", "a"], resolve, at_once)
    assert lookup.is_done
    assert lookup.addresses == {"a": ("10.0.0.1", "10.0.0.2"), "10.0.0.9": ("10.0.0.9",)}
    assert lookup.errors == {"b": "not known", "c": "", "d": "no name"}
    finish(lookup)


def test_a_name_of_this_host_needs_no_thread_to_be_resolved() -> None:
    """The system's own lookup gives addresses, and a reason if a name has none."""
    lookup = NameLookup(["localhost", "no-such-host.invalid"], None, at_once)
    finish(lookup)

    assert set(lookup.addresses["localhost"]) <= {"127.0.0.1", "::1"}
    assert list(lookup.errors) == ["no-such-host.invalid"]


def test_a_mute_name_keeps_no_other_waiting(gate: threading.Event) -> None:
    """Each name has a thread of its own: those that are answered are there before the others."""
    answered = threading.Event()

    def resolve(name: str) -> Sequence[str]:
        if name == "mute":
            assert gate.wait(DEADLINE_S)
        else:
            answered.set()
        return [name]

    lookup = NameLookup(["mute", "good"], resolve)
    assert answered.wait(DEADLINE_S)
    until(lambda: "good" in lookup.addresses, "the address of the good one")
    assert not lookup.is_done
    assert "mute" not in lookup.addresses
    gate.set()
    finish(lookup)
    assert list(lookup.addresses) == ["good", "mute"]


def test_a_host_without_a_thread_to_spare_has_a_reason() -> None:
    """The names for which no thread can be started are reported; the others are looked up."""
    started: list[str] = []

    def start_thread(look_up: Callable[[str], None], arguments: tuple[str]) -> None:
        if started:
            raise RuntimeError("can't start new thread")
        started.extend(arguments)
        look_up(*arguments)

    lookup = NameLookup(["a", "b", "c"], lambda name: [name], start_thread)
    finish(lookup)

    assert lookup.addresses == {"a": ("a",)}
    reason = "no thread can be started to look it up"
    assert lookup.errors == {"b": reason, "c": reason}


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
