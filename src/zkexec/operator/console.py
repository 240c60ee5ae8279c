"""Where zkexecctl speaks and asks: two streams, and what the terminal behind them can show.

Whatever comes out of znodes goes through `clean` before it is written: a reason or a host's name
must not be able to move somebody's cursor.  What is written to a pipe has no colours and is never
cut; only a terminal has a width that counts.
"""

import os
import re
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TextIO

from zkexec.operator.outcome import CANNOT_WORK, OperatorError

_STYLES = {"good": "32", "bad": "1;31", "busy": "33", "faint": "2", "strong": "1"}
_PAINT = re.compile(r"\x1b\[[0-9;]*m")
_WIDTH, _HEIGHT = 80, 24
# Vowels and final consonants of Hangul, which are drawn into the syllable before them.
_JOINING_HANGUL = (0x1160, 0x11FF)


def clean(text: str) -> str:
    """Make text harmless: on one line, all that does not print shown as an escape in ASCII."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def cells(text: str) -> int:
    """Count the columns that a text takes on a terminal; its paint takes none."""
    return len(text) if text.isascii() and "\x1b" not in text else _cells(text)


def _cells(text: str) -> int:
    return sum(map(cells_of, _PAINT.sub("", text)))


def cells_of(letter: str) -> int:
    """Count the columns that a letter takes on a terminal."""
    if letter.isascii():
        return 1
    low, high = _JOINING_HANGUL
    if unicodedata.category(letter) in ("Mn", "Me", "Cf") or low <= ord(letter) <= high:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in ("W", "F") else 1


class NobodyReadsError(Exception):
    """The reader of stdout is gone, as `head` goes; there is nothing to say any more."""


class Console:
    """The streams of one command; `stdin` is the process's own where none is given.

    A stream may be None, as Python's are where a descriptor is closed.
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
                # A name that the terminal's encoding lacks is no reason to die.
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
        """Write a line to stderr; where nobody can be told, nothing happens."""
        self._tell(text + "\n")

    def drop_unwritten(self) -> None:
        """Drop what could not be written: at its exit Python tries again, and prints a traceback.

        It would also replace the exit status.
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
        """The columns of the terminal at this moment; 80 where there is none."""
        return self._size("COLUMNS", _WIDTH)

    @property
    def height(self) -> int:
        """The lines of the terminal at this moment; 24 where there is none."""
        return self._size("LINES", _HEIGHT)

    @property
    def colours(self) -> bool:
        """Whether text is painted: on a terminal that can, for a user who does not mind."""
        wanted = not self._environment.get("NO_COLOR") and self._environment.get("TERM") != "dumb"
        return wanted and self.is_terminal

    def paint(self, style: str, text: str) -> str:
        """Return the text in a style (good, bad, busy, faint, strong), or as it is."""
        code = _STYLES[style]
        return f"\x1b[{code}m{text}\x1b[0m" if self.colours else text

    @property
    def can_ask(self) -> bool:
        """Whether somebody is there to see a question and to answer it."""
        return _is_terminal(self._stdin) and _is_terminal(self._stderr)

    def ask(self, question: str) -> bool:
        """Ask on the terminal; all but y and yes is a no, and so is an end of the input."""
        if not self.can_ask or self._stdin is None:
            return False
        self._tell(f"{question} [y/N] ")
        try:
            answer = self._stdin.readline()
        except (OSError, UnicodeDecodeError):
            answer = ""
        if not answer.endswith("\n"):
            # Ctrl-D leaves the cursor behind the question.
            self._tell("\n")
        return answer.strip().lower() in ("y", "yes")

    def _tell(self, text: str) -> None:
        try:
            if self._stderr is not None:
                self._stderr.write(text)
                self._stderr.flush()
        except OSError:
            return

    def _size(self, variable: str, otherwise: int) -> int:
        if self._stdout is None or not self.is_terminal:
            return otherwise
        try:
            columns, lines = os.get_terminal_size(self._stdout.fileno())
        except OSError:
            return otherwise
        told = self._environment.get(variable, "")
        # A terminal that does not know its size, as a serial line, says 0.
        size = columns if variable == "COLUMNS" else lines
        return (
            size
            or (int(told) if told.isascii() and told.isdigit() and len(told) < 5 else 0)
            or otherwise
        )


@contextmanager
def _writing() -> Iterator[None]:
    """Turn what can go wrong on stdout into what a verb need not care about."""
    try:
        yield
    except BrokenPipeError:
        raise NobodyReadsError from None
    except OSError as error:
        raise OperatorError(f"cannot write to stdout: {error.strerror}", CANNOT_WORK) from None


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        # What Python says of a stream that is closed.
        return False
