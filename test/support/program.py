"""A real process that a test starts, types into, reads, and ends.

There are two ways to wait for output.  `until` searches all of it, so the answer does not depend
on what the test has read before.  `expect` goes forward: it passes over what it found.  That is
for dialogues, in which the same prompt comes again and again.
"""

import os
import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM
from types import TracebackType
from typing import IO, Any, Self, TypeVar, overload

from support.output import Output
from support.terminal import Terminal
from support.waiting import DEADLINE_S, until

Word = str | bytes | Path
T = TypeVar("T")


class Program:
    """A started process; its stdout and stderr are collected, each line as it comes.

    Without a terminal it leads a session of its own.  On a terminal both outputs are the same.
    """

    def __init__(self, *words: Word, terminal: Terminal | None = None, **options: Any) -> None:
        """Start it; `options` are those of Popen, such as `env`, `cwd`, and `stdin=PIPE`."""
        self.words = words
        self._terminal = terminal
        if terminal is None:
            pipe = subprocess.PIPE
            given = {"stdin": subprocess.DEVNULL, "stdout": pipe, "stderr": pipe, **options}
            self._process = subprocess.Popen(words, **{"start_new_session": True, **given})
            self.stdout = _collected(self._process.stdout, "stdout")
            in_one = given["stderr"] == subprocess.STDOUT
            self.stderr = self.stdout if in_one else _collected(self._process.stderr, "stderr")
        else:
            self._process = terminal.start(words, options)
            self.stdout = self.stderr = Output(terminal.master, "terminal")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process ID."""
        return self._process.pid

    @property
    def terminal(self) -> Terminal:
        """The terminal that it was started on."""
        assert self._terminal is not None, f"{self.words} was started without a terminal"
        return self._terminal

    @overload
    def until(
        self,
        wanted: str,
        *,
        count: int = 1,
        on: Output | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> str: ...

    @overload
    def until(
        self, wanted: Callable[[], T], what: str = ..., *, deadline_s: float = DEADLINE_S
    ) -> T: ...

    def until(
        self,
        wanted: str | Callable[[], Any],
        what: str = "the condition",
        *,
        count: int = 1,
        on: Output | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> Any:
        """Wait until a condition is true, and return its value; or wait for lines of the output.

        A pattern is met as soon as `count` lines contain it; the last of these is returned.  It is
        searched on stderr, or on the output that `on` names.
        """
        if callable(wanted):
            return self._until(wanted, what, on or self.stderr, deadline_s)
        output, pattern, sought = on or self.stderr, wanted, f"{count} x {wanted!r}"

        def found() -> list[str]:
            is_whole = not output.is_open
            lines = output.matching(pattern)
            assert len(lines) >= count or not is_whole, f"ended without {sought}\n{self.story()}"
            return lines[count - 1 : count]

        return self._until(found, sought, output, deadline_s)[0]

    def expect(self, pattern: str, on: Output | None = None) -> re.Match[str]:
        """Wait until the pattern comes behind what was expected before; it may span lines."""
        output = on or self.stderr

        def found() -> re.Match[str] | None:
            is_whole = not output.is_open
            match = output.find_next(pattern)
            if match is None and is_whole:
                raise AssertionError(f"ended without {pattern!r}\n{self.story()}")
            return match

        match = self._until(found, f"{pattern!r} behind what was found before", output, DEADLINE_S)
        assert match is not None
        return match

    def _until(
        self, get: Callable[[], T], what: str, output: Output, deadline_s: float = DEADLINE_S
    ) -> T:
        try:
            return until(get, what, deadline_s, pause=output.wait)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.story()}") from None

    def send(self, text: str | bytes) -> None:
        """Write into its stdin, or press these keys on its terminal."""
        content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        if self._terminal is not None:
            os.write(self._terminal.master, content)
            return
        assert self._process.stdin is not None, f"{self.words} was started without stdin=PIPE"
        self._process.stdin.write(content)
        self._process.stdin.flush()

    def enter(self, line: str) -> None:
        """Send a line, and Return."""
        self.send(f"{line}\n" if self._terminal is None else f"{line}\r")

    def close_stdin(self) -> None:
        """End its input."""
        assert self._process.stdin is not None, f"{self.words} was started without stdin=PIPE"
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def signal(self, number: int) -> None:
        """Send a signal to this process alone."""
        self._process.send_signal(number)

    def terminate(self) -> None:
        """Send TERM."""
        self.signal(SIGTERM)

    def kill(self) -> None:
        """Send KILL."""
        self.signal(SIGKILL)

    @property
    def status(self) -> int | None:
        """The exit status, or -N if signal N killed it; None while it runs."""
        return self._process.poll()

    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self.status is None

    def wait(self, deadline_s: float = DEADLINE_S) -> int:
        """Wait for the end, and return the status.

        What it has written by then is collected; a process that it left may still write.
        """
        try:
            status = self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end\n{self.story()}") from None
        self.stdout.pull()
        self.stderr.pull()
        return status

    def end(self, number: int = SIGTERM) -> int:
        """Send a signal, and wait for the end."""
        self.signal(number)
        return self.wait()

    def hang_up(self) -> None:
        """Close the test's end of the terminal, as a lost connection does."""
        self.stdout.close()
        self.terminal.forget()

    def close(self) -> None:
        """Kill it with its process group if it still runs, and stop reading."""
        if self.is_running():
            try:
                os.killpg(self.pid, SIGKILL)
            except ProcessLookupError:
                self.kill()  # It leads no group of its own.
            self._process.wait(DEADLINE_S)
        if self._process.stdin is not None:
            self.close_stdin()
        for output in (self.stdout, self.stderr):
            output.pull()
            output.close()
        if self._terminal is not None:
            self._terminal.forget()

    def story(self) -> str:
        """What it is, and all that it has written so far; for messages of failures."""
        state = "is running" if self.status is None else f"ended with {self.status}"
        parts = [f"{self.words} (pid {self.pid}) {state}"]
        outputs = dict.fromkeys([self.stdout, self.stderr])
        parts += [f"-- {output.name}:\n{output.text}" for output in outputs]
        return "\n".join(parts)


def _collected(pipe: IO[bytes] | None, name: str) -> Output:
    """Collect what comes through this pipe; nothing comes if the output was redirected."""
    if pipe is None:
        return Output(None, name)
    with pipe:
        return Output(os.dup(pipe.fileno()), name)
