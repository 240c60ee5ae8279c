"""The pages are true: options, variables, exit statuses, commands, files and links.

`e2e/test_sessions.py` types the sessions of the pages; here everything else is compared with the
tables of options and subcommands, and nothing of a page is repeated.
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

from support.web_server import token_file
from zkexec.cli import parser
from zkexec.cli.help_text import help_text
from zkexec.cli.options import OPTIONS, Option
from zkexec.cli.settings import resolve_settings
from zkexec.ctl import subcommand_help
from zkexec.ctl.arguments import read_invocation
from zkexec.ctl.subcommands import OPTION_NAMES, find

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
USER_PAGES = [README, *sorted(DOCS.glob("*.md"))]
ALL_PAGES = [*USER_PAGES, *sorted(ROOT.glob("C*.md")), *sorted(ROOT.glob("examples/**/*.md"))]
TEXTS = {page: page.read_text(encoding="utf-8") for page in ALL_PAGES}
LINES_OF_README = 200
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DRAWN = re.compile(r"<!-- \w+: drawn .*?<!-- end of \w+ -->", re.DOTALL)
UNUSED_WORDS = re.compile(
    r"\b(told|stands|deeds?|sight|glance|whoever|somebody|nobody|so long|falsey|ledger|tenure)\b",
    re.IGNORECASE,
)


def named(page: Path) -> str:
    """Return the name of a page in the names of the tests."""
    return str(page.relative_to(ROOT))


def prose(text: str) -> str:
    """Return a page without its blocks and without what is drawn into it."""
    return re.sub(r"`[^`\n]*`", "``", BLOCK.sub("", DRAWN.sub("", text)))


def code_lines(text: str) -> Iterator[str]:
    """Return the lines of a page's blocks, with continued lines joined."""
    for _, block in BLOCK.findall(text):
        yield from (line.strip() for line in re.sub(r"\\\n\s*", " ", block).splitlines())


def commands() -> list[str]:
    """Return the arguments of every zkexec that the pages show, in any kind of block."""
    found = []
    for page in USER_PAGES:
        found += re.findall(r"`zkexec (-[^`]+)`", TEXTS[page])
        for line in code_lines(TEXTS[page]):
            if start := re.search(r"^(?:\$ |ExecStart=\S*/)?zkexec +(?=-)", line):
                found.append(line[start.end() :])
            elif piped := re.search(r"\| zkexec +(?=-)", line):
                found.append(line[piped.end() :])
            elif line.startswith("ENTRYPOINT"):
                found.append(shlex.join(json.loads(line.removeprefix("ENTRYPOINT"))[1:]))
    return [" ".join(line.split()) for line in found]


def subcommands() -> list[str]:
    """Return the arguments of every zkexecctl that is shown in a block."""
    lines = (line for page in USER_PAGES for line in code_lines(TEXTS[page]))
    starts = (re.search(r"^(?:\$ )?zkexecctl ([a-z].*)", line) for line in lines)
    return sorted({start[1].partition(" |")[0] for start in starts if start})


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower() for title in titles)
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in plain}


def leads_nowhere(page: Path, link: str) -> bool:
    """Whether no file, or no heading in it, is where a link of a page leads to."""
    if link.startswith(("http://", "https://", "mailto:")):
        return not re.fullmatch(r"https://[\w.-]+\.[a-z]+(/[\w./%~#?=&-]*)?", link)
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return True
    text = target.read_text(encoding="utf-8") if target.suffix == ".md" else ""
    return bool(anchor) and anchor not in anchors(text)


def rows_of_help() -> dict[str, str]:
    """Return what the help shows of each option, as one line of text, by the option's name."""
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
    """The tables of options and subcommands are those that the tool draws."""
    pages = dict(runpy.run_path(str(ROOT / "tools" / "draw_options.py"))["drawn"]())

    assert [page.name for page in pages] == ["options.md", "zkexecctl.md"]
    for page, text in pages.items():
        assert TEXTS[page] == text, f"{page.name} is out of date: run make papers"


@pytest.mark.parametrize("page", ALL_PAGES, ids=named)
def test_a_row_has_as_many_cells_as_the_others(page: Path) -> None:
    """A bare pipe ends a cell, also in code, so in a cell it is written with a backslash."""
    for table in re.findall(r"(?:^\|.*\n)+", BLOCK.sub("", TEXTS[page]), re.MULTILINE):
        rows = table.splitlines()
        ends = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
        assert ends == ends[:1] * len(rows), table


def test_the_readme_is_short() -> None:
    """The README is read in one go."""
    assert len(TEXTS[README].splitlines()) <= LINES_OF_README


def test_every_page_is_in_the_index() -> None:
    """A reader finds each page of docs from its index."""
    links = set(re.findall(r"\]\((\w[\w-]*\.md)\)", TEXTS[DOCS / "README.md"]))

    assert links == {page.name for page in DOCS.glob("*.md")} - {"README.md"}


