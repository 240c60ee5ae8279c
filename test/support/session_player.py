"""Type the blocks of a page into terminals, and compare what appears with what the page shows.

What a reader has is replaced where a test needs its own: the ZooKeeper on port 2181, and /tmp.
What appears is translated back before it is compared.
"""

import os
import re
import shlex
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pyte

from support.interactive_shell import PROMPT, InteractiveShell
from support.sandbox import Sandbox
from support.session_blocks import ANY_LINES, KEYS, Block, Step, blocks, is_shown, redrawn
from support.waiting import until
from zkexec.devserver.installation import find_installation

ROOT = Path(__file__).resolve().parent.parent.parent
REGENERATE = bool(os.environ.get("REGENERATE"))
HOST, AUTHOR = "host1", "alice@host1"
ROWS, COLUMNS = 40, 120
# More than a command prints: nothing scrolls away, and no line with a long folder is wrapped.
_DRAWN_ROWS, _DRAWN_COLUMNS = 1000, 500
_DEFAULT_PORT = "2181"


class Reader:
    """A person in a checkout who has zkexec and zkCli.sh on the PATH and follows a page."""

    def __init__(self, sandbox: Sandbox, port: int, cluster: str) -> None:
        self.folder, self.port, self.cluster = sandbox.folder, str(port), cluster
        programs = sandbox.folder / "bin"
        programs.mkdir()
        java = find_installation(os.environ)
        client = [java.java, "-cp", java.class_path, "org.apache.zookeeper.ZooKeeperMain"]
        script = programs / "zkCli.sh"
        script.write_text(f'#!/bin/sh\nexec {shlex.join(client)} -server {cluster} "$@"\n')
        script.chmod(0o755)
        path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = sandbox.environment(
            PATH=path, PS2="", ZKEXEC_CLUSTER=cluster, ZKEXEC_BY=AUTHOR
        )

    def typed(self, text: str) -> str:
        """Translate a text of the page to what the test types."""
        text = re.sub(r"/tmp(?=/)", str(self.folder), text)
        text = re.sub(r"ZKEXEC_CLUSTER=\S+", f"ZKEXEC_CLUSTER={self.cluster}", text)
        text = re.sub(r"zkexecctl dev\b", f"zkexecctl dev --port {self.port}", text)
        return re.sub(rf"\b{_DEFAULT_PORT}\b", self.port, text)

    def shown(self, text: str) -> list[str]:
        """Translate what appeared to what the page shows, line by line."""
        lines = drawn(text)
        text = "\n".join(lines)
        text = text.replace(self.cluster, f"localhost:{_DEFAULT_PORT}")
        text = re.sub(rf"\b{self.port}\b", _DEFAULT_PORT, text)
        text = text.replace(str(self.folder), "/tmp")
        text = re.sub(rf"\b{re.escape(socket.gethostname())}\b", HOST, text)
        return text.split("\n") if lines else []


def drawn(text: str) -> list[str]:
    """Return the lines that a terminal shows after this text, without those that are drawn over."""
    screen = pyte.Screen(_DRAWN_COLUMNS, _DRAWN_ROWS)
    pyte.Stream(screen).feed(text)
    rows = (screen.buffer[number] for number in range(screen.cursor.y + 1))
    lines = ["".join(row[column].data for column in range(_DRAWN_COLUMNS)).rstrip() for row in rows]
    return lines if lines[-1] not in ("", PROMPT.strip()) else lines[:-1]


