"""The Console: what is written to which stream, what only a terminal gets, and questions."""

import fcntl
import io
import os
import select
import struct
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

import pytest

from support.waiting import DEADLINE_S
from zkexec.ctl.exit_status import SubcommandError
from zkexec.ctl.terminal.console import Console, OutputClosedError
from zkexec.ctl.terminal.text_width import cells
from zkexec.text import printable


@dataclass
class PseudoTerminal:
    """A terminal: the end at which a person sits, and the stream that a program has."""

    person: int
    stream: TextIO

    def shows(self, text: str) -> bool:
        """Wait for this to come out; what was typed is echoed before it."""
        seen = ""
        while text not in seen and select.select([self.person], [], [], DEADLINE_S)[0]:
            seen += os.read(self.person, 65536).decode()
        return text in seen

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the window."""
        fcntl.ioctl(self.person, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


@pytest.fixture
def screen() -> Iterator[PseudoTerminal]:
    """A terminal of 100 columns and 30 rows."""
    person, program = os.openpty()
    with (
        open(program, "r+b", buffering=0) as raw,
        io.TextIOWrapper(raw, write_through=True) as text,
    ):
        found = PseudoTerminal(person, text)
        found.resize(30, 100)
        yield found
    os.close(person)


def console(stdout: TextIO | None = None, **environment: str) -> Console:
    """A console with this stdout, and without anyone who could answer."""
    return Console(stdout, io.StringIO(), environment, stdin=io.StringIO("y\n"))


def test_lines_and_bytes_in_their_order() -> None:
    """Lines and raw bytes come out as they are, in the order in which they were written."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    there = console(stream)
    there.out("grüße \udcff")
    there.write(b"\xff\0")
    there.out()

    raw = stream.buffer
    assert isinstance(raw, io.BytesIO)
    assert raw.getvalue() == b"gr\\xfc\\xdfe \\udcff\n\xff\0\n"


def test_stderr_is_apart() -> None:
    """What is said on stderr is a line there, and nothing on stdout."""
    stdout, stderr = io.StringIO(), io.StringIO()
    Console(stdout, stderr, {}).err("oh")

    assert (stdout.getvalue(), stderr.getvalue()) == ("", "oh\n")


def test_without_streams() -> None:
    """If the streams are closed, nothing is written, and no question can be asked."""
    nowhere = Console(None, None, {})
    nowhere.out("a")
    nowhere.write(b"b")
    nowhere.err("c")

    assert not nowhere.is_terminal
    assert not nowhere.ask("sure?")


def test_a_pipe_is_plain() -> None:
    """A pipe has no colours, the size of 80x24, and cannot answer."""
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "w") as stream:
        there = console(stream, TERM="xterm", COLUMNS="200", LINES="100")

        assert (there.is_terminal, there.colours) == (False, False)
        assert there.missing_terminal == "stdin"
        assert (there.width, there.height) == (80, 24)
        assert there.paint("bad", "x") == "x"
        assert not there.ask("sure?")


def test_a_terminal_has_a_size(screen: PseudoTerminal) -> None:
    """The size is that of the terminal at that moment, not that of its start."""
    there = console(screen.stream)
    assert (there.width, there.height) == (100, 30)

    screen.resize(10, 40)

    assert (there.width, there.height) == (40, 10)


def test_a_terminal_that_does_not_know_its_size(screen: PseudoTerminal) -> None:
    """Without a size of its own, a terminal has that of the variables, else 80x24."""
    screen.resize(0, 0)

    assert (console(screen.stream).width, console(screen.stream).height) == (80, 24)
    found = console(screen.stream, COLUMNS="120", LINES="x")
    assert (found.width, found.height) == (120, 24)


def test_sentences_are_broken_between_words(screen: PseudoTerminal) -> None:
    """A sentence on a terminal has lines of its width, on both streams; in a pipe it has one."""
    screen.resize(30, 24)
    text = "the check refused /etc/web.conf:12"
    there = Console(screen.stream, screen.stream, {})
    there.paragraph(text)
    assert screen.shows("the check refused\r\n/etc/web.conf:12\r\n")
    there.report(text)
    assert screen.shows("zkexecctl: the check\r\nrefused /etc/web.conf:12\r\n")

    stdout, stderr = io.StringIO(), io.StringIO()
    apart = Console(stdout, stderr, {})
    apart.paragraph(f"{text}\x1b")
    apart.report(f"{text}\x1b")
    assert stdout.getvalue() == f"{text}\\x1b\n"
    assert stderr.getvalue() == f"zkexecctl: {text}\\x1b\n"


@pytest.mark.parametrize("style", ["good", "bad", "busy", "faint", "strong"])
def test_colours(style: str, screen: PseudoTerminal) -> None:
    """On a terminal each style is a colour around the text, that takes no columns."""
    there = console(screen.stream, TERM="xterm")
    painted = there.paint(style, "text")

    assert painted.startswith("\x1b[")
    assert painted.endswith("text\x1b[0m")
    assert cells(painted) == 4


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_no_colours_if_they_are_not_wanted(
    environment: dict[str, str], screen: PseudoTerminal
) -> None:
    """A dumb terminal and NO_COLOR get plain text."""
    assert console(screen.stream, **environment).paint("bad", "text") == "text"


@pytest.mark.parametrize(
    ("answer", "yes"),
    [("y", True), ("YES", True), (" y ", True), ("", False), ("n", False), ("yep", False)],
)
def test_questions(answer: str, yes: bool, screen: PseudoTerminal) -> None:
    """A question appears on the terminal, even if stdout is a pipe; only y is a yes."""
    os.write(screen.person, f"{answer}\n".encode())
    asking = Console(io.StringIO(), screen.stream, {}, stdin=screen.stream)

    assert asking.missing_terminal == ""
    assert asking.ask("Push?") is yes
    assert screen.shows("Push? [y/N] ")


def test_an_end_of_the_input_is_a_no(screen: PseudoTerminal) -> None:
    """Ctrl-D instead of an answer is a no."""
    os.write(screen.person, b"\x04")
    asking = Console(None, screen.stream, {}, stdin=screen.stream)

    assert not asking.ask("Push?")


def test_the_reader_exits() -> None:
    """A reader that has exited differs from a disk that is full."""
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(OutputClosedError):
        console(open(writing, "w", closefd=False)).write(b"x")  # noqa: SIM115 - it cannot close
    os.close(writing)

    with (
        pytest.raises(SubcommandError, match=r"^cannot write to stdout: No space left on device$"),
        open("/dev/full", "wb", buffering=0) as full,
    ):
        console(io.TextIOWrapper(full)).out("x")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("grüße 日本", "grüße 日本"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[2J\x07\x9b1m", "\\x1b[2J\\x07\\x9b1m"),
        ("\u202egnp.exe\u2066", "\\u202egnp.exe\\u2066"),
        ("\u2028\udcff\U000e0001", "\\u2028\\udcff\\U000e0001"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    """Whatever could move a cursor, ring, or turn the reading order is shown as an escape."""
    assert printable(text) == shown
    assert printable(shown) == shown


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("", 0),
        ("abc", 3),
        ("grüße", 5),
        ("日本", 4),
        ("\uff21\uff22", 4),
        ("e\u0301", 1),
        ("한", 2),
        ("\u1112\u1161\u11ab", 2),
        ("\x1b[1;31mx\x1b[0m", 1),
    ],
)
def test_cells(text: str, width: int) -> None:
    """A text takes as many columns as a terminal gives it: wide letters two, accents none."""
    assert cells(text) == width
