r"""Man pages in the roff of man(7), for groff and mandoc.

The rules of this file: text is escaped once, where it enters a line; a minus that somebody may
copy is a minus (`\-`) and no hyphen; lines of the source are short, as a linter of pages wants.
"""

import re
import textwrap
from collections.abc import Iterable, Iterator
from itertools import groupby

from paper_programs import Program, Rows
from zkexec.cli.options import Option
from zkexec.ctl.subcommand import Subcommand

_ESCAPES = {"\\": r"\e", "'": r"\(aq", "`": r"\(ga", "~": r"\(ti", "^": r"\(ha", '"': r"\(dq"}
# An option as a text names it; the hyphen of a compound word stands behind a letter.
_OPTION = re.compile(r"(?<![\w\\-])--?[a-z][a-z-]*|(?<!\S)--(?!\S)")


def page(program: Program, version: str, date: str) -> str:
    """One whole page."""
    lines = [
        rf".\" Drawn by tools/draw_papers.py from the options of {program.name}.",
        f'.TH {program.name.upper()} 1 "{date}" "zkexec {version}" "User Commands"',
        # A name that is cut in two cannot be searched for, or copied.
        ".nh",
        ".ad l",
        ".SH NAME",
        rf"{program.name} \- {_plain(program.summary)}",
        ".SH SYNOPSIS",
        *_synopsis(program),
        ".SH DESCRIPTION",
        *_paragraphs(program.description),
    ]
    if program.subcommands:
        lines.append(".SH SUBCOMMANDS")
        for subcommand in program.subcommands:
            lines.extend(_subcommand(subcommand))
    lines.append(".SH OPTIONS")
    for group, options in groupby(program.options, key=lambda option: option.group):
        lines.extend([f".SS {group}", *_options(options)])
    lines.extend([".SH ENVIRONMENT", *_prose(program.variables_intro)])
    lines.extend(_policy(program.variables))
    lines.extend([".SH EXIT STATUS", *_prose(program.statuses_intro)])
    lines.extend(_statuses(program.statuses))
    lines.extend([".SH EXAMPLES", *_examples(program.examples)])
    name, _, section = program.see_also.partition("(")
    lines.extend([".SH SEE ALSO", f".BR {name} ({section}"])
    return "\n".join(lines) + "\n"


def _synopsis(program: Program) -> Iterator[str]:
    for number, call in enumerate(program.calls):
        if number:
            yield ".br"
        yield rf"\fB{program.name}\fP {_code(call)}"


def _subcommand(subcommand: Subcommand) -> Iterator[str]:
    yield rf".SS {_code(subcommand.usage)}"
    yield from _paragraphs((subcommand.summary + ".", *subcommand.text.split("\n\n")))
    yield from _policy(
        tuple((each.spelling, each.meaning) for each in subcommand.arguments), italic=True
    )
    yield from _options(subcommand.options)
    yield from (".PP", "Exit status:")
    yield from _statuses(
        (status, text) for status, text in subcommand.statuses if status in (0, 1, 3)
    )
    yield from (".PP", "Examples:")
    yield from _examples(subcommand.examples)


def _options(options: Iterable[Option]) -> Iterator[str]:
    for option in options:
        short = rf"\fB\-{option.short}\fP, " if option.short else ""
        space = " " if option.takes_word else ""
        value = rf"{space}\fI{_code(option.value_spelling.strip())}\fP" if option.metavar else ""
        yield ".TP"
        yield rf"{short}\fB{_code('--' + option.name)}\fP{value}"
        yield from _prose(f"{option.meaning}.")
        default = f"[{option.default}]" if option.default else ""
        if default or option.variable:
            yield from (".br", _code(f"{default} {option.variable}".strip()))


def _policy(rows: Rows, *, italic: bool = False) -> Iterator[str]:
    font = "I" if italic else "B"
    for term, meaning in rows:
        yield from (".TP", rf"\f{font}{_code(term)}\fP")
        yield from _prose(f"{meaning}.")


def _statuses(statuses: Iterable[tuple[int, str]]) -> Iterator[str]:
    return _policy(tuple((str(status), meaning) for status, meaning in statuses))


def _examples(rows: Rows) -> Iterator[str]:
    for command, meaning in rows:
        yield from (".TP", rf"\fB{_code(command)}\fP")
        yield from _prose(meaning)


def _paragraphs(texts: Iterable[str]) -> Iterator[str]:
    for number, text in enumerate(texts):
        if number:
            yield ".PP"
        yield from _prose(text)


def _prose(text: str) -> list[str]:
    lines = textwrap.wrap(_plain(" ".join(text.split())), 78, break_on_hyphens=False)
    # A dot at the beginning of a line would make it a request.
    return [rf"\&{line}" if line.startswith(".") else line for line in lines]


def _plain(text: str) -> str:
    return _OPTION.sub(lambda found: found[0].replace("-", r"\-"), _escaped(text))


def _code(text: str) -> str:
    return _escaped(text).replace("-", r"\-")


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(letter, letter) for letter in text)
