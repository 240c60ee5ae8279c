"""Man pages and the words that shells offer are those of the tables."""

import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest

import draw_papers
from paper_programs import PROGRAMS, Program
from zkexec.cli import parser
from zkexec.cli.options import OPTIONS
from zkexec.cli.settings import resolve_settings
from zkexec.ctl.arguments import read_invocation
from zkexec.ctl.subcommands import OPTION_NAMES, SUBCOMMAND_BY_NAME, SUBCOMMANDS
from zkexec.resources import read_resource

ROOT = Path(__file__).resolve().parent.parent
DRAWN_BY = "python tools/draw_papers.py"
EXAMPLES = [
    *(command for program in PROGRAMS for command, _ in program.examples),
    *(command for subcommand in SUBCOMMANDS for command, _ in subcommand.examples),
]


def rendered(program: Program) -> str:
    """The man page as `man` shows it on 80 columns; what man complains about is a failure."""
    page = draw_papers.SHARE / "man" / "man1" / f"{program.name}.1"
    run = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", str(page)],
        env={"PATH": os.environ["PATH"], "MANWIDTH": "80", "LANG": "C"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert run.stderr == ""
    return run.stdout


def test_the_papers_are_drawn() -> None:
    """The folders of the drawn files contain what is drawn from the tables, and nothing else."""
    drawn = draw_papers.papers()
    present = {path for folder in {path.parent for path in drawn} for path in folder.iterdir()}

    assert present == drawn.keys(), f"run {DRAWN_BY}"
    for path, text in drawn.items():
        assert path.read_text(encoding="utf-8") == text, f"{path} is out of date: run {DRAWN_BY}"


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_man_page_is_well_formed(program: Program) -> None:
    """A page has the sections that man pages have, and man finds nothing wrong with it."""
    text = rendered(program)

    found = [line for line in text.splitlines() if re.match(r"[A-Z]", line)][1:]
    subcommands = ["SUBCOMMANDS"] if program.subcommands else []
    assert found == [
        *("NAME", "SYNOPSIS", "DESCRIPTION"),
        *subcommands,
        *("OPTIONS", "ENVIRONMENT", "EXIT STATUS", "EXAMPLES", "SEE ALSO"),
    ]
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_man_page_tells_all(program: Program) -> None:
    """A page has every option with its variable, every subcommand, example and exit status."""
    text = " ".join(rendered(program).split())

    own = [option for subcommand in program.subcommands for option in subcommand.options]
    for option in (*program.options, *own):
        assert option.spelling in text
        assert option.variable in text
        assert option.meaning in text
    for subcommand in program.subcommands:
        assert f" {subcommand.usage} {subcommand.summary}." in text
    for command, meaning in program.examples:
        assert f"{command} {meaning}" in text
    for status, meaning in program.statuses:
        assert f" {status} {meaning}." in text


@pytest.mark.parametrize("line", EXAMPLES)
def test_examples_are_understood(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever copies an example of a paper or of the help is understood."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").touch(0o600)
    (tmp_path / "token").write_text("t" * 32)
    words = shlex.split(line.partition(" <")[0].partition(" >")[0])

    if words[0] == "zkexec":
        assert resolve_settings(parser.read(words[1:]), {}).policy.inputs.mirrors
    else:
        written = parser.read(words[1:], OPTION_NAMES)
        subcommand = SUBCOMMAND_BY_NAME[written.stray_words[0]]
        assert read_invocation(subcommand, written, {}).subcommand == subcommand.name


CHOICES = [(option.name, choice) for option in OPTIONS for choice in option.choices]


@pytest.mark.parametrize(("name", "choice"), CHOICES)
def test_choices_are_accepted(name: str, choice: str, tmp_path: Path) -> None:
    """What the completions offer as a value of zkexec is one."""
    secret = tmp_path / "secret"
    secret.write_text("me:secret")
    secret.chmod(0o600)
    value = f"{choice}{secret}" if choice.endswith("@") else choice
    file = ["--mirror", f"{tmp_path}/file=/a", "--check", "true"]
    needed = {
        "acl": ["--auth", f"digest:@{secret}"],
        "on-change": file,
        "reload-signal": [*file, "--on-change", "reload"],
    }
    words = ["--lock", "x", *needed.get(name, []), f"--{name}", value, "--", "true"]

    assert resolve_settings(parser.read(words), {}).lock == "x"


@pytest.mark.parametrize("name", ["bash-completion/completions/zkexecctl", "man/man1/zkexec.1"])
def test_the_papers_are_resources_of_the_package(name: str) -> None:
    """However zkexec is installed, it can read what is in share."""
    assert read_resource(name) == (draw_papers.SHARE / name).read_text(encoding="utf-8")


def test_the_wheel_brings_the_papers() -> None:
    """The wheel installs share where man and the shells look below a prefix."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]

    assert wheel["shared-data"] == {"share": "share"}
    names = {program.name for program in PROGRAMS}
    assert wheel["shared-scripts"] == {f"scripts/{name}": name for name in names}