class ReaderTerminal:
    """A terminal with a shell, and how much of its text was compared already."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.shell = InteractiveShell(ROOT, environment)
        self.shell.terminal.resize(ROWS, COLUMNS)
        self._seen = len(self._text)
        self._is_busy = False
        self.command("export TERM=xterm")

    @property
    def _text(self) -> str:
        return self.shell.stdout.text

    def command(self, text: str) -> None:
        """Type a command, when the one before has ended."""
        if self._is_busy:
            self.until_prompt()
        self._is_busy = True
        for line in text.split("\n"):
            self.enter(line)

    def enter(self, line: str) -> None:
        """Type a line, and wait until it is on the screen."""
        self._seen = len(self._text)
        self.shell.enter(line)
        self._until(re.escape(line) + r"\r\n")

    def question(self, expected: str) -> str:
        """Wait for a question; return what is shown in the line of the cursor."""
        with suppress(TimeoutError):
            until(lambda: self._cursor_line() == expected, expected)
        return self._cursor_line()

    def _cursor_line(self) -> str:
        return self.new_text().rpartition("\n")[2]

    def key(self, key: str) -> None:
        """Press a key."""
        self.shell.send(key)

    def new_text(self) -> str:
        """What has appeared since the last line was typed."""
        return self._text[self._seen :]

    def until_prompt(self) -> str:
        """Wait for the end of the command; return what has appeared since the last line."""
        text = self._until(re.escape(PROMPT))
        until(lambda: self.shell.terminal.foreground == self.shell.pid, "the shell is back")
        self._is_busy = False
        return text

    def interrupt(self) -> None:
        """End by Ctrl-C what still runs."""
        if self._is_busy:
            self.key(KEYS["^C"])
            with suppress(TimeoutError):
                self.until_prompt()

    def _until(self, pattern: str) -> str:
        found = until(lambda: re.search(pattern, self.new_text()), f"{pattern} on the terminal")
        if found is None:
            raise TypeError("`until` returned without a match")
        text = self.new_text()[: found.start()]
        self._seen += found.end()
        return text


class Player:
    """The terminals of a reader, into which the blocks of a page are typed one after the other."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._screens: dict[str, ReaderTerminal] = {}

    def play(self, block: Block) -> list[str]:
        """Do what a block shows; list the steps after which something else appeared."""
        if block.until:
            until(lambda: self._succeeds(block.until), block.until)
        screen = self._screens.get(block.terminal) or ReaderTerminal(self._reader.environment)
        self._screens[block.terminal] = screen
        wrong = []
        for step, following in zip(block.steps, [*block.steps[1:], None], strict=True):
            wrong += self._type(screen, step)
            if following is not None and following.kind != "command":
                difference = self._compare(screen, step, runs_on=True)
            else:
                difference = self._compare(screen, step, runs_on=step.may_run_on)
            wrong += [f"line {block.line}, {difference}"] if difference else []
        return wrong

    def close(self) -> None:
        """End what still runs by Ctrl-C, and close all terminals."""
        for screen in reversed(self._screens.values()):
            screen.interrupt()
            screen.shell.close()

    def _succeeds(self, command: str) -> bool:
        words = ["bash", "-c", self._reader.typed(command)]
        environment = self._reader.environment
        run = subprocess.run(words, env=environment, capture_output=True, check=False)
        return run.returncode == 0

    def _type(self, screen: ReaderTerminal, step: Step) -> list[str]:
        """Do what the reader does in a step; list a question that differs from the page's."""
        text, wrong = self._reader.typed(step.text), []
        if step.kind == "command":
            screen.command(text)
        elif step.kind == "typed":
            if step.question and (appeared := screen.question(step.question)) != step.question:
                wrong = [] if REGENERATE else [f"the question is {appeared!r}"]
                step.question = appeared
            screen.enter(text)
        elif step.kind == "key":
            screen.key(text)
        return wrong

    def _compare(self, screen: ReaderTerminal, step: Step, *, runs_on: bool) -> str:
        """Compare what appears after a step; describe a difference."""
        expected, shown = step.output, self._reader.shown
        if step.kind == "key":
            screen.until_prompt()
            return ""
        if step.kind != "command" or runs_on:
            actual = self._until_shown(screen, expected)
            is_right = is_shown(expected, actual, complete=False)
        else:
            actual = shown(screen.until_prompt())
            is_right = is_shown(expected, actual, complete=True)
        if is_right:
            return ""
        if REGENERATE:
            step.output[:] = redrawn(expected, actual)
            return ""
        return "\n".join([f"{step.text}: the page shows", *expected, "but there was", *actual])

    def _until_shown(self, screen: ReaderTerminal, expected: list[str]) -> list[str]:
        compared = ""

        def is_there() -> bool:
            nonlocal compared
            text = screen.new_text()
            if text == compared:
                return False
            compared = text
            return is_shown(expected, self._reader.shown(text), complete=False)

        if expected not in ([], [ANY_LINES]):
            with suppress(TimeoutError):
                until(is_there, "what the page shows")
        return self._reader.shown(screen.new_text())


def regenerated(page: str, played: list[Block]) -> str:
    """Return the page with the outputs that its blocks have now."""
    lines = page.splitlines()
    before = {step.first_output: len(step.output) for b in blocks(page) for step in b.steps}
    for step in reversed([step for block in played for step in block.steps]):
        first = step.first_output
        lines[first : first + before[first]] = step.output
        if step.question:
            lines[first - 1] = f"{step.question}{step.text} # typed"
    return "\n".join(lines) + "\n"
