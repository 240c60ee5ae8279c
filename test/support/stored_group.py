"""A group as its znodes show it to a test: with a client of the test's own, and raw JSON.

Nothing here uses the product's own code to read them.
"""

import json
from collections.abc import Callable
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

Ask = Callable[..., Any]
"""Calls a function of a client with its arguments."""


def _once(call: Ask, *arguments: object) -> Any:
    return call(*arguments)


class StoredGroup:
    """The znodes below the base of one group."""

    def __init__(self, client: KazooClient, base: str, ask: Ask = _once) -> None:
        """`ask` may call again what has failed."""
        self.client = client
        self.base = base
        self.state = f"{base}/state"
        self._ask = ask

    def children(self, name: str) -> list[str]:
        """The names of the znodes below one of the group's."""
        try:
            found: list[str] = self._ask(self.client.get_children, f"{self.base}/{name}")
        except NoNodeError:
            return []
        return found

    def content(self, name: str) -> bytes:
        """The content of one of the group's znodes; empty if it does not exist."""
        try:
            content, _ = self._ask(self.client.get, f"{self.base}/{name}")
        except NoNodeError:
            return b""
        return bytes(content)

    def decisions(self) -> dict[str, Any]:
        """The decisions; empty if there is no record."""
        return _object_in(self.content("state"))

    def in_flight(self) -> dict[str, dict[str, Any]]:
        """The entries of the members in flight, by name."""
        entries = {name: self.content(f"in_flight/{name}") for name in self.children("in_flight")}
        return {name: _object_in(content) for name, content in entries.items() if content}

    def queued(self) -> dict[str, str]:
        """The names of the queue nodes, by the members that made them."""
        contents = {name: self.content(f"queue/{name}") for name in self.children("queue")}
        return {
            str(_object_in(content).get("member", "")): name
            for name, content in contents.items()
            if content
        }

    def failures(self) -> set[tuple[str, str]]:
        """Each failure that is recorded: the digest of the version, and the member."""
        return {
            (digest, name.partition(".")[2])
            for digest in self.children("versions")
            for name in self.children(f"versions/{digest}")
            if name.startswith(("failed.", "condemned."))
        }

    def lost_turns(self) -> int:
        """How many lost turns are counted, of all versions."""
        return sum(
            name.startswith("lost.")
            for digest in self.children("versions")
            for name in self.children(f"versions/{digest}")
        )

    def as_text(self) -> str:
        """All of it, for the message of a test that has failed."""
        parts = [json.dumps(self.decisions()), json.dumps(self.in_flight())]
        parts += [f"{name}: {self.children(name)}" for name in ("queue", "members", "unavailable")]
        for digest in self.children("versions"):
            parts.append(f"version {digest[:12]}: {self.children(f'versions/{digest}')}")
        return "\n".join(parts)


def _object_in(content: bytes) -> dict[str, Any]:
    """A JSON object; empty if the content is none."""
    try:
        found = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
