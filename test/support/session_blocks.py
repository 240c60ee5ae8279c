"""Read the blocks of a page that a test can type: what is typed, and what appears then.

CONTRIBUTING.md describes how such a block is written.  Times, digests, process IDs and durations
differ at each run, so `is_shown` compares the rest of a line.
"""

import re
from dataclasses import dataclass, field
from difflib import SequenceMatcher

FENCE = re.compile(r"```console(?: (?P<terminal>[a-z]+))?$")
UNTIL = re.compile(r"<!-- until: (?P<command>.+) -->$")
TYPED = re.compile(r"(?P<question>.*\[y/N\] )?(?P<text>.*?)\s+# typed$")
KEYS = {"^C": "\x03", "^D": "\x04"}
ANY_LINES = "..."

_MASKS = (
    (r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d:\d\d(?: [-+]\d{4})?)?|\b\d\d:\d\d:\d\d\b", "TIME"),
    (r"\b(?:localhost|127\.0\.0\.1):\d+\b", "CLUSTER"),
    (r"\bweb-\d\b", "MEMBER"),
    (r"\b[0-9a-f]{12}(?:\.[0-9a-f]{4})?\b", "DIGEST"),
    (r"\brestart [0-9a-f]{4}\b", "restart NAME"),
    (r"\b(pid|forked) \d+\b", r"\1 PID"),
    (r"\b[\w-]+@host1\b", "AUTHOR"),
    (r"\b\d+(?:\.\d+)? ?(?:s|min|h)\b", "DURATION"),
    (r"\[[#.]{10}\]", "BAR"),
    (r"\s+", " "),
)


@dataclass
class Step:
    """One thing that a reader does in a block, and the lines that appear then.

    `kind` is "command", "typed" or "key"; "more" is further output of what runs already.
    `question` is what the line shows before a typed text, and `first_output` the index of the
    line of the page after it.
    """

    kind: str
    text: str
    question: str = ""
    output: list[str] = field(default_factory=list)
    first_output: int = 0

    @property
    def may_run_on(self) -> bool:
        """Whether more output can follow, so that the end of the command is not waited for."""
        return self.output[-1:] == [ANY_LINES]


@dataclass(frozen=True)
class Block:
    """A block of a page: the terminal that it is typed into, and what is awaited before."""

    line: int
    terminal: str
    until: str
    steps: list[Step]


def blocks(page: str) -> list[Block]:
    """Read the blocks of a page that can be played, in their order."""
    found, lines = [], page.splitlines()
    for number, line in enumerate(lines):
        if fence := FENCE.match(line):
            end = lines.index("```", number)
            before = UNTIL.match(lines[number - 1]) or UNTIL.match(lines[number - 2])
            until = before["command"] if before else ""
            steps = _steps(lines[:end], number + 1)
            found.append(Block(number + 1, fence["terminal"] or "first", until, steps))
    return found


def _steps(lines: list[str], start: int) -> list[Step]:
    steps: list[Step] = []
    number = start
    while number < len(lines):
        line = lines[number]
        number += 1
        if line.startswith("$ "):
            text = line[2:]
            while text.endswith("\\"):
                text += "\n" + lines[number]
                number += 1
            steps.append(Step("command", text, first_output=number))
        elif typed := TYPED.match(line):
            steps.append(Step("typed", typed["text"], typed["question"] or "", first_output=number))
        elif line in KEYS:
            steps.append(Step("key", KEYS[line], first_output=number))
        else:
            if not steps:
                steps.append(Step("more", "", first_output=number - 1))
            steps[-1].output.append(line)
    return steps


def masked(line: str) -> str:
    """Replace what differs from run to run in a line."""
    for pattern, name in _MASKS:
        line = re.sub(pattern, name, line)
    return line.strip()


def is_shown(expected: list[str], actual: list[str], *, complete: bool) -> bool:
    """Whether the page shows what appeared; `complete` if nothing can appear any more."""
    parts = [
        "(?:.*\n)*?" if line == ANY_LINES else re.escape(masked(line)) + "\n" for line in expected
    ]
    text = "".join(masked(line) + "\n" for line in actual)
    pattern = re.compile("".join(parts))
    return bool(pattern.fullmatch(text) if complete else pattern.match(text))


def redrawn(expected: list[str], actual: list[str]) -> list[str]:
    """Return the lines that the page should show, with its dots where they were."""
    if ANY_LINES not in expected:
        return actual
    shown, position = [], 0
    for line in expected:
        if line == ANY_LINES:
            shown.append(line)
        elif rest := actual[position:]:
            best = max(range(len(rest)), key=lambda index: _likeness(line, rest[index]))
            shown.append(rest[best])
            position += best + 1
    return shown


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, masked(one), masked(other)).ratio()
