"""`Program`, with which all other tests start real processes: waiting, typing, ending, failing."""

import os
import sys
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM
from subprocess import DEVNULL, PIPE, STDOUT
from typing import Any

import pytest

from support.interactive_shell import InteractiveShell
from support.processes import is_alive
from support.program import Program
from support.screen import Screen
from support.terminal import Terminal
from support.waiting import until

SHORT_S = 0.3


def sh(script: str, **options: Any) -> Program:
    """Start a shell script."""
    return Program("sh", "-c", script, **options)


def test_lines_are_found_by_how_many_there_are() -> None:
    """`until` returns the line with the given count, whatever was waited for before."""
    with sh("echo a1 >&2; echo b >&2; echo a2 >&2; echo other; exec sleep 1000") as program:
        assert program.until("^a", count=2) == "a2"
        assert program.until("^a") == "a1"
        assert program.until("o", on=program.stdout) == "other"


def test_a_condition_is_polled_for_its_value() -> None:
    """`until` returns what a condition comes to."""
    with sh("echo one; echo two") as program:
        assert program.until(lambda: program.stdout.lines[1:], "two lines") == ["two"]


def test_a_dialogue_goes_forward() -> None:
    """`expect` passes over what it found, also within a line and across lines."""
    with sh("printf 'ready\\nready\\nand go' >&2; exec sleep 1000") as program:
        program.expect("ready")
        assert program.expect(r"ready\nand (\w+)")[1] == "go"


def test_all_output_is_in_the_failure() -> None:
    """A wait that is in vain shows what it waited for and all that the program wrote."""
    shown = r"(?s)never.*is running.*to stdout.*to stderr"
    with sh("echo to stdout; echo to stderr >&2; exec sleep 1000") as program:
        program.until("to stdout", on=program.stdout)
        program.until("to stderr")
        with pytest.raises(AssertionError, match=shown):
            program.until("never", deadline_s=SHORT_S)


def test_the_end_of_the_output_ends_the_wait() -> None:
    """Where nothing more can come, a wait fails at once and shows how the program ended."""
    with sh("echo done >&2; exit 3") as program:
        program.wait()
        with pytest.raises(AssertionError, match=r"(?s)ended without.*ended with 3.*done"):
            program.until("never")


def test_what_was_written_before_the_end_is_collected() -> None:
    """After `wait` all output of the program is there, also if another process keeps it open."""
    with sh("seq 100000; sleep 1000 & echo $! >&2; exit 7") as program:
        assert program.wait() == 7
        assert len(program.stdout.lines) == 100_000
        assert program.stdout.is_open
        os.kill(int(program.until(r"^\d+$")), SIGKILL)


def test_a_last_line_without_its_end_is_a_line() -> None:
    """What comes last counts as a line as soon as nothing can follow it."""
    with sh("printf 'one\\ntwo'") as program:
        program.wait()
        program.until(lambda: not program.stdout.is_open, "the end of the output")
        assert program.stdout.lines == ["one", "two"]


def test_typing_into_a_pipe() -> None:
    """Text is sent to stdin, and the end of the input ends the program."""
    with Program("cat", stdin=PIPE) as program:
        program.enter("hello")
        assert program.until("", on=program.stdout) == "hello"
        program.send(b"\xff")
        program.close_stdin()
        assert program.wait() == 0
        assert program.stdout.raw == b"hello\n\xff"


def test_outputs_that_go_elsewhere(tmp_path: Path) -> None:
    """What is redirected is not collected; stderr can go where stdout goes."""
    with (tmp_path / "out").open("wb") as out:
        program = sh("echo out; echo err >&2", stdout=out, stderr=DEVNULL)
    with program:
        assert program.wait() == 0
    assert (program.stdout.raw, program.stderr.raw) == (b"", b"")
    assert (tmp_path / "out").read_text() == "out\n"

    with sh("echo out; echo err >&2", stderr=STDOUT) as program:
        assert program.until("err") == "err"
        assert program.stdout.lines == ["out", "err"]


def test_signals_and_statuses() -> None:
    """A signal reaches the program alone, and the status names the one that killed it."""
    with sh("trap 'exit 4' TERM; echo up >&2; while :; do sleep 0.05; done") as program:
        program.until("up")
        assert program.is_running()
        assert program.end() == 4
    with Program("sleep", "1000") as program:
        assert program.end(SIGINT) == -SIGINT
        assert program.status == -SIGINT


def test_a_reader_that_goes_away() -> None:
    """Closing an output is what a reader does that goes away."""
    with Program("yes") as program:
        program.until("y", on=program.stdout)
        program.stdout.close()
        assert program.wait() == -13


def test_nothing_is_left_of_a_failed_test() -> None:
    """The program and its process group are gone behind `with`, also when the test fails."""
    program = sh("trap '' TERM INT HUP; sleep 1000 & echo $! >&2; wait")
    child = int(program.until(r"^\d+$"))
    assert is_alive(child)
    with pytest.raises(RuntimeError), program:
        raise RuntimeError
    assert program.status == -SIGKILL
    until(lambda: not is_alive(child), "the end of the child")


def test_a_program_on_a_terminal() -> None:
    """It leads the session of a terminal with this size and kind, and keys reach it."""
    script = "stty size; echo $TERM; tty; exec sleep 1000"
    with sh(script, terminal=Terminal(33, 77, "xterm")) as program:
        program.expect(r"33 77\r\nxterm\r\n/dev/")
        program.until(lambda: program.terminal.foreground == program.pid, "it is in front")
        program.send("\x03")
        assert program.wait() == -SIGINT


def test_a_terminal_that_is_gone() -> None:
    """A hang-up ends what runs on the terminal."""
    with sh("echo up; exec sleep 1000", terminal=Terminal()) as program:
        program.expect("up")
        program.hang_up()
        assert program.wait() == -1


def test_a_shell_is_typed_into(tmp_path: Path) -> None:
    """A command line gives what it printed, without the echo and the prompt."""
    with InteractiveShell(tmp_path, {"PATH": os.environ["PATH"]}) as shell:
        assert shell.command("echo one; echo two") == "one\ntwo\n"
        assert shell.command("true") == ""
        shell.enter("sh -c 'echo up; exec sleep 1000'")
        shell.expect(r"\nup\r\n")
        assert shell.terminal.foreground != shell.pid
        shell.send("\x03")
        shell.prompt()
        assert shell.command("echo $?") == "130\n"


def test_a_screen_that_is_drawn_on() -> None:
    """What the terminal shows is found by line, and a new size is an empty screen."""
    draw = r"import time; print('\033[2;1Hold\033[2;1Hnew \033[?25l', flush=True); time.sleep(1000)"
    with Program(sys.executable, "-c", draw, terminal=Terminal(5, 20, "xterm")) as program:
        screen = Screen(program)
        assert screen.shows("^n[ew]+") == "new"
        assert screen.lines == ["", "new"]
        assert not screen.cursor_is_shown
        screen.resize(6, 30)
        assert screen.lines == []
        assert program.end(SIGTERM) == -SIGTERM
