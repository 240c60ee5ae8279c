"""The stderr of the command with `--keep-stderr`: passed on whole, its last line remembered."""

import os
from collections.abc import Iterator

import pytest

from zkexec.process.command_stderr import CommandStderr


class Reader:
    """A command that writes to the pipe, and a stderr with as much room as the test gives it."""

    def __init__(self) -> None:
        self.room = 1 << 30
        self.passed_on = b""
        self.stderr, self._other_end = os.pipe()
        self.pipe = CommandStderr(self._take, self._other_end)

    def _take(self, output: bytes) -> bytes:
        taken, rest = output[: self.room], output[self.room :]
        self.room -= len(taken)
        self.passed_on += taken
        return rest

    def write(self, content: bytes) -> None:
        """Write as the command does."""
        assert os.write(self.pipe.writer, content) == len(content)

    def fill(self) -> bytes:
        """Write until the pipe is full, and return what was written."""
        os.set_blocking(self.pipe.writer, False)
        written = bytearray()
        while True:
            line = b"%07d\n" % len(written)
            try:
                os.write(self.pipe.writer, line)
            except BlockingIOError:
                os.set_blocking(self.pipe.writer, True)
                return bytes(written)
            written += line

    def close(self) -> None:
        """Close all descriptors."""
        for descriptor in (self.stderr, self._other_end, self.pipe.writer):
            os.close(descriptor)


@pytest.fixture
def reader() -> Iterator[Reader]:
    """A pipe, and what becomes of its content."""
    one = Reader()
    yield one
    one.close()


def test_what_is_written_is_passed_on_at_once(reader: Reader) -> None:
    """Each piece is passed on as it comes, also a part of a line and bytes that are no text."""
    reader.write(b"Password: ")
    reader.pipe.advance()
    assert reader.passed_on == b"Password: "
    reader.write(b"\xff\0\n")
    reader.pipe.advance()

    assert reader.passed_on == b"Password: \xff\0\n"


def test_the_last_line_is_one_harmless_line(reader: Reader) -> None:
    """Empty lines do not count; what does not print and quotes are escaped; a long line is cut."""
    assert reader.pipe.last_line == ""
    for written, line in (
        (b"one\ntwo\n\n  \n", "two"),
        (b'unknown word "bad"\n', 'unknown word \\"bad\\"'),
        (b"\x1b[31mred\x1b[0m \xff", "\\x1b[31mred\\x1b[0m \\xff"),
        (b"\n10 %\r100 %\r\n", "100 %"),
        (b"x" * 5000, "x" * 197 + "..."),
    ):
        reader.write(written)
        reader.pipe.drain()
        assert reader.pipe.last_line == line


def test_each_command_has_a_last_line_of_its_own(reader: Reader) -> None:
    """A line of the command before, even one that was not read yet, is none of the next."""
    reader.write(b"of the first\n")
    reader.pipe.drain()
    reader.write(b"late\n")
    reader.pipe.begin()
    reader.pipe.catch_up()
    assert reader.pipe.last_line == ""
    reader.write(b"la")
    reader.pipe.begin()
    reader.write(b"ter\n  \n")
    reader.pipe.catch_up()
    assert reader.pipe.last_line == "ter"
    reader.write(b"of the third\n")
    reader.pipe.drain()

    assert reader.pipe.last_line == "of the third"
    assert reader.passed_on == b"of the first\nlate\nlater\n  \nof the third\n"


def test_the_line_of_a_running_command_is_read_in_time(reader: Reader) -> None:
    """All that it has written is read, in several pieces, and what is written later counts next."""
    written = reader.fill()
    reader.pipe.catch_up()
    assert len(written) > 1 << 16
    assert reader.pipe.last_line == written[-8:-1].decode()
    assert reader.passed_on == written
    reader.write(b"cannot bind port 80\n")
    assert reader.pipe.last_line == written[-8:-1].decode()
    reader.pipe.catch_up()

    assert reader.pipe.last_line == "cannot bind port 80"


def test_a_slow_stderr_hides_the_line_of_a_running_command(reader: Reader) -> None:
    """What waits for room is never more than a piece, however often the last line is needed."""
    reader.room = 0
    written = b""
    for _ in range(200):
        written += reader.fill()
        reader.pipe.catch_up()
    line = reader.pipe.last_line
    assert f"{line}\n".encode() in written
    reader.room = 1 << 30
    reader.pipe.advance()
    reader.pipe.catch_up()

    assert reader.pipe.last_line == written[-8:-1].decode()
    assert reader.passed_on == written


def test_a_slow_stderr_slows_the_command_down(reader: Reader) -> None:
    """While something waits for room, nothing more is read, and room is what is polled for."""
    reader.room = 5
    reader.write(b"12345678\n")
    reader.pipe.advance()
    polled, _ = reader.pipe.descriptor
    reader.write(b"more\n")
    reader.pipe.advance()
    assert reader.passed_on == b"12345"
    assert polled == reader.pipe.descriptor[0] != reader.stderr
    reader.room = 100
    reader.pipe.advance()
    assert reader.passed_on == b"12345678\n"
    reader.pipe.advance()

    assert reader.passed_on == b"12345678\nmore\n"
    assert reader.pipe.descriptor[0] != polled


def test_all_that_a_command_wrote_is_read_at_its_end(reader: Reader) -> None:
    """What is in a full pipe is read though another process has it open, and is passed on later."""
    written = reader.fill()
    reader.room = 0
    reader.pipe.drain()
    assert len(written) > 10_000
    assert reader.pipe.last_line == written[-8:-1].decode()
    assert reader.passed_on == b""
    reader.room = 1 << 30
    reader.pipe.close()

    assert reader.passed_on == written


def test_a_stderr_that_takes_nothing_does_not_keep_zkexec(reader: Reader) -> None:
    """At the end, and after many commands, what cannot be passed on is given up."""
    reader.room = 0
    for _ in range(10):
        reader.fill()
        reader.pipe.drain()
        reader.pipe.begin()
    reader.pipe.close()
    assert reader.passed_on == b""
    reader.room = 1 << 30
    reader.pipe.drain()

    assert 0 < len(reader.passed_on) < 6 << 20