@pytest.mark.parametrize("page", ALL_PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link leads to a file that exists and to a heading in it, or to an https address."""
    links = re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", TEXTS[page]))

    assert [link for link in links if leads_nowhere(page, link)] == []


def test_wrong_links_are_found() -> None:
    """A missing file, a missing heading and a malformed address are noticed."""
    wrong = ["none.md", "#none", "docs/design.md#none", "http:/example.com", "https://x y"]

    assert [link for link in wrong if not leads_nowhere(README, link)] == []


@pytest.mark.parametrize("page", ALL_PAGES, ids=named)
def test_pages_use_the_words_of_the_glossary(page: Path) -> None:
    """No page uses a word that the glossary has replaced."""
    assert UNUSED_WORDS.findall(prose(TEXTS[page])) == []


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_help_describes_an_option(option: Option) -> None:
    """Each option is in the help with its meaning, its default and its variable."""
    row = rows_of_help()[option.name]

    assert row.startswith(f"-{option.short}, --{option.name}" if option.short else "--")
    assert option.metavar in row
    assert option.meaning in row
    end = f"[{option.default}]" if option.default else option.meaning
    assert row.endswith(f"{end} {option.variable}".rstrip())


@pytest.mark.parametrize("line", commands(), ids=lambda line: line[:40])
def test_commands_use_options_that_exist(line: str) -> None:
    """Every command line of zkexec on a page is understood."""
    written = parser.read(shlex.split(line, comments=True))

    assert written.unknown_options == []
    assert written.missing_values == []
    assert written.unwanted_values == []
    assert written.stray_words == []


# What an example needs on the host of a reader, and what a test has instead.
ON_A_HOST = {"--owner shop:shop": "--owner root:root", "--owner shop": "--owner root"}
OF_INPUTS = r"-t |--template|--values|--env|--mode|--owner|--pristine|--mirror \S+/=/"


@pytest.mark.parametrize(
    "line",
    [line for line in commands() if re.search(OF_INPUTS, line)],
    ids=lambda line: line[:40],
)
def test_commands_with_inputs_fit_together(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the pages show of trees, templates, variables and modes is accepted as it is typed."""
    monkeypatch.chdir(ROOT)
    for shown, here in ON_A_HOST.items():
        line = line.replace(shown, here)
    words = shlex.split(line.replace("/tmp/", f"{tmp_path}/"), comments=True)

    assert resolve_settings(parser.read(words), {}).policy.inputs.options


@pytest.mark.parametrize("line", subcommands(), ids=lambda line: line.replace(" ", "_")[:40])
def test_subcommands_are_understood(line: str, tmp_path: Path) -> None:
    """Every command line of zkexecctl on a page is understood."""
    line = line.replace("@zkexec.token", token_file(tmp_path))
    written = parser.read(shlex.split(line, comments=True), OPTION_NAMES)

    read_invocation(find(written.stray_words[0]), written, {})


def test_command_lines_are_found() -> None:
    """Commands are found at a prompt, in a pipe, in a unit, in a container's file and in prose."""
    shown = commands()

    assert any("-- ./test" in line for line in shown)
    assert any("--health-delay" in line for line in shown)
    assert any("mail -s" in line for line in shown)
    assert any("--lock foo" in line for line in shown)
    assert any("--acl creator+read" in line for line in shown)
    assert any("--start cached" in line for line in shown)
    assert any(line.endswith(" --") for line in shown)
    assert any(line.startswith("push") for line in subcommands())


@pytest.mark.parametrize("page", USER_PAGES, ids=named)
def test_named_options_and_variables_exist(page: Path) -> None:
    """Every option and every variable that a page names exists."""
    set_for_commands = {"EVENT", "REASON", "STEP", "MEMBER", "LOCK", "EXIT_STATUS", "PID", "STAGED"}
    variables = {option.variable for option in (*OPTIONS, *OPTION_NAMES.by_name.values())}
    variables |= {name for name, _ in subcommand_help.ENVIRONMENT}
    variables |= {f"ZKEXEC_{name}" for name in set_for_commands}
    # Variables of the tests and of the build, and options of other programs.
    variables |= {"ZKEXEC_SEEDS", "ZKEXEC_SEED", "ZKEXEC_BUILD_STARTER", "ZKEXEC_"}
    elsewhere = {"config", "healthy", "ignore-missing", "now"}
    names = {option.name for option in OPTIONS} | OPTION_NAMES.by_name.keys() | elsewhere

    assert set(re.findall(r"ZKEXEC_[A-Z_]*", TEXTS[page])) <= variables
    assert set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", DRAWN.sub("", TEXTS[page]))) <= names


def test_exit_statuses_are_those_of_the_help() -> None:
    """The page and the help name the same exit statuses."""
    page = TEXTS[DOCS / "what-happens-when.md"]
    section = page.split("\n## zkexec exits: exit statuses\n")[1].split("\n## ")[0]
    on_page = re.findall(r"^\| ([\d, ]+) \|", section, re.MULTILINE)
    in_help = re.findall(r"^ {4}(\d+) ", help_text(), re.MULTILINE)

    assert [status for row in on_page for status in row.split(", ")] == in_help


@pytest.mark.parametrize("page", ALL_PAGES, ids=named)
def test_named_files_exist(page: Path) -> None:
    """The files of the repository and the make targets that a page names are there."""
    text = TEXTS[page]
    files = set(re.findall(r"(?<![\w/.])(?:\./)?((?:test|tools|docs|src)/[\w./-]*\w)", text))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)

    assert [name for name in sorted(files) if not (ROOT / name).exists()] == []
    assert [target for target in targets if f"\n{target}:" not in makefile] == []


def test_files_and_targets_are_found() -> None:
    """The search for named files and targets finds those that are surely named."""
    assert "test/libexec/slowcheck" in TEXTS[DOCS / "tutorial.md"]
    assert "\nmake demo " in TEXTS[README]


def test_the_help_is_what_the_program_prints() -> None:
    """`zkexec --help`, to which the pages send their readers, prints the text that is tested."""
    run = subprocess.run(
        [sys.executable, "-m", "zkexec", "--help"],
        cwd=ROOT / "src",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert run.stdout == help_text()
