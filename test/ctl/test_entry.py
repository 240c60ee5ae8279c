"""Help, version, mistakes and exits of zkexecctl, seen from outside.

Every test runs the command as a process of its own; none of them needs a cluster.
"""

import os
import signal
import subprocess
import sys

import pytest

from support.redirection import ALL_FULL, CLOSED, FULL, STDERR_FULL, UNREAD, run_redirected
from support.waiting import DEADLINE_S
from zkexec import __version__
from zkexec.ctl import subcommand_help
from zkexec.ctl.subcommand import CONNECTION, Subcommand
from zkexec.ctl.subcommands import SUBCOMMAND_BY_NAME, SUBCOMMANDS

ZKEXECCTL = (sys.executable, "-m", "zkexec.ctl")

# What takes long to import, and is not needed for help.
HEAVY = (
    "kazoo _hashlib argparse asyncio dataclasses inspect logging random shutil socket ssl "
    "subprocess tempfile urllib.parse"
)

# Starts as zkexecctl does, with a script in place of the subcommand's module.
IN_PLACE = """\
import sys, types
subcommand = types.ModuleType("zkexec.ctl.command.status")
exec(sys.argv.pop(1), subcommand.__dict__)
sys.modules[subcommand.__name__] = subcommand
from zkexec.ctl.entry import main
main()
"""


