"""The streams of zkexecctl, and what the terminal behind them can show.

Whatever comes from znodes goes through `zkexec.text.printable` before it is written: a reason or
a host name must not be able to move the cursor.  What goes to a pipe has no colours and is never
cut; only a terminal has a width.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TextIO

from zkexec.ctl.exit_status import CANNOT_WORK, SubcommandError
from zkexec.ctl.terminal.text_width import wrap
from zkexec.text import printable

_STYLES = {"good": "32", "bad": "1;31", "busy": "33", "faint": "2", "strong": "1"}
_WIDTH, _HEIGHT = 80, 24


class OutputClosedError(Exception):
    """The reader of stdout has exited, as `head` does; more output is of no use."""


class Console:
    """The streams of one subcommand; `stdin` is by default the process's own.

    A stream can be None, as Python's are if a descriptor is closed.
    """

    def __init__(
        self,
        stdout: TextIO | None,
        stderr: TextIO | None,
        environment: Mapping[str, str],
        stdin: TextIO | None = None,
    ) -> None:
        self._stdout, self._stderr = stdout, stderr
        self._stdin = sys.stdin if stdin is None else stdin
        self._environment = environment
        for stream in (stdout, stderr):
            if isinstance(stream, TextIOWrapper):
                # A name that the terminal's encoding lacks must not be an error.
                stream.reconfigure(errors="backslashreplace")

    def out(self, text: str = "") -> None:
        """Write a line to stdout, at once."""
        if self._stdout is not None:
            with _writing():
                self._stdout.write(text + "\n")
                self._stdout.flush()

    def write(self, content: bytes) -> None:
        """Write bytes to stdout as they are."""
        if self._stdout is None:
            return
        with _writing():
            self._stdout.flush()
            if isinstance(self._stdout, TextIOWrapper):
                self._stdout.buffer.write(content)
            else:
                self._stdout.write(content.decode("utf-8", "backslashreplace"))
            self._stdout.flush()

    def err(self, text: str) -> None:
        """Write a line to stderr; ignore that it cannot be written."""
        self._write_error(text + "\n")

    def paragraph(self, text: str) -> None:
        """Make a text printable, and write it to stdout, on a terminal in lines between words."""
        self.out("\n".join(_lines(text, self.width if self.is_terminal else None)))

    def report(self, text: str) -> None:
        """Write a message of zkexecctl to stderr, on a terminal in lines between words."""
        width = self._size(self._stderr, "COLUMNS", _WIDTH) if _is_terminal(self._stderr) else None
        self.err("\n".join(_lines(f"zkexecctl: {text}", width)))

    def drop_unwritten(self) -> None:
        """Drop what could not be written.

        At its exit Python would try again, print a traceback and replace the exit status.
        """
        for stream in filter(None, (self._stdout, self._stderr)):
            try:
                stream.flush()
            except OSError:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)

    @property
    def is_terminal(self) -> bool:
        """Whether stdout is a terminal."""
        return _is_terminal(self._stdout)

    @property
    def width(self) -> int:
        """The columns of the terminal at this moment; 80 if stdout is none."""
        return self._size(self._stdout, "COLUMNS", _WIDTH)

    @property
    def height(self) -> int:
        """The lines of the terminal at this moment; 24 if stdout is none."""
        return self._size(self._stdout, "LINES", _HEIGHT)

    @property
    def colours(self) -> bool:
        """Whether text is coloured: on a terminal that can, unless NO_COLOR is set."""
        wanted = not self._environment.get("NO_COLOR") and self._environment.get("TERM") != "dumb"
        return wanted and self.is_terminal

    def paint(self, style: str, text: str) -> str:
        """Return the text in a style (good, bad, busy, faint, strong), or as it is."""
        code = _STYLES[style]
        return f"\x1b[{code}m{text}\x1b[0m" if self.colours else text

    @property
    def missing_terminal(self) -> str:
        """The stream that is no terminal, so that no question can be asked; "" if there is none."""
        if not _is_terminal(self._stdin):
            return "stdin"
        return "" if _is_terminal(self._stderr) else "stderr"

    def ask(self, question: str) -> bool:
        """Ask on the terminal; everything but y and yes is a no, also the end of the input."""
        if self.missing_terminal or self._stdin is None:
            return False
        self._write_error(f"{question} [y/N] ")
        try:
            answer = self._stdin.readline()
        except (OSError, UnicodeDecodeError):
            answer = ""
        if not answer.endswith("\n"):
            # Ctrl-D leaves the cursor behind the question.
            self._write_error("\n")
        return answer.strip().lower() in ("y", "yes")

    def _write_error(self, text: str) -> None:
        try:
            if self._stderr is not None:
                self._stderr.write(text)
                self._stderr.flush()
        except OSError:
            return

    def _size(self, stream: TextIO | None, variable: str, otherwise: int) -> int:
        if stream is None or not _is_terminal(stream):
            return otherwise
        try:
            columns, lines = os.get_terminal_size(stream.fileno())
        except OSError:
            return otherwise
        given = self._environment.get(variable, "")
        # A terminal that does not know its size, such as a serial line, reports 0.
        size = columns if variable == "COLUMNS" else lines
        return (
            size
            or (int(given) if given.isascii() and given.isdigit() and len(given) < 5 else 0)
            or otherwise
        )


def _lines(text: str, width: int | None) -> list[str]:
    text = printable(text)
    return [text] if width is None else wrap(text, width)


@contextmanager
def _writing() -> Iterator[None]:
    """Turn errors of stdout into those that the entry point handles."""
    try:
        yield
    except BrokenPipeError:
        raise OutputClosedError from None
    except OSError as error:
        raise SubcommandError(f"cannot write to stdout: {error.strerror}", CANNOT_WORK) from None


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        # Python raises it if the stream is closed.
        return False
