"""Long work beside the session: its pulse goes on, and the result or the error comes back."""

import os
import resource
import select
import threading
from collections.abc import Callable, Iterator

import pytest

from support.posted_events import ensemble_of
from support.proxy import PING, Proxy
from support.waiting import until
from zkexec.core.events import SessionConnected, SessionSuspended
from zkexec.runtime.aside import run_aside
from zkexec.runtime.inbox import now


class Pulse:
    """A source that is due every few milliseconds, and counts how often it was advanced."""

    def __init__(self) -> None:
        self.advances = 0
        self.failure: Exception | None = None
        self.deadline: float | None = now()
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC)
        self.descriptor: tuple[int, int] | None = (self._reader, select.POLLIN)

    def ring(self) -> None:
        """Make the descriptor ready."""
        os.write(self._writer, b"!")

    def advance(self) -> None:
        """Count, and be due again soon."""
        self.advances += 1
        if self.failure is not None:
            raise self.failure
        if self.deadline is None:
            os.read(self._reader, 1)
        else:
            self.deadline = now() + 0.002

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._reader)
        os.close(self._writer)


@pytest.fixture
def pulse() -> Iterator[Pulse]:
    """A source that is due again and again."""
    pulse = Pulse()
    yield pulse
    pulse.close()


def here() -> int:
    """Give the number of this thread."""
    return threading.get_ident()


def advanced(pulse: Pulse) -> Callable[[], int]:
    """Work that is done only after the source was advanced a few times meanwhile."""

    def do() -> int:
        before = pulse.advances
        until(lambda: pulse.advances >= before + 5, "the source is advanced")
        return here()

    return do


def test_pings_leave_while_the_work_goes_on(proxy: Proxy, root: str) -> None:
    """Work that takes longer than several pings loses no session."""
    with ensemble_of(proxy.hosts, paths=(root,), session_timeout_s=2.0) as (ensemble, posted):
        posted.next(SessionConnected)
        before = proxy.opcodes.count(PING)

        def sync_files() -> int:
            until(lambda: proxy.opcodes.count(PING) >= before + 4, "four pings")
            return 7

        assert run_aside(sync_files, ensemble) == 7
        assert posted.read(ensemble)
        assert not posted.since_mark(SessionSuspended)


def test_the_source_is_advanced_when_it_is_due(pulse: Pulse) -> None:
    """The work runs on a thread of its own, which ends with it."""
    before = set(os.listdir("/proc/self/task"))
    assert run_aside(advanced(pulse), pulse) != here()

    until(lambda: set(os.listdir("/proc/self/task")) <= before, "the thread has ended")


def test_the_source_is_advanced_when_its_descriptor_is_ready(pulse: Pulse) -> None:
    """What arrives meanwhile is taken without waiting for a deadline."""
    pulse.deadline = None
    seen: list[int] = []

    def do() -> None:
        for count in (1, 2, 3):
            pulse.ring()
            until(lambda: pulse.advances > len(seen), "the source is advanced")
            seen.append(count)

    run_aside(do, pulse)
    assert seen == [1, 2, 3]


def test_a_source_may_have_nothing_to_poll_meanwhile(pulse: Pulse) -> None:
    """A session that loses its connection has a deadline only, and the work still ends."""

    def do() -> int:
        pulse.descriptor = None
        return advanced(pulse)()

    assert run_aside(do, pulse)


@pytest.mark.parametrize("error", [ValueError("a mistake"), KeyboardInterrupt()])
def test_an_error_of_the_work_is_raised(pulse: Pulse, error: BaseException) -> None:
    """Whatever the work raises is raised to the caller."""

    def fail() -> None:
        advanced(pulse)()
        raise error

    with pytest.raises(type(error)) as raised:
        run_aside(fail, pulse)
    assert raised.value is error


def test_work_is_finished_beside_a_source_that_fails(pulse: Pulse) -> None:
    """A session that fails costs the pulse, and never what the work has done."""
    pulse.failure = ValueError("a mistake of the session")

    def do() -> int:
        until(lambda: pulse.advances == 1, "the source is advanced")
        return here()

    assert run_aside(do, pulse) != here()
    assert pulse.advances == 1


def test_work_is_finished_when_nothing_can_be_polled(pulse: Pulse) -> None:
    """A limit of descriptors that is lowered meanwhile costs the pulse alone."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    def do() -> int:
        advanced(pulse)()
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, limits[1]))
        return here()

    try:
        assert run_aside(do, pulse) != here()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_without_anything_to_poll_the_work_is_just_called(pulse: Pulse) -> None:
    """No thread is started without a session, or while it has nothing to do."""
    assert run_aside(here, pulse) != here()
    assert run_aside(here, None) == here()
    pulse.descriptor = pulse.deadline = None
    advances = pulse.advances

    assert run_aside(here, pulse) == here()
    assert pulse.advances == advances


def test_without_a_thread_to_spare_the_work_is_just_called(pulse: Pulse) -> None:
    """If this host starts no thread, the work is done, and nothing is left open."""

    def refuse(_run: Callable[[int], None], _arguments: tuple[int]) -> None:
        raise RuntimeError("can't start new thread")

    before = os.listdir("/proc/self/fd")
    assert run_aside(here, pulse, refuse) == here()
    assert os.listdir("/proc/self/fd") == before


def test_without_a_descriptor_to_spare_the_work_is_just_called(pulse: Pulse) -> None:
    """If this process may open nothing more, the work is done."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            os.dup(0)
        assert run_aside(here, pulse) == here()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