def zkexecctl(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run zkexecctl to its end."""
    return subprocess.run(
        [*ZKEXECCTL, *words],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )


def with_run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `zkexecctl status` with a `run` of the test's own."""
    return subprocess.run(
        [sys.executable, "-c", IN_PLACE, script, "status"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )


def test_no_subcommand() -> None:
    """Without a subcommand there is one line that names what to type, and exit status 2."""
    run = zkexecctl()

    line = "no subcommand is given: write zkexecctl SUBCOMMAND (zkexecctl --help lists all)"
    assert (run.returncode, run.stdout, run.stderr) == (2, "", f"zkexecctl: {line}\n")


@pytest.mark.parametrize(
    ("name", "meant"), [("revert", "undo"), ("get", "show"), ("ls", "status"), ("rm", "delete")]
)
def test_a_subcommand_by_another_name(name: str, meant: str) -> None:
    """A name that other programs have for a subcommand gets this subcommand as the suggestion."""
    run = zkexecctl(name, "/a")

    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == f"zkexecctl: unknown subcommand '{name}' (did you mean {meant}?)\n"


def test_an_unknown_variable_is_a_warning() -> None:
    """A misspelt variable is named with the nearest one, and the subcommand runs all the same."""
    words = ("status", "--cluster=127.0.0.1:1", "--connect-timeout=0.1")
    right, wrong = zkexecctl(*words), zkexecctl(*words, ZKEXEC_CLUSTR="zk1:2181")
    warning = "zkexecctl: warning: unknown variable ZKEXEC_CLUSTR (did you mean ZKEXEC_CLUSTER?)\n"

    of_its_own = zkexecctl(*words, ZKEXEC_DEBGU="1").stderr
    assert "unknown variable ZKEXEC_DEBGU (did you mean ZKEXEC_DEBUG?)" in of_its_own
    assert right.stderr.count("\n") >= 1
    assert (wrong.returncode, wrong.stderr) == (right.returncode, warning + right.stderr)


def test_a_subcommand_that_does_not_exist() -> None:
    """A mistyped subcommand gets one line with the nearest one, any other one a list of all."""
    run = zkexecctl("psuh", "/a=b")

    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (2, "", 1)
    assert run.stderr == "zkexecctl: unknown subcommand 'psuh' (did you mean push?)\n"
    assert zkexecctl("xyz").stderr.startswith(
        "zkexecctl: unknown subcommand 'xyz': choose one of status, wait, "
    )


def test_a_mistake_is_one_line() -> None:
    """All mistakes of a command line are one line on stderr, with exit status 2."""
    run = zkexecctl("pause", "web", "more", "--cluster", "a,,b", "--by", "x\ny")

    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (2, "", 1)
    for part in (
        "unexpected argument 'more': usage is zkexecctl pause NAME",
        "pause needs --reason TEXT",
        "--cluster:",
        r"'x\ny' is not",
    ):
        assert part in run.stderr


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"], ["help", "help"], ["-h", "x"]])
def test_the_overview(words: list[str]) -> None:
    """Help goes to stdout with exit status 0, whatever else is wrong."""
    run = zkexecctl(*words)

    assert (run.returncode, run.stdout, run.stderr) == (0, subcommand_help.overview(), "")


def test_the_usage_has_the_options_that_are_needed() -> None:
    """A pause needs a reason, and its usage shows how this is written."""
    assert zkexecctl("pause", "--help").stdout.startswith(
        "Usage: zkexecctl pause NAME --reason TEXT "
    )


def test_the_overview_has_a_line_for_each_subcommand() -> None:
    """Every subcommand has one line of the overview, every option of the connection its row."""
    lines = subcommand_help.overview().splitlines()

    for subcommand in SUBCOMMANDS:
        assert f"    {subcommand.synopsis:<23}{subcommand.summary}" in lines
    for option in CONNECTION:
        assert any(f"--{option.name} {option.metavar}" in line for line in lines)


@pytest.mark.parametrize(
    ("name", "spelling"),
    [("push", "--hold[=N[%]]"), ("undo", "--hold[=N[%]]"), ("approve", "--hold=N[%]")],
)
def test_the_help_shows_how_a_value_is_attached(name: str, spelling: str) -> None:
    """A value that can be left out is in brackets, with its equals sign."""
    assert f" {spelling} " in subcommand_help.subcommand_help(SUBCOMMAND_BY_NAME[name])


@pytest.mark.parametrize("subcommand", SUBCOMMANDS, ids=lambda subcommand: subcommand.name)
def test_the_help_of_a_subcommand(subcommand: Subcommand) -> None:
    """The help of a subcommand has its arguments, options, exit statuses and examples."""
    text = subcommand_help.subcommand_help(subcommand)
    words = " ".join(text.split())

    for argument in subcommand.arguments:
        assert f"{argument.spelling} {argument.meaning}" in words
    for option in subcommand.options:
        default = f" [{option.default}]" if option.default else ""
        assert f"{option.spelling} {option.meaning}{default} {option.variable}".rstrip() in words
    for status, meaning in subcommand.statuses:
        assert f" {status} {meaning}" in words
    for command, meaning in subcommand.examples:
        assert f"{command} {meaning}" in words


@pytest.mark.parametrize("words", [["push", "--help"], ["-h", "push", "/a"], ["help", "push"]])
def test_the_help_of_a_subcommand_is_found(words: list[str]) -> None:
    """The help of a subcommand is shown by --help before it or behind it, and by `help`."""
    push = next(subcommand for subcommand in SUBCOMMANDS if subcommand.name == "push")
    run = zkexecctl(*words)

    assert (run.returncode, run.stdout, run.stderr) == (
        0,
        subcommand_help.subcommand_help(push),
        "",
    )


def test_help_of_no_subcommand() -> None:
    """The help of a subcommand that does not exist is a mistake."""
    run = zkexecctl("help", "frob")

    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("zkexecctl: unknown subcommand 'frob': choose one of ")


def test_help_fits_on_a_terminal() -> None:
    """All help has lines of at most 80 columns, in ASCII."""
    for text in (subcommand_help.overview(), *map(subcommand_help.subcommand_help, SUBCOMMANDS)):
        assert text.isascii()
        assert max(map(len, text.splitlines())) <= 80
        assert all(line == line.rstrip() for line in text.splitlines())


def test_version() -> None:
    """The version is one line on stdout."""
    run = zkexecctl("--version")

    assert (run.returncode, run.stdout, run.stderr) == (0, f"zkexecctl {__version__}\n", "")


@pytest.mark.parametrize("words", [["--help"], ["push", "-h"], ["--version"], [], ["psuh"]])
def test_answers_need_nothing_heavy(words: list[str]) -> None:
    """Help and mistakes are answered without importing kazoo or anything else that takes long."""
    script = (
        "import atexit, os, sys;"
        "atexit.register(lambda: os.write(2, ' '.join(['', 'imported:', *sys.modules]).encode()));"
        "from zkexec.ctl.entry import main;"
        "main()"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    imported = set(run.stderr.partition(" imported: ")[2].split())

    assert "zkexec.ctl.subcommands" in imported
    assert not imported & set(HEAVY.split())


def test_a_subcommand_gets_its_invocation_and_returns_the_status() -> None:
    """The subcommand's module gets the invocation, and its result is the exit status."""
    run = with_run("def run(invocation, console): console.out(invocation.subcommand); return 3")

    assert (run.returncode, run.stdout, run.stderr) == (3, "status\n", "")


def test_an_error_of_a_subcommand() -> None:
    """A SubcommandError is one printable line on stderr, and its own exit status."""
    run = with_run(
        "from zkexec.ctl.exit_status import SubcommandError\n"
        "def run(invocation, console): raise SubcommandError('gone: \\x1b[2J\\n', 125)"
    )

    assert (run.returncode, run.stdout) == (125, "")
    assert run.stderr == "zkexecctl: gone: \\x1b[2J\\n\n"


CRASH = "def run(invocation, console): return {}['a\\nb']"


def test_an_unforeseen_error() -> None:
    """An internal error is one line with exit status 125, and how to see more."""
    run = with_run(CRASH, ZKEXEC_DEBUG="")

    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (125, "", 1)
    assert run.stderr.startswith("zkexecctl: internal error: KeyError: ")
    assert "ZKEXEC_DEBUG=1" in run.stderr


def test_an_unforeseen_error_in_detail() -> None:
    """With ZKEXEC_DEBUG the traceback is shown, too."""
    run = with_run(CRASH, ZKEXEC_DEBUG="1")

    assert run.returncode == 125
    assert "Traceback" in run.stderr
    assert "in run" in run.stderr


def test_an_interrupt_is_silent() -> None:
    """Ctrl-C ends it by that signal, without a message."""
    run = with_run("def run(invocation, console): raise KeyboardInterrupt")

    assert (run.returncode, run.stdout, run.stderr) == (-signal.SIGINT, "", "")


def test_an_early_interrupt_is_silent() -> None:
    """Ctrl-C while the command line is read ends it by that signal, without a message."""
    script = (
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'zkexec.ctl.subcommand_help':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from zkexec.ctl.entry import main\n"
        "main()\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, "--help"],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )

    assert (run.returncode, run.stdout, run.stderr) == (-signal.SIGINT, "", "")


ENDLESS = "def run(invocation, console):\n    while True: console.out('x' * 1000)"


def redirected(redirection: str) -> subprocess.CompletedProcess[str]:
    """Run a subcommand that never stops writing, with its stdout redirected by a shell."""
    shell = ["bash", "-o", "pipefail", "-c", f'"$@" {redirection}', "bash"]
    return subprocess.run(
        [*shell, sys.executable, "-c", IN_PLACE, ENDLESS, "status"],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )


def test_the_reader_exits() -> None:
    """If the reader exits, as head does, it ends as other programs do: by SIGPIPE, silently."""
    run = redirected("| head -n 1 >/dev/null")

    assert (run.returncode, run.stderr) == (128 + signal.SIGPIPE, "")


def test_stdout_is_full() -> None:
    """Output that cannot be written is an error with exit status 125."""
    run = redirected(">/dev/full")

    assert run.returncode == 125
    assert run.stderr == "zkexecctl: cannot write to stdout: No space left on device\n"


WRITES_BYTES = "def run(invocation, console): console.write(b'x' * 10); return 0"
WRITES_A_LINE = "def run(invocation, console): console.out('x'); return 0"

OUTPUTS = {
    "help": [*ZKEXECCTL, "--help"],
    "help of a subcommand": [*ZKEXECCTL, "help", "status"],
    "version": [*ZKEXECCTL, "--version"],
    "a line": [sys.executable, "-c", IN_PLACE, WRITES_A_LINE, "status"],
    "bytes": [sys.executable, "-c", IN_PLACE, WRITES_BYTES, "status"],
}


@pytest.mark.parametrize("words", OUTPUTS.values(), ids=OUTPUTS)
@pytest.mark.parametrize(
    ("redirection", "status", "message"),
    [
        (FULL, 125, "zkexecctl: cannot write to stdout: No space left on device\n"),
        (ALL_FULL, 125, ""),
        (UNREAD, 128 + signal.SIGPIPE, ""),
        (CLOSED, 0, ""),
    ],
)
def test_what_cannot_be_written_is_one_line(
    words: list[str], redirection: str, status: int, message: str
) -> None:
    """A full disk is named in one line, with status 125; Python adds nothing when it exits."""
    run = run_redirected(words, redirection)

    assert (run.returncode, run.stderr) == (status, message)


def test_a_mistake_that_cannot_be_shown() -> None:
    """If stderr is full, the exit status still shows a mistake."""
    assert run_redirected([*ZKEXECCTL, "frob"], STDERR_FULL).returncode == 2


def test_streams_that_are_closed() -> None:
    """Without stdout and stderr there is still the exit status."""
    run = subprocess.run(
        ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *ZKEXECCTL, "frob"],
        check=False,
        timeout=DEADLINE_S,
    )

    assert run.returncode == 2
