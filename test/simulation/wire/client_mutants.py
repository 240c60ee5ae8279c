"""Mistakes that the client could have: each breaks one rule, on purpose.

A mutant is what is replaced in the client for a run, and the rule or the checker that has to notice
it.  Some of these are habits of other clients.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from zkexec.zookeeper.client import Client
from zkexec.zookeeper.client_events import Connected, Fired, Lost
from zkexec.zookeeper.connector import Connector
from zkexec.zookeeper.errors import ConnectionLostError
from zkexec.zookeeper.pace import Pace
from zkexec.zookeeper.session_state import OutcomeReceived, SessionState


@dataclass(frozen=True)
class Replacement:
    """A name of the client, and what it is replaced by."""

    owner: object
    name: str
    replacement: object


@dataclass(frozen=True)
class ClientMutant:
    """One mistake: what is replaced, and what has to notice it, with one member or in a group."""

    mistake: str
    replacements: Sequence[Replacement]
    noticed_as: str
    in_group: bool = False


# What the replacements reach into is the private state of the client, which has no types here.
Anything = Any


def original(owner: type, name: str) -> Callable[..., Any]:
    """Return the client's own function."""
    function: Callable[..., Any] = getattr(owner, name)
    return function


original_receive = original(SessionState, "receive")
original_fail_all = original(SessionState, "_fail_all")
original_established = original(SessionState, "_established")
original_answered = original(Client, "_answered")
original_take = original(Client, "_take")
original_disconnect = original(Client, "_disconnect")


def report_watches_late(self: Anything, content: bytes, now: float) -> list[Any]:
    """Report the watches that have fired behind the next answer."""
    late = self.__dict__.setdefault("late", [])
    found = []
    for event in original_receive(self, content, now):
        if isinstance(event, Fired):
            late.append(event)
            continue
        found.append(event)
        if isinstance(event, OutcomeReceived):
            found += late
            late.clear()
    return found


def use_at_once(self: Anything, session: Any, events: Sequence[Any]) -> None:
    """Use a connection before its server has synchronized."""
    for event in events:
        if isinstance(event, Connected) and self._session is session:
            self._number = event.connection
            self._report(event)
        else:
            original_take(self, session, [event])


def lose_first(self: Anything, reason: str) -> list[Any]:
    """Report a loss before the requests that it has failed."""
    failed = self._fail_all(reason)
    return [Lost(reason, self.zxid), *failed]


def keep_for_later(self: Anything, reason: str) -> list[Any]:
    """Keep the requests of a lost connection for the next one, although they have failed."""
    connection = self._connection
    if connection is not None:
        kept = self.__dict__.setdefault("kept", [])
        kept += [one.request for one in connection.exchange._pending]  # noqa: SLF001 -- a mutant
    found: list[Any] = original_fail_all(self, reason)
    return found


def send_what_was_kept(self: Anything, connection: Any) -> list[Any]:
    """Send on a new connection what was requested on the one before."""
    found: list[Any] = original_established(self, connection)
    if found:
        for request in self.__dict__.pop("kept", ()):
            self._send(connection, request, None, connection.pace._sent_at)  # noqa: SLF001 -- a mutant
    return found


def ignore_what_was_kept(self: Anything, session: Any, events: Sequence[Any]) -> None:
    """Expect no answer to what was sent again."""
    original_take(self, session, [e for e in events if getattr(e, "key", "") is not None])


def answer_twice(self: Anything, conversation: Any, number: int, outcome: object) -> None:
    """Report a dialogue that was answered as failed as well."""
    original_answered(self, conversation, number, outcome)
    if conversation.is_over:
        conversation._ended(None, ConnectionLostError())  # noqa: SLF001 -- a mutant


def begin_again_quietly(self: Anything, reason: str) -> list[Any]:
    """Begin a new session without reporting that the old one has expired."""
    self.session, self._password = 0, b""
    lost: list[Any] = self._lose(reason)
    return lost


def report_always(self: Anything, event: object) -> None:
    """Report also what happens to a session that is over."""
    self._listener(event)


def fail_all_conversations(self: Anything) -> None:
    """Fail the dialogues of a connection that is closed."""
    conversations, self._conversations = self._conversations, set()
    for conversation in conversations:
        conversation.fail(ConnectionLostError())
    original_disconnect(self)


def do_nothing(*_: object) -> list[Any]:
    """Do nothing."""
    return []


CLIENT_MUTANTS = (
    ClientMutant("a watch is reported after the answer",
                 [Replacement(SessionState, "receive", report_watches_late)], "no progress"),
    ClientMutant("nothing is synchronized", [Replacement(Client, "_take", use_at_once)], "age"),
    ClientMutant("a loss is reported before its requests fail",
                 [Replacement(SessionState, "_lose", lose_first)], "order"),
    ClientMutant("the requests of a lost connection are dropped",
                 [Replacement(SessionState, "_fail_all", lambda self, reason: (
                     original_fail_all(self, reason), [])[1])], "order"),
    ClientMutant("requests are carried over to the next connection",
                 [Replacement(SessionState, "_fail_all", keep_for_later),
                  Replacement(SessionState, "_established", send_what_was_kept),
                  Replacement(Client, "_take", ignore_what_was_kept)],
                 "connections", in_group=True),
    ClientMutant("a dialogue ends twice", [Replacement(Client, "_answered", answer_twice)],
                 "answers"),
    ClientMutant("an expiry is not noticed",
                 [Replacement(SessionState, "_expire", begin_again_quietly)], "expiry"),
    ClientMutant("answers to a session that is over are delivered",
                 [Replacement(Client, "_report", report_always),
                  Replacement(Client, "_disconnect", fail_all_conversations)], "silence"),
    ClientMutant("watches are not set again",
                 [Replacement(SessionState, "set_watches_again", do_nothing)], "no progress"),
    ClientMutant("no ping leaves", [Replacement(Pace, "ping_at", 1e12)], "pulse"),
    ClientMutant("a mute server is waited for",
                 [Replacement(Pace, "lost_at", None)], "no progress"),
    ClientMutant("no second round of connecting begins",
                 [Replacement(Connector, "_pause", do_nothing)], "no progress"),
)  # fmt: skip
