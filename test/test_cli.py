"""What the command itself answers: help, version and mistakes, seen from outside.

Every test runs `python -m zkexec` as a process of its own; none of them needs a cluster.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.redirection import ALL_FULL, CLOSED, FULL, UNREAD, run_redirected
from support.waiting import DEADLINE_S
from zkexec import __version__
from zkexec.cli.options import OPTIONS, Option
from zkexec.process.compiled_starter import START

ZKEXEC = (sys.executable, "-m", "zkexec")

# What takes long to import, and is of no use to someone who asks for help.
HEAVY = (
    "kazoo _hashlib argparse asyncio dataclasses inspect logging random shutil socket ssl "
    "subprocess tempfile typing urllib.parse"
)

# What takes long to import beside that, and is of no use to a command without inputs and steps.
HEAVY_AT_START = (
    "collections collections.abc contextlib ctypes enum functools json operator re selectors "
    "signal types zkexec.files.check_copies zkexec.files.installer zkexec.files.staged_folder "
    "zkexec.cli.attribute_options zkexec.cli.target_clashes zkexec.cli.input_kinds "
    "zkexec.group.store zkexec.process.step_output zkexec.runtime.stage_only "
    "zkexec.runtime.step_runner"
)

NO_COMMAND = """\
zkexec: --exec: no command is given, neither here nor after --
Usage: zkexec [options]
       zkexec [options] -- COMMAND [ARGUMENT...]
Try 'zkexec --help' for all options.
"""


def zkexec(
    *words: str, environment: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run zkexec to its end."""
    return subprocess.run(
        [*ZKEXEC, *words],
        env=os.environ | (environment or {}),
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )


def test_no_command_at_all() -> None:
    """Without a command there is one line that names --exec, the usage, and exit status 2."""
    run = zkexec("--silent")

    assert (run.returncode, run.stdout, run.stderr) == (2, "", NO_COMMAND)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["--health-interval", "soon"],
            "--health-interval: 'soon' is not a number of seconds, such as 30 or 0.5",
        ),
        (
            ["--kill-timeout", "-1"],
            "--kill-timeout: '-1' is not a number of seconds, such as 30 or 0.5",
        ),
        (
            ["--kill-signal", "HUPP"],
            "--kill-signal: 'HUPP' is not a signal: write a name or a number, such as TERM or 15",
        ),
        (["-c", "a,,b"], "--cluster: 'a,,b' has an empty host: write HOST:PORT,..."),
        (["-m", "x=a"], "--mirror: 'x=a' needs a znode path that starts with /"),
        (
            ["-m", "folder=/a"],
            (
                "--mirror: 'folder=/a' names a directory: write the LOCAL_PATH of a file, or "
                "DIR/=ZK_PATH/ for a tree"
            ),
        ),
        (["stray"], "unexpected argument 'stray': the command goes after --"),
        (["--exec", "echo 'a\nb"], "--exec: \"echo 'a\\nb\" has a ' quote that is not closed"),
        (
            ["-i", "x", "--settle", "\udcff"],
            (
                "--settle: '\\udcff' is not a number of seconds, such as 30 or 0.5; "
                "--health-interval: 'x' is not a number of seconds, such as 30 or 0.5"
            ),
        ),
    ],
)
def test_a_mistake_is_one_line(words: list[str], line: str, tmp_path: Path) -> None:
    """A mistake gets one line on stderr and exit status 2; nothing is started or written."""
    (tmp_path / "folder").mkdir()
    command = [] if "--exec" in words else ["--exec", "touch started"]
    run = zkexec("-m", "new/deep=/x", *command, *words, cwd=tmp_path)

    assert (run.returncode, run.stdout, run.stderr) == (2, "", f"zkexec: {line}\n")
    assert os.listdir(tmp_path) == ["folder"]


def test_duplicate_targets_are_one_line(tmp_path: Path) -> None:
    """Two spellings of one target are told in one line that shows both."""
    run = zkexec("-e", "true", "-m", "x=/a", "-m", "./y/../x=/b", cwd=tmp_path)

    assert run.returncode == 2
    assert run.stderr == (
        f"zkexec: --mirror: '{tmp_path}/x' and '{tmp_path}/y/../x' are the same file: "
        "write another path for one of them\n"
    )


def test_a_mistake_in_the_environment_is_told_by_its_variable() -> None:
    """A wrong variable is told by its own name."""
    run = zkexec("-e", "true", environment={"ZKEXEC_SETTLE": "x"})

    assert run.returncode == 2
    assert run.stderr == (
        "zkexec: ZKEXEC_SETTLE: 'x' is not a number of seconds, such as 30 or 0.5\n"
    )


