"""The inbox: what comes first, what ends the wait, and what a signal becomes."""

import os
import select
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress

import pytest

from zkexec.core.events import (
    CommandExited,
    Event,
    ExitStatus,
    FilesStaged,
    HealthCheckFinished,
    SignalReceived,
    Tick,
    ZnodeTouched,
)
from zkexec.process.inheritance import Inheritance
from zkexec.runtime.inbox import Inbox, now

EXITED = CommandExited(1, ExitStatus())


@pytest.fixture
def inheritance() -> Iterator[Inheritance]:
    """Signals blocked as zkexec blocks them, and afterwards as they were."""
    given = Inheritance(
        mask=frozenset(), ignored=frozenset(), environment={}, has_terminal=False, is_pid1=False
    )
    before = signal.pthread_sigmask(signal.SIG_BLOCK, given.handled)
    yield given
    while signal.sigtimedwait(given.handled, 0):
        pass
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def send(number: int) -> None:
    """Send a signal to this thread; others of this process have not blocked it."""
    signal.pthread_kill(threading.get_ident(), number)


def test_what_waits_for_the_member_is_known(inheritance: Inheritance) -> None:
    """Whether an answer, the end of a child, or what was posted is still there."""
    box = inbox(inheritance, [EXITED, HealthCheckFinished(1, True, "")])
    found = [box.is_empty]
    box.answer(FilesStaged())
    found.append(box.is_empty)
    box.next(now())
    found.append(box.is_empty)
    send(signal.SIGCHLD)
    assert box.next(now() + 10) == EXITED
    found.append(box.is_empty)
    box.next(now())
    found.append(box.is_empty)
    box.post(ZnodeTouched("/z"))
    found.append(box.is_empty)
    assert found == [True, False, True, False, True, False]


def garbage(number: int) -> signal.struct_siginfo:
    """Return what CPython can return for an interrupted wait: memory that was never written."""
    return signal.struct_siginfo((number, -1276286464, 32581, -1267530912, 32581, 0, 0))


def inbox(inheritance: Inheritance, reaped: list[Event] | None = None) -> Inbox:
    """An inbox whose reaping finds these, and whose terminal sends only WINCH."""
    return Inbox(inheritance, lambda: reaped or [], lambda info: info.si_signo == signal.SIGWINCH)


def test_time_passes(inheritance: Inheritance) -> None:
    """A deadline that is reached, or long past, is a Tick."""
    box = inbox(inheritance)
    assert box.next(until=now() - 100) == Tick()
    until = now() + 0.05
    while now() < until:
        assert box.next(until=until) == Tick()


def test_answers_come_first(inheritance: Inheritance) -> None:
    """Nothing comes between an action and its outcome: no signal, and nothing that was posted."""
    box = inbox(inheritance)
    send(signal.SIGHUP)
    box.post(ZnodeTouched("/a"))
    box.answer(FilesStaged(), EXITED)
    events = [box.next(until=None) for _ in range(4)]
    assert events[:2] == [FilesStaged(), EXITED]
    assert events[2] == SignalReceived(signal.SIGHUP, from_terminal=False)
    assert events[3] == ZnodeTouched("/a")


def test_signals_tell_who_sent_them(inheritance: Inheritance) -> None:
    """A signal carries whether the terminal sent it."""
    box = inbox(inheritance)
    send(signal.SIGWINCH)
    assert box.next(until=None) == SignalReceived(signal.SIGWINCH, from_terminal=True)


def test_a_dead_child_is_reaped_at_once(inheritance: Inheritance) -> None:
    """SIGCHLD becomes what the reaping found; where it found nothing the wait goes on."""
    send(signal.SIGCHLD)
    assert inbox(inheritance, [EXITED]).next(until=None) == EXITED
    send(signal.SIGCHLD)
    assert inbox(inheritance).next(until=now() + 0.01) == Tick()


def test_of_two_dead_the_second_waits(inheritance: Inheritance) -> None:
    """The answer to what the first calls for comes before the end of the second."""
    check = HealthCheckFinished(1, passed=True, reason="exit status 0")
    box = inbox(inheritance, [check, EXITED])
    send(signal.SIGCHLD)
    assert box.next(until=None) == check
    box.answer(FilesStaged())
    assert box.next(until=None) == FilesStaged()
    assert box.next(until=None) == EXITED


class Server:
    """A source: what is written to a pipe is posted to the inbox when it is advanced."""

    def __init__(self, box: Inbox) -> None:
        self.deadline: float | None = None
        self.advances = 0
        self.due: list[Event] = []
        """What is posted when the deadline has come."""
        self._box = box
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.descriptor: tuple[int, int] | None = (self._reader, select.POLLIN)

    def send(self, *paths: str) -> None:
        """Let paths arrive at the descriptor."""
        os.write(self._writer, "".join(f"{path}\n" for path in paths).encode())

    def advance(self) -> None:
        """Post what has arrived, and what is due."""
        self.advances += 1
        with suppress(BlockingIOError):
            for path in os.read(self._reader, 65536).decode().split():
                self._box.post(ZnodeTouched(path))
        if self.deadline is not None and now() >= self.deadline:
            self.deadline = None
            for event in self.due:
                self._box.post(event)

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._reader)
        os.close(self._writer)


