"""The tutorial's two small programs, as the tutorial calls them."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.program import Program
from support.waiting import DEADLINE_S

LIBEXEC = Path(__file__).resolve().parent / "libexec"
PREFIXED_CAT = LIBEXEC / "prefixed-cat"
SLOWCHECK = LIBEXEC / "slowcheck"


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """A file that holds the prefix `hello`, without a newline, as `echo -n` leaves it."""
    path = tmp_path / "prefix"
    path.write_bytes(b"hello")
    return path


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A socket that accepts connections on a port of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def cat(prefix: Path, typed: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run prefixed-cat to its end."""
    return subprocess.run(
        [PREFIXED_CAT, prefix], input=typed, capture_output=True, timeout=DEADLINE_S, check=False
    )


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run slowcheck to its end."""
    return subprocess.run(
        [SLOWCHECK, *arguments], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )


def typing_into(prefix: Path) -> Program:
    """Start a prefixed-cat whose input stays open, so that it lives on."""
    return Program(PREFIXED_CAT, prefix, stdin=subprocess.PIPE)


@pytest.mark.parametrize(
    ("typed", "printed"),
    [
        (b"", b""),
        (b"world\n", b"hello world\n"),
        (b"one\n\ntwo\n", b"hello one\nhello \nhello two\n"),
        (b"  spaces  \n", b"hello   spaces  \n"),
        (b"back\\slash %s\n-n\n", b"hello back\\slash %s\nhello -n\n"),
        (b"\xff\xfe\n", b"hello \xff\xfe\n"),
        (b"unended", b"hello unended"),
    ],
)
def test_prefixed_cat_prefixes_each_line(prefix: Path, typed: bytes, printed: bytes) -> None:
    """Each line of input comes out unchanged, after the prefix and one blank, with exit 0."""
    ended = cat(prefix, typed)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, printed, b"")


def test_prefixed_cat_takes_the_prefix_as_it_is(prefix: Path) -> None:
    """What the shell would expand in a prefix stands in the output as it stands in the file."""
    prefix.write_bytes(b"$HOME `id` * %s \\n\n")

    assert cat(prefix, b"x\n").stdout == b"$HOME `id` * %s \\n x\n"


def test_prefixed_cat_answers_each_line_and_reads_its_file_once(prefix: Path) -> None:
    """A typed line is answered at once, and a later change of the file changes nothing."""
    with typing_into(prefix) as process:
        process.enter("world")
        assert process.until("", on=process.stdout) == "hello world"
        prefix.write_bytes(b"goodbye")
        process.enter("world")
        assert process.until("", count=2, on=process.stdout) == "hello world"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_prefixed_cat_dies_of_signals(prefix: Path, number: signal.Signals) -> None:
    """A signal that asks for the end ends it, and its parent sees which signal it was."""
    with typing_into(prefix) as process:
        process.enter("world")
        process.until("hello world", on=process.stdout)

        assert process.end(number) == -number


@pytest.mark.parametrize("name", ["missing", "."])
def test_prefixed_cat_needs_its_file(tmp_path: Path, name: str) -> None:
    """A file that cannot be read is named in one line on stderr, with exit 1."""
    ended = cat(tmp_path / name, b"world\n")

    assert (ended.returncode, ended.stdout) == (1, b"")
    assert ended.stderr == b"prefixed-cat: cannot read " + os.fsencode(tmp_path / name) + b"\n"


def test_prefixed_cat_without_a_file_shows_its_usage() -> None:
    """Without its argument it says how it is called, with exit 2."""
    ended = subprocess.run([PREFIXED_CAT], capture_output=True, timeout=DEADLINE_S, check=False)

    assert (ended.returncode, ended.stdout) == (2, b"")
    assert ended.stderr == b"usage: prefixed-cat PREFIX_FILE\n"


def test_slowcheck_succeeds_where_the_port_is_open(listener: socket.socket) -> None:
    """A port that accepts a connection makes the check succeed, without a word."""
    ended = check(str(listener.getsockname()[1]), "0")

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_slowcheck_fails_where_the_port_is_closed() -> None:
    """A port that is taken but accepts nothing makes the check fail, without a word."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        ended = check(str(bound.getsockname()[1]), "0")

    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "")


def test_slowcheck_sleeps_first(listener: socket.socket) -> None:
    """It connects no sooner than after the seconds that it was given."""
    listener.settimeout(DEADLINE_S)
    began = time.monotonic()
    with Program(SLOWCHECK, str(listener.getsockname()[1]), "0.5") as process:
        listener.accept()[0].close()
        slept_s = time.monotonic() - began
        assert process.wait() == 0

    assert slept_s >= 0.5


@pytest.mark.parametrize(
    "arguments",
    ["", "2181", "2181 1 2", "x 1", "0 1", "65536 1", "2181 x", "2181 -1", "2181 nan", "2181 inf"],
)
def test_slowcheck_refuses_what_it_does_not_understand(arguments: str) -> None:
    """Wrong arguments get one line of usage and exit 2."""
    ended = check(*arguments.split())

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "usage: slowcheck PORT SECONDS\n"
