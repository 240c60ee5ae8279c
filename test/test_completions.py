"""Completions, as real shells take them: a line is typed, then Tab, then Return.

The rules of this file: the command that is completed is a function which shows the words that it
gets, so that what counts is what the user would have run.  A line that stays as it is has no
answer, or more than one.
"""

import os
import shlex
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from support.interactive_shell import InteractiveShell
from zkexec.cli.options import OPTIONS, Option
from zkexec.ctl.subcommand import CONNECTION, QUESTIONS, Subcommand
from zkexec.ctl.subcommands import SUBCOMMANDS

SHARE = Path(__file__).resolve().parent.parent / "share"
BASH = SHARE / "bash-completion" / "completions"
ZSH = SHARE / "zsh" / "site-functions"
FISH = SHARE / "fish" / "vendor_completions.d"

SHOW = "; ".join(
    f"{name}() {{ printf '<%s>' \"$@\"; echo ' shown'; }}" for name in ("zkexec", "zkexecctl")
)

# What is typed before Tab, and what the last word becomes.
LINES = [
    ("zkexecctl hist", "history"),
    ("zkexecctl help und", "undo"),
    ("zkexecctl --conn", "--connect-timeout"),
    ("zkexecctl -c zk1 --tls-ke", "--tls-key"),
    ("zkexecctl -c push wai", "wait"),
    ("zkexecctl status --unt", "--until-done"),
    ("zkexecctl status web --unt", "--until-done"),
    ("zkexecctl pause --forc", "--forc"),
    ("zkexecctl forget --forc", "--force"),
    ("zkexecctl push --acl creator+", "creator+read"),
    ("zkexecctl push --lock web --undo-on", "--undo-on-failure"),
    ("zkexecctl push --hold /a=uni", "/a=unique-file"),
    ("zkexecctl push --hold=5 /a=uni", "/a=unique-file"),
    ("zkexecctl appr", "approve"),
    ("zkexecctl approve web --hol", "--hold"),
    ("zkexecctl approve web --hold=5 --reas", "--reason"),
    ("zkexecctl push /a=uni", "/a=unique-file"),
    ("zkexecctl push /a=x /b=uni", "/b=unique-file"),
    ("zkexecctl push --lock web /a=uni", "/a=unique-file"),
    ("zkexecctl pull /a/=uni", "/a/=unique-file"),
    ("zkexecctl push --message uni", "uni"),
    ("zkexecctl status --tls-cert uni", "unique-file"),
    ("zkexecctl --auth=digest:@uni", "--auth=digest:@unique-file"),
    ("zkexecctl dev --ens", "--ensemble"),
    ("zkexecctl dev --cluste", "--cluste"),
    ("zkexec --start cac", "cached"),
    ("zkexec --start=cac", "--start=cached"),
    ("zkexec --health-d", "--health-delay"),
    ("zkexec --tls-ca uni", "unique-file"),
    ("zkexec --auth digest:@uni", "digest:@unique-file"),
    ("zkexec --auth sas", "sasl:@"),
    ("zkexec --template x=@uni", "x=@unique-file"),
    ("zkexec --template=x=@uni", "--template=x=@unique-file"),
    ("zkexec --template x=@fold", "x=@folder/"),
    ("zkexec --template x=@folder/de", "x=@folder/deep-file"),
    ("zkexec --auth digest:@fold", "digest:@folder/"),
    ("zkexecctl web --token @uni", "@unique-file"),
    ("zkexecctl web --token=@uni", "--token=@unique-file"),
    ("zkexecctl web --token @folder/de", "@folder/deep-file"),
    ("zkexecctl web --token @fold", "@folder/"),
    ("zkexecctl push /a=fold", "/a=folder/"),
    ("zkexec -v -- cat uni", "unique-file"),
    ("zkexec -- cat --start cac", "cac"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one file and one folder, in which the shells run."""
    path = tmp_path_factory.mktemp("completions")
    (path / "unique-file").touch()
    (path / "folder").mkdir()
    (path / "folder" / "deep-file").touch()
    return path


def environment(folder: Path) -> dict[str, str]:
    """What a shell without any settings of its user's finds."""
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "INPUTRC": "/dev/null"}


@pytest.fixture(scope="module")
def bash(folder: Path) -> Iterator[InteractiveShell]:
    """A bash that knows the completions."""
    words = ("bash", "--norc", "--noprofile", "-i")
    with InteractiveShell(folder, environment(folder), words) as shell:
        for name in ("zkexec", "zkexecctl"):
            shell.command(f". {shlex.quote(str(BASH / name))}")
        shell.command(SHOW)
        yield shell


@pytest.fixture(scope="module")
def zsh(folder: Path) -> Iterator[InteractiveShell]:
    """A zsh that knows the completions."""
    with InteractiveShell(folder, environment(folder), ("zsh", "-f", "-i")) as shell:
        shell.command(f"fpath=({shlex.quote(str(ZSH))} $fpath)")
        shell.command("autoload -Uz compinit && compinit -u -D")
        shell.command(SHOW)
        yield shell


def fish(lines: Iterable[str], folder: Path) -> list[list[str]]:
    """What a fish that knows the completions offers for each line."""
    sources = [f"source {shlex.quote(str(path))}" for path in sorted(FISH.iterdir())]
    questions = [f"complete -C {shlex.quote(line)}; echo :" for line in lines]
    run = subprocess.run(
        ["fish", "--no-config", "-c", "\n".join([*sources, *questions])],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert run.stderr == ""
    answers = f"\n{run.stdout}".split("\n:")[:-1]
    return [[each.partition("\t")[0] for each in answer.splitlines() if each] for answer in answers]


def typed(shell: InteractiveShell, line: str) -> str:
    """The words that the command gets, each in <>, when Tab is pressed behind the line."""
    shell.send(f"{line}\t\r")
    words: str = shell.expect(r"\n((?:<[^\n>]*>)+) shown")[1]
    shell.prompt()
    return words


def completed(line: str, last: str) -> str:
    """The words of a line with another last word, as `typed` shows them."""
    return "".join(f"<{word}>" for word in [*line.split()[1:-1], last])


@pytest.mark.parametrize(("line", "last"), LINES)
def test_bash_completes(line: str, last: str, bash: InteractiveShell) -> None:
    """In bash, Tab completes subcommands, options, choices and files, and nothing else."""
    assert typed(bash, line) == completed(line, last)


@pytest.mark.parametrize(("line", "last"), LINES)
def test_zsh_completes(line: str, last: str, zsh: InteractiveShell) -> None:
    """In zsh, Tab completes subcommands, options, choices and files, and nothing else."""
    # It takes back the slash of a folder if nothing follows.
    assert typed(zsh, line) == completed(line, last.removesuffix("/"))


def test_fish_completes(folder: Path) -> None:
    """In fish, each line has that one answer, or none where nothing is to be completed."""
    found = fish([line for line, _ in LINES], folder)

    assert found == [[] if line.endswith(last) else [last] for line, last in LINES]


def long_names(options: Iterable[Option]) -> set[str]:
    """The long spellings of options."""
    return {f"--{option.name}" for option in options}


def options_of(subcommand: Subcommand) -> set[str]:
    """The long spellings of all that may stand with a subcommand."""
    common = CONNECTION if subcommand.needs_cluster else ()
    return long_names((*subcommand.options, *common, *QUESTIONS))


EXPECTED = [
    ("zkexec --", long_names(OPTIONS) | {"--"}),
    ("zkexecctl --", long_names((*CONNECTION, *QUESTIONS))),
    ("zkexecctl ", {subcommand.name for subcommand in SUBCOMMANDS} | {"help"}),
    ("zkexecctl help ", {subcommand.name for subcommand in SUBCOMMANDS}),
    *((f"zkexecctl {subcommand.name} --", options_of(subcommand)) for subcommand in SUBCOMMANDS),
]


@pytest.mark.parametrize(("line", "expected"), EXPECTED)
def test_bash_offers_the_tables(line: str, expected: set[str], folder: Path) -> None:
    """In bash, all options and subcommands of the tables are offered, each where it may stand."""
    words = shlex.join([*line.split(), *([""] if line.endswith(" ") else [])])
    script = (
        f"COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE={line!r}; "
        "COMP_POINT=${#COMP_LINE}; . $0/${COMP_WORDS[0]}; _${COMP_WORDS[0]}; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    run = subprocess.run(
        ["bash", "--norc", "-c", script, BASH],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert (sorted(run.stdout.splitlines()), run.stderr) == (sorted(expected), "")


def test_fish_offers_the_tables(folder: Path) -> None:
    """In fish, all options and subcommands of the tables are offered, each where it may stand."""
    found = fish([line for line, _ in EXPECTED], folder)

    for (line, expected), offered in zip(EXPECTED, found, strict=True):
        assert (line, set(offered)) == (line, expected - {"--"})