def test_a_mistake_without_stderr() -> None:
    """Where stderr is closed, the exit status alone tells of a mistake."""
    run = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", *ZKEXEC, "-x"],
        stdout=subprocess.PIPE,
        check=False,
        timeout=DEADLINE_S,
    )

    assert (run.returncode, run.stdout) == (2, b"")


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["-vh", "stray"], ["-h", "-i", "x"]])
def test_help(words: list[str]) -> None:
    """Help goes to stdout with exit status 0, whatever else is on the command line."""
    run = zkexec(*words)

    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("Usage: zkexec [options]\n")


def test_help_of_the_command_is_not_ours() -> None:
    """What stands behind -- is never taken for an option of zkexec."""
    run = zkexec("-x", "--", "ls", "--help")

    assert (run.returncode, run.stdout) == (2, "")


def rows() -> list[str]:
    """The rows of the table in the help, each with its continued lines joined."""
    table: list[str] = []
    for line in zkexec("--help").stdout.splitlines():
        if line.startswith("    ") and line.strip().startswith("-"):
            table.append(line)
        elif line.startswith(" " * 37):
            table[-1] += " " + line.strip()
    return table


def test_help_is_the_table_of_options() -> None:
    """Each option has its row: spelling, meaning, default and variable, in the table's order."""

    def row(option: Option) -> str:
        short = f"-{option.short}, " if option.short else "    "
        spelling = f"    {short}--{option.name} {option.metavar}".rstrip()
        default = f"[{option.default}]" if option.default else ""
        words = [option.meaning, default, option.variable]
        return f"{spelling:<36} {' '.join(word for word in words if word)}"

    assert rows() == [row(option) for option in OPTIONS]


def test_help_fits_on_a_terminal() -> None:
    """The help has lines of at most 80 columns, in ASCII, and names the exit statuses."""
    text = zkexec("--help").stdout

    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 80
    assert all(line == line.rstrip() for line in text.splitlines())
    for status in ("\n    2 ", "\n    125 ", "\n    126 ", "\n    127 "):
        assert status in text


@pytest.mark.parametrize("question", ["--help", "--version"])
@pytest.mark.parametrize(
    ("redirection", "status", "message"),
    [
        (FULL, 125, "zkexec: cannot write to stdout: No space left on device\n"),
        (ALL_FULL, 125, ""),
        (UNREAD, 128 + signal.SIGPIPE, ""),
        (CLOSED, 0, ""),
    ],
)
def test_the_answer_cannot_be_written(
    question: str, redirection: str, status: int, message: str
) -> None:
    """A full disk is named in one line; a reader that is gone, or unwanted, needs none."""
    run = run_redirected([*ZKEXEC, question], redirection)

    assert (run.returncode, run.stderr) == (status, message)


def test_version() -> None:
    """The version is one line on stdout, with whether there is a compiled starter."""
    run = zkexec("--version")
    starter = "compiled starter" if START else "no compiled starter"

    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == f"zkexec {__version__} ({starter})\n"


@pytest.mark.parametrize("words", [["--help"], ["--version"], [], ["-e", "a", "-i", "soon"]])
def test_answers_need_nothing_heavy(words: list[str]) -> None:
    """Help and mistakes are answered without importing kazoo or anything else that takes long."""
    script = (
        "import atexit, os, sys;"
        "atexit.register(lambda: os.write(2, ' '.join(['', 'imported:', *sys.modules]).encode()));"
        "from zkexec.main import main;"
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

    assert "zkexec.cli.options" in imported
    assert not imported & set(HEAVY.split())
    assert not {name for name in imported if name.startswith("kazoo")}


def test_a_command_starts_without_anything_heavy() -> None:
    """Nothing that takes long to import delays the start of the command."""
    script = "from zkexec.main import main; main()"
    run = subprocess.run(
        [
            *(sys.executable, "-X", "importtime", "-c", script),
            *("--silent", "-c", "127.0.0.1:1", "--", "sh", "-c", "echo started >&2"),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_S,
    )
    before_start = run.stderr.partition("started\n")[0]
    imported = {line.rpartition("|")[2].strip() for line in before_start.splitlines()}

    assert {"zkexec.zookeeper.client", "zkexec.process.spawn", "_socket"} <= imported
    assert not imported & {*HEAVY.split(), *HEAVY_AT_START.split()}


def test_an_early_interrupt_is_silent() -> None:
    """Ctrl-C before zkexec is set up ends it by that signal, without a traceback."""
    script = (
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'zkexec.process.inheritance':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from zkexec.main import main\n"
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
