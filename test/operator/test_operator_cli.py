"""What `zkexecctl` itself answers: help, version, mistakes and ends, seen from outside.

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
from zkexec.operator import usage
from zkexec.operator.verbs import VERBS
from zkexec.operator.words import CONNECTION, Verb

ZKEXECCTL = (sys.executable, "-m", "zkexec.operator")

# What takes long to import, and is of no use to someone who asks for help.
HEAVY = (
    "kazoo _hashlib argparse asyncio dataclasses inspect logging random shutil socket ssl "
    "subprocess tempfile urllib.parse"
)

# Begins as the command does, with a verb that does what the first line of the script says.
IN_PLACE = """\
import sys, types
verb = types.ModuleType("zkexec.operator.status")
exec(sys.argv.pop(1), verb.__dict__)
sys.modules[verb.__name__] = verb
from zkexec.operator.cli import main
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


def with_verb(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `zkexecctl status` with a `run` of the test's own."""
    return subprocess.run(
        [sys.executable, "-c", IN_PLACE, script, "status"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )


def test_no_verb_at_all() -> None:
    """Without a verb there is one line, the usage, and exit status 2."""
    run = zkexecctl()

    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == f"zkexecctl: expected a verb, got none\n{usage.USAGE}{usage.HINT}"


def test_a_verb_that_does_not_exist() -> None:
    """A wrong verb gets one line with all verbs and the one that was perhaps meant."""
    run = zkexecctl("psuh", "/a=b")

    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (2, "", 1)
    assert run.stderr.startswith("zkexecctl: expected a verb (status, wait, push, ")
    assert run.stderr.endswith("), got 'psuh'; perhaps push was meant\n")


def test_a_mistake_is_one_line() -> None:
    """All mistakes of a command line are told in one line on stderr, with exit status 2."""
    run = zkexecctl("pause", "web", "more", "--cluster", "a,,b", "--by", "x\ny")

    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (2, "", 1)
    for part in ("pause: expected only NAME", "--reason:", "--cluster:", r"'x\ny' is not"):
        assert part in run.stderr


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"], ["help", "help"], ["-h", "x"]])
def test_the_overview(words: list[str]) -> None:
    """Help goes to stdout with exit status 0, whatever else is wrong."""
    run = zkexecctl(*words)

    assert (run.returncode, run.stdout, run.stderr) == (0, usage.overview(), "")


def test_the_overview_has_a_line_for_each_verb() -> None:
    """Every verb has one line of the overview, every option of the connection its row."""
    lines = usage.overview().splitlines()

    for verb in VERBS:
        assert f"    {verb.usage:<23}{verb.summary}" in lines
    for option in CONNECTION:
        assert any(f"--{option.name} {option.metavar}" in line for line in lines)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_the_help_of_a_verb(verb: Verb) -> None:
    """Each verb tells its arguments, its options, its exit statuses and examples."""
    text = usage.verb_help(verb)
    words = " ".join(text.split())

    for argument in verb.arguments:
        assert f"{argument.spelling} {argument.meaning}" in words
    for option in verb.options:
        spelled = f"--{option.name} {option.metavar}".rstrip()
        default = f" [{option.default}]" if option.default else ""
        assert f"{spelled} {option.meaning}{default} {option.variable}".rstrip() in words
    for status, meaning in verb.statuses:
        assert f" {status} {meaning}" in words
    for command, meaning in verb.examples:
        assert f"{command} {meaning}" in words


@pytest.mark.parametrize("words", [["push", "--help"], ["-h", "push", "/a"], ["help", "push"]])
def test_the_help_of_a_verb_is_asked_for(words: list[str]) -> None:
    """The help of a verb can be asked for before it, behind it and with the verb help."""
    push = next(verb for verb in VERBS if verb.name == "push")
    run = zkexecctl(*words)

    assert (run.returncode, run.stdout, run.stderr) == (0, usage.verb_help(push), "")


def test_help_of_no_verb() -> None:
    """The help of a verb that does not exist is a mistake."""
    run = zkexecctl("help", "frob")

    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("zkexecctl: expected a verb (")


def test_help_fits_on_a_terminal() -> None:
    """All help has lines of at most 80 columns, in ASCII."""
    for text in (usage.overview(), *map(usage.verb_help, VERBS)):
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
        "from zkexec.operator.cli import main;"
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

    assert "zkexec.operator.verbs" in imported
    assert not imported & set(HEAVY.split())


def test_a_verb_gets_its_call_and_gives_the_status() -> None:
    """The verb's module is given what was said, and its answer is the exit status."""
    run = with_verb("def run(call, console): console.out(call.verb); return 3")

    assert (run.returncode, run.stdout, run.stderr) == (3, "status\n", "")


def test_an_error_of_the_operator() -> None:
    """An OperatorError is one line on stderr, made harmless, and its own exit status."""
    run = with_verb(
        "from zkexec.operator.outcome import OperatorError\n"
        "def run(call, console): raise OperatorError('gone: \\x1b[2J\\n', 125)"
    )

    assert (run.returncode, run.stdout) == (125, "")
    assert run.stderr == "zkexecctl: gone: \\x1b[2J\\n\n"


CRASH = "def run(call, console): return {}['a\\nb']"


def test_an_unforeseen_error() -> None:
    """What nobody thought of is one line with exit status 125, and says how to see more."""
    run = with_verb(CRASH, ZKEXEC_DEBUG="")

    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (125, "", 1)
    assert run.stderr.startswith("zkexecctl: internal error: KeyError: ")
    assert "ZKEXEC_DEBUG=1" in run.stderr


def test_an_unforeseen_error_in_detail() -> None:
    """With ZKEXEC_DEBUG the place of the error is shown, too."""
    run = with_verb(CRASH, ZKEXEC_DEBUG="1")

    assert run.returncode == 125
    assert "Traceback" in run.stderr
    assert "in run" in run.stderr


def test_an_interrupt_is_silent() -> None:
    """Ctrl-C ends it by that signal, without a word."""
    run = with_verb("def run(call, console): raise KeyboardInterrupt")

    assert (run.returncode, run.stdout, run.stderr) == (-signal.SIGINT, "", "")


def test_an_early_interrupt_is_silent() -> None:
    """Ctrl-C while the command line is still read ends it by that signal, without a word."""
    script = (
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'zkexec.operator.usage':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from zkexec.operator.cli import main\n"
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


ENDLESS = "def run(call, console):\n    while True: console.out('x' * 1000)"


def redirected(redirection: str) -> subprocess.CompletedProcess[str]:
    """Run a verb that never stops writing, with its stdout redirected by a shell."""
    shell = ["bash", "-o", "pipefail", "-c", f'"$@" {redirection}', "bash"]
    return subprocess.run(
        [*shell, sys.executable, "-c", IN_PLACE, ENDLESS, "status"],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )


def test_nobody_reads_on() -> None:
    """Where the reader goes, as head does, it ends as other programs do: quietly, by SIGPIPE."""
    run = redirected("| head -n 1 >/dev/null")

    assert (run.returncode, run.stderr) == (128 + signal.SIGPIPE, "")


def test_stdout_is_full() -> None:
    """Where the output cannot be written that is told, with exit status 125."""
    run = redirected(">/dev/full")

    assert run.returncode == 125
    assert run.stderr == "zkexecctl: cannot write to stdout: No space left on device\n"


WRITES_BYTES = "def run(call, console): console.write(b'x' * 10); return 0"
WRITES_A_LINE = "def run(call, console): console.out('x'); return 0"

OUTPUTS = {
    "help": [*ZKEXECCTL, "--help"],
    "help of a verb": [*ZKEXECCTL, "help", "status"],
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


def test_a_mistake_that_cannot_be_told() -> None:
    """Where stderr is full the exit status still tells of a mistake."""
    assert run_redirected([*ZKEXECCTL, "frob"], STDERR_FULL).returncode == 2


def test_streams_that_are_closed() -> None:
    """Without stdout and stderr the exit status alone tells."""
    run = subprocess.run(
        ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *ZKEXECCTL, "frob"],
        check=False,
        timeout=DEADLINE_S,
    )

    assert run.returncode == 2
