"""The output of the command of a step: passed on at once, its last lines kept, nothing awaited."""

import os
from collections.abc import Iterator

import pytest

from zkexec.process.step_output import StepOutput


class Printed:
    """An output, and what was passed on of it."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.output = StepOutput(self.pieces.append)

    def print(self, content: bytes) -> None:
        """Print as the command does, and let it be read."""
        os.write(self.output.writer, content)
        self.output.advance()

    @property
    def text(self) -> bytes:
        """All that was passed on."""
        return b"".join(self.pieces)


@pytest.fixture
def printed() -> Iterator[Printed]:
    """The output of one command."""
    one = Printed()
    yield one
    one.output.finish()


def test_what_is_printed_is_passed_on_at_once(printed: Printed) -> None:
    """Each piece is passed on as it comes, also a part of a line."""
    printed.print(b"reading ")
    assert printed.text == b"reading "
    printed.print(b"a.conf\nok\n")
    printed.output.finish()

    assert printed.text == b"reading a.conf\nok\n"


def test_the_last_lines_are_kept(printed: Printed) -> None:
    """Of many lines the last three are kept that are not empty, whole if they came in pieces."""
    for piece in (b"1\n2\n\n3", b"3\n   \n", b"a\rb\n\n", b"e", b"n\xc3", b"\xa9d"):
        printed.print(piece)
    printed.output.finish()

    assert printed.output.last_lines == ["a", "b", "en\u00e9d"]


def test_a_line_without_end_is_bounded(printed: Printed) -> None:
    """A megabyte without an end of line is passed on whole, and only its beginning is kept."""
    for _ in range(256):
        printed.print(b"begun" + b"x" * 4091)
    assert len(printed.text) == 1 << 20

    [line] = printed.output.last_lines
    assert line.startswith("begunx")
    assert len(line) < 10_000


def test_the_end_of_output_is_no_event(printed: Printed) -> None:
    """A command that has closed its output is not polled any more: the end would come for ever."""
    assert printed.output.descriptor is not None
    printed.output.close_writer()
    printed.output.advance()

    assert printed.output.descriptor is None


def test_a_daemon_with_the_pipe_is_not_awaited(printed: Printed) -> None:
    """What is there at the end is read, all of it, though another process has the pipe."""
    daemon = os.dup(printed.output.writer)
    os.set_blocking(daemon, False)
    size = 0
    while True:
        try:
            size += os.write(daemon, b"line\n" * 200)
        except BlockingIOError:
            break
    printed.output.finish()

    assert len(printed.text) == size > 10_000
    with pytest.raises(BrokenPipeError):
        os.write(daemon, b"more")
    os.close(daemon)


def test_the_next_line_of_the_log_is_its_own(printed: Printed) -> None:
    """A last line without an end gets one, so that the next message does not continue it."""
    printed.print(b"no end")
    printed.output.finish()
    printed.output.finish()

    assert printed.text == b"no end\n"
