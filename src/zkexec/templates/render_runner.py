"""Start the process that renders, and read its result when it has ended.

Each rendering is a new process, without the environment and the descriptors of zkexec.  Templates
and values, which can be secrets, go through memory that has no name: they are on no disk, on no
command line and in no environment.
"""

from __future__ import annotations

import os
import sys
import time

import zkexec
from zkexec.core.actions import RenderTemplates
from zkexec.core.events import Event, ExitStatus, RenderFinished
from zkexec.core.rendering_result import NotRendered, RenderFailed, RenderResult
from zkexec.lean import signal
from zkexec.process.processes import Processes
from zkexec.process.spawn import SpawnError
from zkexec.templates.host_facts import HostFacts
from zkexec.templates.render_request import (
    RenderLimits,
    RenderRequest,
    TemplateText,
    encode_request,
)
from zkexec.templates.result_codec import (
    LONGEST_FRAME_BYTES,
    LONGEST_REASON,
    decode_begun,
    decode_result,
)
from zkexec.text import cut, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    class Sources(Protocol):
        """What polls a source: the inbox."""

        def attach(self, source: RenderRunner, /) -> None:
            """Poll this source as well from now on."""


_KIND = "renderer"
_SPARE_S = 2.0
"""A process that has not ended this long after its limit cannot end itself: it is killed."""
_FLAGS = ("-S", "-s", "-P", "-B", "-W", "ignore")
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[2:3]; import zkexec; sys.path[:] = sys.argv[3:]; "
    "from zkexec.templates.renderer import main; main()"
)
_ENVIRONMENT = {b"PYTHONHASHSEED": b"0"}
"""The order of a set is part of what is rendered, so it is the same in each process."""
_OUT_OF_MEMORY_STATUS = 2
_TIME_SIGNALS = (signal.SIGALRM, signal.SIGXCPU)
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)


class _Rendering:
    """A rendering whose process runs, with the memory that it shares with zkexec."""

    def __init__(self, number: int, request: RenderRequest) -> None:
        """Write the request.  Raises OSError."""
        self.number = number
        self.limits = request.limits
        self.kill_at = time.monotonic() + self.limits.timeout_s + _SPARE_S
        self.is_late = False
        self._names = [template.name for template in request.templates]
        self._targets = [template.target for template in request.templates]
        self.shared = os.memfd_create("zkexec-render", os.MFD_CLOEXEC)
        try:
            self.request_bytes = _write_all(self.shared, request)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the memory back.  Idempotent."""
        shared, self.shared = self.shared, -1
        if shared >= 0:
            os.close(shared)

    def result(self, ending: ExitStatus) -> RenderResult:
        """Read how the rendering has ended, once its process has."""
        try:
            report = self._read_report()
        except OSError as error:
            return NotRendered(f"cannot read what was rendered: {error.strerror}")
        reason = self._exceeded(ending)
        if reason:
            return RenderFailed(self._named(report, reason))
        if ending.signal in _CRASHES:
            return RenderFailed(self._named(report, f"the renderer was {ending}"))
        if ending.failed:
            return NotRendered(f"the renderer ended early: {ending}")
        result = decode_result(report, self._targets, self.limits.output_bytes)
        return result or NotRendered("the renderer left no result")

    def _exceeded(self, ending: ExitStatus) -> str:
        """Return which limit the process has reached, "" if none."""
        if self.is_late or ending.signal in _TIME_SIGNALS:
            return self.limits.time_exceeded
        if ending.signal == signal.SIGXFSZ:
            return self.limits.output_exceeded
        if ending.code == _OUT_OF_MEMORY_STATUS:
            return self.limits.memory_exceeded
        return ""

    def _read_report(self) -> bytes:
        """Read what is behind the request; it is not longer than the kernel lets it become."""
        report = bytearray()
        most = self.limits.output_bytes + LONGEST_FRAME_BYTES
        while len(report) < most:
            offset = self.request_bytes + len(report)
            piece = os.pread(self.shared, most - len(report), offset)
            if not piece:
                break
            report += piece
        return bytes(report)

    def _named(self, report: bytes, reason: str) -> str:
        index = decode_begun(report, len(self._names))
        named = reason if index is None else f"{self._names[index]}: {reason}"
        return cut(printable(named), LONGEST_REASON)


class RenderRunner:
    """The process that renders: at most one at a time."""

    def __init__(
        self, facts: HostFacts, timeout_s: float, processes: Processes, inbox: Sources
    ) -> None:
        """`facts` are those of this host when zkexec started."""
        self._facts = facts
        self._limits = RenderLimits(timeout_s=timeout_s)
        self._processes = processes
        self._running: _Rendering | None = None
        inbox.attach(self)

    @property
    def deadline(self) -> float | None:
        """When a process that has not ended is killed, by the clock of the inbox.

        The time for which the machine is suspended does not count.
        """
        if self._running is None or self._running.is_late:
            return None
        left = self._running.kill_at - time.monotonic()
        return time.clock_gettime(time.CLOCK_BOOTTIME) + left

    @property
    def descriptor(self) -> tuple[int, int] | None:
        """The end of a process is reported by a signal."""
        return None

    def advance(self) -> None:
        """Kill a process that has not ended long after its limit."""
        running = self._running
        if running and not running.is_late and time.monotonic() >= running.kill_at:
            running.is_late = True
            self._processes.auxiliaries.kill_step(_KIND)

    def start(self, action: RenderTemplates) -> list[Event]:
        """Start to render; return an event only if the process could not be started."""
        if self._running is not None:
            raise RuntimeError("a rendering runs already")
        templates = [TemplateText(*template) for template in action.templates]
        request = RenderRequest(templates, action.values, self._facts, self._limits)
        try:
            running = _Rendering(action.number, request)
        except OSError as error:
            reason = f"cannot hand the templates over: {error.strerror}"
            return [RenderFinished(action.number, NotRendered(reason))]
        try:
            self._start(running)
        except SpawnError as error:
            running.close()
            return [RenderFinished(action.number, NotRendered(error.reason))]
        self._running = running
        return []

    def reset(self) -> None:
        """Kill what runs, and report nothing of it any more."""
        running, self._running = self._running, None
        if running is not None:
            self._processes.auxiliaries.drop_step(_KIND)
            running.close()

    def _start(self, running: _Rendering) -> None:
        self._processes.auxiliaries.run_own_program(
            _KIND,
            _command(running.request_bytes),
            _ENVIRONMENT,
            running.shared,
            lambda ending: self._ended(running, ending),
        )

    def _ended(self, running: _Rendering, ending: ExitStatus) -> RenderFinished:
        self._running = None
        result = running.result(ending)
        running.close()
        return RenderFinished(running.number, result)


def _command(request_bytes: int) -> Sequence[bytes]:
    """Return the command of a Python that imports the zkexec that runs here, and its packages.

    The present folder and all that is named relative to it are left out: they can be the command's.
    Only zkexec itself, which can be an archive, is found there as well.
    """
    own = os.path.dirname(os.path.abspath(zkexec.__path__[0]))
    paths = [path for path in sys.path if path.startswith("/")]
    words = (sys.executable, *_FLAGS, "-c", _PROGRAM, str(request_bytes), own, *paths)
    return [os.fsencode(word) for word in words]


def _write_all(descriptor: int, request: RenderRequest) -> int:
    """Write the request, and return how long it is."""
    written = 0
    for piece in encode_request(request):
        rest = memoryview(piece)
        while rest:
            count = os.write(descriptor, rest)
            written += count
            rest = rest[count:]
    return written
