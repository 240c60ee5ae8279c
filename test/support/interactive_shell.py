"""An interactive shell on a terminal, into which a test types command lines."""

import re
from collections.abc import Mapping
from pathlib import Path

from support.program import Program
from support.terminal import Terminal

PROMPT = "ready> "
BASH = ("bash", "--norc", "--noprofile", "--noediting", "-i")


class InteractiveShell(Program):
    """A shell with job control, at its first prompt."""

    def __init__(
        self, folder: Path, environment: Mapping[str, str], words: tuple[str, ...] = BASH
    ) -> None:
        """Start bash, or another shell, in this folder."""
        env = {**environment, "PS1": PROMPT}
        super().__init__(*words, terminal=Terminal(), cwd=folder, env=env)
        self.prompt()

    def prompt(self) -> None:
        """Wait for the next prompt, and until the shell has the terminal again."""
        self.expect(re.escape(PROMPT))
        self.until(lambda: self.terminal.foreground == self.pid, "the shell is in the foreground")

    def command(self, line: str) -> str:
        """Run a line to its end, and return what it printed."""
        start = len(self.stdout.text) - len(self.stdout.unfound)
        self.enter(line)
        self.prompt()
        end = len(self.stdout.text) - len(self.stdout.unfound)
        printed = self.stdout.text[start:end].replace("\r\n", "\n")
        return printed.partition("\n")[2].removesuffix(PROMPT)
