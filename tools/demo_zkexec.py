"""zkexec as a process of its own, typed at and listened to; for the tests and for the demo.

The rules of this file:

- stdin, stdout and stderr are pipes.  A thread reads each of the last two; their lines stand in
  one queue, in the order in which they came.
- Waiting goes forward only: the line that was waited for, and all before it, are passed over.
  `log` and `output` keep every line that has come so far.
- zkexec has a session of its own, so that Ctrl-C at the caller's terminal does not reach it.
- Of the caller's environment, the variables of zkexec's options are left out: a run is told
  what its caller says, and nothing else.
"""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

from zkexec.cli.options import OPTIONS

ROOT = Path(__file__).resolve().parents[1]
ZKEXEC = (sys.executable, "-m", "zkexec")
DEADLINE_S = 60.0
# How long a process gets to end by TERM before it is killed.
_GRACE_S = 10.0


class Stream(Enum):
    """Where a line came from."""

    OUTPUT = "stdout"
    LOG = "stderr"


class Line(NamedTuple):
    """One line, without its newline."""

    stream: Stream
    text: str


class Wrapped:
    """A running zkexec.

    `words` are its arguments, `environment` is what is added to the caller's.  The command may
    be started from another `cwd` than the root of the repository, and by another `program`.
    """

    def __init__(
        self,
        *words: str,
        environment: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
        program: tuple[str, ...] = ZKEXEC,
    ) -> None:
        self.log: list[str] = []
        self.output: list[str] = []
        self._lines: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            [*program, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment() | dict(environment or {}),
            cwd=cwd,
            start_new_session=True,
        )
        self._readers = [
            self._listen(self._process.stdout, Stream.OUTPUT, self.output),
            self._listen(self._process.stderr, Stream.LOG, self.log),
        ]
        self._open_streams = len(self._readers)

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
        """The process id of zkexec."""
        return self._process.pid

    def type(self, line: str) -> None:
        """Type one line, and Return, into stdin."""
        if self._process.stdin is None:
            raise RuntimeError("stdin is not there to be typed into")
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    def close_stdin(self) -> None:
        """End the input, as Ctrl-D does."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def send(self, number: signal.Signals) -> None:
        """Send zkexec a signal."""
        self._process.send_signal(number)

    def lines(self) -> Iterator[Line]:
        """Yield the lines as they come, until both streams have ended.

        Raises TimeoutError after the deadline.
        """
        give_up_at = time.monotonic() + DEADLINE_S
        while self._open_streams:
            try:
                line = self._lines.get(timeout=max(0.0, give_up_at - time.monotonic()))
            except queue.Empty:
                raise TimeoutError("nothing more came:\n" + "\n".join(self.log)) from None
            if line is None:
                self._open_streams -= 1
            else:
                yield line

    def lines_until(self, stream: Stream, text: str) -> Iterator[Line]:
        """Yield the lines as they come, up to the one on this stream that contains the text.

        Raises EOFError where the streams end without it, TimeoutError after the deadline.
        """
        for line in self.lines():
            yield line
            if line.stream is stream and text in line.text:
                return
        raise EOFError(f"{text!r} was not said on {stream.value}:\n" + "\n".join(self.log))

    def wait_for_line(self, text: str) -> str:
        """Return the next line of the log that contains the text."""
        return list(self.lines_until(Stream.LOG, text))[-1].text

    def wait_for_output(self, text: str) -> str:
        """Return the next line on stdout that contains the text."""
        return list(self.lines_until(Stream.OUTPUT, text))[-1].text

    def end(self) -> int:
        """Wait until zkexec has ended and said all; its status, -N for death by signal N."""
        status = self._process.wait(DEADLINE_S)
        for reader in self._readers:
            reader.join(DEADLINE_S)
        return status

    def stop(self) -> int:
        """Send TERM, and wait for the end."""
        self.send(signal.SIGTERM)
        return self.end()

    def close(self) -> None:
        """See to it that zkexec has ended, by force if it must be."""
        self.close_stdin()
        self.send(signal.SIGTERM)
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _listen(self, pipe: IO[bytes] | None, stream: Stream, heard: list[str]) -> threading.Thread:
        if pipe is None:
            raise RuntimeError(f"{stream.value} is not there to be read")
        reader = threading.Thread(target=self._read, args=(pipe, stream, heard), daemon=True)
        reader.start()
        return reader

    def _read(self, pipe: IO[bytes], stream: Stream, heard: list[str]) -> None:
        with pipe:
            for raw in pipe:
                text = raw.decode(errors="backslashreplace").removesuffix("\n")
                heard.append(text)
                self._lines.put(Line(stream, text))
        self._lines.put(None)


def _environment() -> dict[str, str]:
    variables = {option.variable for option in OPTIONS}
    kept = {name: text for name, text in os.environ.items() if name not in variables}
    places = [str(ROOT / "src"), *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(places)}
