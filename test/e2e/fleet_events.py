"""Moments of a rollout at which a test does something, and the member that it meets then."""

import threading
from collections.abc import Callable
from functools import partial

from support.fleet import Fleet, FleetMember
from support.link import Kind


def first_journaled(fleet: Fleet, word: str, content: str = "") -> FleetMember:
    """Wait for the first entry of this kind in the journal, and return its member."""

    def found() -> list[str]:
        entries = fleet.journal.of_all(word)
        return [entry.name for entry in entries if content in ("", entry.content)]

    fleet.until(found, f"a member {word} {content}")
    return fleet.named(found()[0])


class FirstRequest:
    """Does something to the first member that sends a request of this kind, in that moment."""

    def __init__(self, fleet: Fleet, kind: Kind, act: Callable[[FleetMember], None]) -> None:
        self._fleet = fleet
        self._act = act
        self._lock = threading.Lock()
        self._found: list[FleetMember] = []
        for member in fleet.members:
            member.link.on(kind, partial(self._meet, member))

    def _meet(self, member: FleetMember) -> None:
        with self._lock:
            if not self._found:
                self._act(member)
                self._found.append(member)

    def member(self) -> FleetMember:
        """Wait for it, and return the member."""
        self._fleet.until(lambda: self._found, "the first request")
        return self._found[0]


class BusyWriter:
    """An operator who writes a znode again and again, so that members always have to read."""

    def __init__(self, fleet: Fleet, content: str) -> None:
        self._fleet = fleet
        self._content = content
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _write(self) -> None:
        while not self._over.wait(0.1):
            self._fleet.push(self._content)