@pytest.fixture
def box_and_server(inheritance: Inheritance) -> Iterator[tuple[Inbox, Server]]:
    """An inbox with a source."""
    box = inbox(inheritance, [EXITED])
    server = Server(box)
    box.attach(server)
    yield box, server
    server.close()


def test_a_descriptor_ends_the_wait(box_and_server: tuple[Inbox, Server]) -> None:
    """What arrives while the inbox waits is handed out at once, all of it in order."""
    box, server = box_and_server
    thread = threading.Timer(0.05, server.send, ["/a", "/b", "/c"])
    thread.start()
    assert [box.next(until=None) for _ in range(3)] == [
        ZnodeTouched("/a"),
        ZnodeTouched("/b"),
        ZnodeTouched("/c"),
    ]
    thread.join()
    # What was posted is handed out before the source is advanced again.
    assert server.advances == 1
    assert box.next(until=now()) == Tick()


def test_the_deadline_of_the_source_ends_the_wait(box_and_server: tuple[Inbox, Server]) -> None:
    """A source is advanced when its own deadline has come, before and beside that of the core."""
    box, server = box_and_server
    server.due = [ZnodeTouched("/due")]
    for until in (None, now() + 1000):
        server.deadline = now() + 0.02
        assert box.next(until) == ZnodeTouched("/due")
    server.deadline = now() + 1000
    assert box.next(now() + 0.02) == Tick()
    # A source without a descriptor, as between two rounds of connecting.
    server.descriptor = None
    server.deadline = now() + 0.02
    assert box.next(None) == ZnodeTouched("/due")


def test_signals_come_before_what_the_source_brings(
    box_and_server: tuple[Inbox, Server],
) -> None:
    """A signal and the end of a child are handled first, and nothing that arrived is lost."""
    box, server = box_and_server
    server.send("/a")
    send(signal.SIGHUP)
    send(signal.SIGCHLD)
    events = [box.next(until=None) for _ in range(3)]

    hangup = SignalReceived(signal.SIGHUP, from_terminal=False)
    assert events == [hangup, EXITED, ZnodeTouched("/a")]


def test_a_source_can_be_taken_away(box_and_server: tuple[Inbox, Server]) -> None:
    """A source that was detached is not polled any more, and what it posted is still there."""
    box, server = box_and_server
    server.send("/a")
    assert box.next(until=None) == ZnodeTouched("/a")
    server.send("/b")
    box.post(ZnodeTouched("/posted"))
    box.detach(server)
    advances = server.advances

    assert box.next(until=None) == ZnodeTouched("/posted")
    assert box.next(until=now()) == Tick()
    assert server.advances == advances
    box.attach(server)
    assert box.next(until=None) == ZnodeTouched("/b")


def test_sources_come_and_go(box_and_server: tuple[Inbox, Server]) -> None:
    """Each attached source is polled, and those that stay are polled when another has gone."""
    box, server = box_and_server
    other = Server(box)
    box.attach(other)
    other.send("/other")
    assert box.next(until=None) == ZnodeTouched("/other")
    server.send("/a")
    assert box.next(until=None) == ZnodeTouched("/a")
    other.due, other.deadline = [ZnodeTouched("/due")], now() + 0.02
    server.deadline = now() + 1000
    assert box.next(until=None) == ZnodeTouched("/due")
    box.detach(other)
    other.close()
    server.send("/b")

    assert box.next(until=None) == ZnodeTouched("/b")


def test_a_core_that_failed_gets_no_old_event(inheritance: Inheritance) -> None:
    """What was queued for it is dropped, but for the end of its command."""
    check = HealthCheckFinished(1, passed=True, reason="exit status 0")
    box = inbox(inheritance, [check, check, EXITED])
    send(signal.SIGCHLD)
    assert box.next(until=None) == check
    box.post(ZnodeTouched("/a"))
    box.answer(FilesStaged())
    box.forget()

    assert box.next(until=None) == EXITED
    assert box.is_empty


@pytest.mark.parametrize("number", [0, -1267241224, signal.SIGSEGV, 4711])
def test_no_signal_is_believed_that_was_not_asked_for(
    inheritance: Inheritance, number: int
) -> None:
    """A wait that returns garbage has brought nothing: the next signal is taken."""
    infos = [garbage(number), None, garbage(signal.SIGHUP)]
    box = Inbox(inheritance, list, lambda _: False, lambda *_: infos.pop(0))
    assert box.next(until=now() + 1000) == SignalReceived(signal.SIGHUP, from_terminal=False)

    endless = Inbox(inheritance, list, lambda _: False, lambda *_: garbage(number))
    endless.answer(EXITED)
    assert endless.next(until=None) == EXITED


def test_a_deadline_holds_whatever_the_wait_returns(inheritance: Inheritance) -> None:
    """The time that is left becomes less after garbage, and at its end there is a Tick."""
    left: list[float | None] = []

    def wait(timeout_s: float | None, _: Sequence[tuple[int, int]]) -> signal.struct_siginfo | None:
        left.append(timeout_s)
        return garbage(0) if timeout_s else None

    box = Inbox(inheritance, list, lambda _: False, wait)
    assert box.next(until=now() + 0.05) == Tick()
    assert len(left) > 1
    assert left[-1] == 0
