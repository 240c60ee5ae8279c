"""The inbox: what comes first, who wakes whom, and what a signal becomes."""

import signal
import threading
from collections.abc import Iterator

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
from zkexec.process.inheritance import WAKE_SIGNAL, Inheritance
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
    """Send a signal to this thread: others here have not blocked it, as zkexec's own have."""
    signal.pthread_kill(threading.get_ident(), number)


def test_what_waits_for_the_member_is_known(inheritance: Inheritance) -> None:
    """Whether an answer, the end of a child, or what another thread has posted is still there."""
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
    """Nothing gets between an action and its outcome: not a signal, not another thread's news."""
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
    """The answer to what the first calls for comes before the news of the second."""
    check = HealthCheckFinished(1, passed=True, reason="exit status 0")
    box = inbox(inheritance, [check, EXITED])
    send(signal.SIGCHLD)
    assert box.next(until=None) == check
    box.answer(FilesStaged())
    assert box.next(until=None) == FilesStaged()
    assert box.next(until=None) == EXITED


def test_another_thread_wakes_the_sleeper(inheritance: Inheritance) -> None:
    """News from other threads end the sleep, all of them in order, with one wake-up at a time."""
    box = inbox(inheritance)
    paths = [f"/{number}" for number in range(5000)]

    def post() -> None:
        for path in paths:
            box.post(ZnodeTouched(path))

    thread = threading.Thread(target=post)
    thread.start()
    assert [box.next(until=None) for _ in paths] == [ZnodeTouched(path) for path in paths]
    thread.join()
    assert box.next(until=now()) == Tick()


def test_wake_ups_do_not_pile_up(inheritance: Inheritance) -> None:
    """However many events are posted before the next read, one wake-up is pending."""
    box = inbox(inheritance)
    for number in range(100):
        box.post(ZnodeTouched(f"/{number}"))
    assert signal.sigtimedwait({WAKE_SIGNAL}, 0) is not None
    assert signal.sigtimedwait({WAKE_SIGNAL}, 0) is None


@pytest.mark.parametrize("number", [0, -1267241224, signal.SIGSEGV, 4711])
def test_no_signal_is_believed_that_was_not_asked_for(
    inheritance: Inheritance, number: int
) -> None:
    """A wait that returns garbage has brought nothing: the next signal is taken."""
    infos = [garbage(number), None, garbage(signal.SIGHUP)]
    box = Inbox(inheritance, list, lambda _: False, lambda _: infos.pop(0))
    assert box.next(until=now() + 1000) == SignalReceived(signal.SIGHUP, from_terminal=False)

    endless = Inbox(inheritance, list, lambda _: False, lambda _: garbage(number))
    endless.answer(EXITED)
    assert endless.next(until=None) == EXITED


def test_a_deadline_holds_whatever_the_wait_returns(inheritance: Inheritance) -> None:
    """The time that is left becomes less after garbage, and at its end there is a Tick."""
    left: list[float | None] = []

    def wait(timeout_s: float | None) -> signal.struct_siginfo | None:
        left.append(timeout_s)
        return garbage(0) if timeout_s else None

    box = Inbox(inheritance, list, lambda _: False, wait)
    assert box.next(until=now() + 0.05) == Tick()
    assert len(left) > 1
    assert left[-1] == 0
