"""What the demo shows between the programs that it runs, and the keys that it waits for."""

import os
import shutil
import sys
import termios
import textwrap
import tty

_WIDTH = 78
_PLAIN, _BOLD, _DIM, _CYAN = "\033[0m", "\033[1m", "\033[2m", "\033[36m"
_WIPE = "\r\033[K"
_INVITATION = "press a key to run it, q to quit"


class QuitError(Exception):
    """The person at the terminal has seen enough."""


class Screen:
    """Standard output, and standard input if a person sits at a terminal.

    If one of the two is no terminal, the demo waits for no key and runs through.
    """

    def __init__(self) -> None:
        is_terminal = sys.stdout.isatty()
        is_dumb = os.environ.get("TERM", "dumb") == "dumb"
        self._has_colours = is_terminal and not is_dumb and not os.environ.get("NO_COLOR")
        self._wipe = "\n" if is_dumb else _WIPE
        self._waits = is_terminal and sys.stdin.isatty()

    def heading(self, text: str) -> None:
        """Begin a scene."""
        self._write(f"\n{self._painted(_BOLD, text)}\n")

    def prose(self, text: str) -> None:
        """Show a paragraph, wrapped to the width of the terminal."""
        width = min(_WIDTH, shutil.get_terminal_size().columns - 1)
        words = " ".join(text.split())
        self._write("\n" + textwrap.fill(words, width, break_on_hyphens=False) + "\n")

    def command(self, line: str) -> None:
        """Show a command line as at the prompt of a shell."""
        self._write(f"\n{self._painted(_DIM, '$')} {self._painted(_CYAN, line)}\n")

    def wait_for_key(self) -> None:
        """Wait for a key if a person can press one; raise QuitError if it is q."""
        if not self._waits:
            return
        self._write(self._painted(_DIM, _INVITATION))
        key = _key()
        self._write(self._wipe)
        if key in ("", "q", "Q", "\x04"):
            raise QuitError

    def _painted(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self._has_colours else text

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _key() -> str:
    """Read one key, without waiting for Return; empty if the terminal is gone."""
    terminal = sys.stdin.fileno()
    modes = termios.tcgetattr(terminal)
    try:
        # Not TCSAFLUSH, which would drop a key that was pressed at once.
        tty.setcbreak(terminal, termios.TCSADRAIN)
        return os.read(terminal, 16)[:1].decode("latin-1")
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, modes)
