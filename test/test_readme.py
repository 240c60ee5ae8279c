"""README.md says what is true: options, variables, defaults, exit statuses, commands and links.

The rules of this file: everything is read from the paper and from the table of options; nothing
of the paper is repeated here.
"""

import json
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from zkexec.cli import parser
from zkexec.cli.help_text import help_text
from zkexec.cli.options import OPTIONS, Option
from zkexec.operator import usage as operator_usage
from zkexec.operator.settle import settle
from zkexec.operator.verbs import VOCABULARY, find

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAPERS = [ROOT / "README.md", *sorted(ROOT.glob("C*.md")), *sorted((ROOT / "docs").glob("*.md"))]
DRAWN_BY = "python tools/draw_options.py"


def code_lines() -> Iterator[str]:
    """The lines of the README's code blocks, continued lines put together."""
    block = "\n".join(line for line in README.splitlines() if line.startswith("    "))
    # Three dots stand for the options of the command before.
    for line in re.sub(r"(?:\\|\.\.\.)\n\s*", " ", block).splitlines():
        yield line.strip()


def command_lines() -> list[str]:
    """The arguments of every zkexec that is shown, whoever starts it."""
    found = re.findall(r"`zkexec ([^`]+)`", README)
    for line in code_lines():
        if start := re.search(r"^(?::\$ |ExecStart=\S*/)zkexec ", line):
            found.append(line[start.end() :])
        elif line.startswith("ENTRYPOINT"):
            found.append(shlex.join(json.loads(line.removeprefix("ENTRYPOINT"))[1:]))
    return [" ".join(line.split()) for line in found]


def operator_lines() -> list[str]:
    """The arguments of every zkexecctl that is shown in a code block."""
    starts = (re.search(r"^:\$ zkexecctl (.*)", line) for line in code_lines())
    return [start[1] for start in starts if start]


def section(title: str) -> str:
    """The text of one section of the second level."""
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows_of_help() -> dict[str, str]:
    """What the help says about each option, as one line of text, by the option's name."""
    rows: dict[str, str] = {}
    name = ""
    for line in help_text().splitlines():
        spelling = re.match(r" {4}(?:-\w, | {4})--([a-z-]+)", line)
        if spelling:
            name = spelling[1]
        elif not line.startswith("     "):
            name = ""
        if name:
            rows[name] = " ".join([*rows.get(name, "").split(), *line.split()])
    return rows


def test_the_tables_are_drawn() -> None:
    """The tables in the README are those that are drawn from the options and verbs."""
    drawn = runpy.run_path(str(ROOT / "tools" / "draw_options.py"))["drawn"]

    assert drawn(README) == README, f"README.md is out of date: run {DRAWN_BY}"


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_help_tells_all_about_an_option(option: Option) -> None:
    """Each option stands in the help with its meaning, its default and its variable."""
    row = rows_of_help()[option.name]

    assert row.startswith(f"-{option.short}, --{option.name}" if option.short else "--")
    assert option.metavar in row
    assert option.meaning in row
    end = f"[{option.default}]" if option.default else option.meaning
    assert row.endswith(f"{end} {option.variable}".rstrip())


@pytest.mark.parametrize("line", command_lines())
def test_commands_use_options_that_exist(line: str) -> None:
    """Whoever copies a command line of the README is understood."""
    written = parser.read(shlex.split(line, comments=True))

    assert written.unknown_options == []
    assert written.missing_values == []
    assert written.unwanted_values == []
    assert written.stray_words == []


@pytest.mark.parametrize("line", operator_lines(), ids=lambda line: line.replace(" ", "_")[:40])
def test_commands_of_operators_are_understood(line: str) -> None:
    """Whoever copies a command line of zkexecctl from the README is understood."""
    written = parser.read(shlex.split(line, comments=True), VOCABULARY)

    settle(find(written.stray_words[0]), written, {})


def test_command_lines_are_found() -> None:
    """The README shows commands in its text, at a prompt, in a service file and a container's."""
    shown = command_lines()

    assert any("-- ./test" in line for line in shown)
    assert any("--health-delay" in line for line in shown)
    assert any("mail -s" in line for line in shown)
    assert any("--lock foo" in line for line in shown)
    assert any("--acl creator+read" in line for line in shown)
    assert any("--start cached" in line for line in shown)
    assert any(line.endswith(" --") for line in shown)


def test_named_options_and_variables_exist() -> None:
    """Every option and every variable that the prose of the README names is one of ours."""
    told_to_commands = {"EVENT", "REASON", "MEMBER", "LOCK", "EXIT_STATUS"}
    variables = {option.variable for option in (*OPTIONS, *VOCABULARY.by_name.values())}
    variables |= {name for name, _ in operator_usage.ENVIRONMENT}
    variables |= {f"ZKEXEC_{name}" for name in told_to_commands}
    # An option of another program that is shown.
    elsewhere = {"config"}
    names = {option.name for option in OPTIONS} | VOCABULARY.by_name.keys() | elsewhere

    assert set(re.findall(r"ZKEXEC_[A-Z_]+", README)) <= variables
    assert set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", README)) <= names


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
def test_links_lead_somewhere(paper: Path) -> None:
    """Every link to a file of the repository leads to a file."""
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", paper.read_text(encoding="utf-8"))

    assert [link for link in links if not (paper.parent / link).exists()] == []


def test_exit_statuses_are_those_of_the_help() -> None:
    """The README and the help name the same exit statuses."""
    in_readme = re.findall(r"^\| ([\d, ]+) \|", section("Exit statuses"), re.MULTILINE)
    in_help = re.findall(r"^ {4}(\d+) ", help_text(), re.MULTILINE)

    assert [status for row in in_readme for status in row.split(", ")] == in_help


def test_named_files_exist() -> None:
    """The files and make targets that the README names are there."""
    files = set(re.findall(r"(?:\./|\b)((?:test|tools|docs)/[\w./-]*\w)", README))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    assert "test/libexec/slowcheck" in files
    assert [name for name in files if not (ROOT / name).exists()] == []
    assert [
        target
        for target in re.findall(r"`make ([a-z-]+)`", README)
        if f"\n{target}:" not in makefile
    ] == []


def test_the_help_is_what_the_program_prints() -> None:
    """`zkexec --help`, to which the README sends its readers, prints the text that is tested."""
    run = subprocess.run(
        [sys.executable, "-m", "zkexec", "--help"],
        cwd=ROOT / "src",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert run.stdout == help_text()
