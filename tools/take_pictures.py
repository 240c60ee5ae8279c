"""The terminal pictures of the README, taken in a real rollout: `make pictures`.

    tools/take_pictures.py FOLDER

A picture is what a program has written to a terminal, unretouched.  It is taken when the screen
shows what it is for, never because some time has passed.
"""

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyte

from demo import FLEET, Signals, running_fleet
from terminal_picture import FaintScreen, picture

_ROOT = FLEET.parent.parent
_MEMBERS = 5
_COLUMNS, _LINES = 116, 40
_PATIENCE_S = 120.0
_PUSH = "zkexecctl push /web/app.conf=examples/fleet"
_FOLLOW = "--lock web --wait --yes"


class Terminal:
    """A terminal on which a command line was typed, and the program that it started."""

    def __init__(self, environment: dict[str, str], line: str) -> None:
        self.screen = FaintScreen(_COLUMNS, _LINES)
        self._stream = pyte.ByteStream(self.screen)
        self._stream.feed(f"\x1b[1;32m$\x1b[0m {line}\r\n".encode())
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, _COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "sh", "-c", f"exec {line}"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=_ROOT,
            env={**environment, "TERM": "xterm-256color"},
        )
        os.close(slave)

    def wait_for(self, pattern: str) -> None:
        """Read on until the screen shows this; TimeoutError if it never does."""
        give_up_at = time.monotonic() + _PATIENCE_S
        while not re.search(pattern, "\n".join(self.screen.display)):
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"never seen: {pattern}\n" + "\n".join(self.screen.display))
            self._read()

    def end(self) -> None:
        """Read on until the program has ended."""
        while self.process.poll() is None:
            self._read()
        self._read()

    def _read(self) -> None:
        ready, _, _ = select.select([self._master], [], [], 0.2)
        with suppress(OSError):  # No process has the terminal open any more.
            if ready:
                self._stream.feed(os.read(self._master, 65536))


class Studio:
    """A running fleet, and the folder for the pictures of it."""

    def __init__(self, pictures: Path, cluster: str) -> None:
        self._pictures = pictures
        self._environment = {
            **os.environ,
            "ZKEXEC_CLUSTER": cluster,
            "ZKEXEC_BY": "alice@ops1",
            "TZ": "UTC",
        }

    @contextmanager
    def terminal(self, line: str) -> Iterator[Terminal]:
        """Yield a terminal with this command, which is interrupted at the end if it still runs."""
        terminal = Terminal(self._environment, line)
        try:
            yield terminal
        finally:
            if terminal.process.poll() is None:
                terminal.process.send_signal(signal.SIGINT)
            terminal.end()

    def take(self, terminal: Terminal, name: str, title: str) -> None:
        """Draw what a terminal shows now."""
        text = picture(terminal.screen, title)
        (self._pictures / f"{name}.svg").write_text(text, encoding="utf-8")
        print(f"{name}.svg: {title}")


def main(folder: str) -> None:
    """Take all pictures into this folder."""
    pictures = Path(folder)
    pictures.mkdir(parents=True, exist_ok=True)
    # The zkexec of this environment comes first.
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    with running_fleet(Signals(), "", _MEMBERS) as cluster:
        studio = Studio(pictures, cluster)
        with studio.terminal("zkexecctl status web --watch") as status:
            status.wait_for(f"{_MEMBERS} of {_MEMBERS}")
            follow_good_push(studio, status)
            follow_bad_push(studio, status)


def follow_good_push(studio: Studio, status: Terminal) -> None:
    """Push in one terminal, and take the picture of a second one in the middle of the rollout."""
    with studio.terminal(f"{_PUSH}/app-v2.conf -m 'more cache' {_FOLLOW}") as push:
        status.wait_for(f"2 of {_MEMBERS}")
        status.wait_for(r"verifying")
        studio.take(status, "rollout", "status --watch in the middle of a rollout")
        push.end()
        studio.take(push, "push", "push --wait, from the diff to the last member")


def follow_bad_push(studio: Studio, status: Terminal) -> None:
    """Push what fails on the first member, and undo it."""
    with studio.terminal(f"{_PUSH}/app-bad.conf -m 'more workers' {_FOLLOW}") as push:
        push.end()
        status.wait_for(r"failed")
        studio.take(status, "failed", "status --watch after a bad push")
    with studio.terminal(f"zkexecctl undo /web/app.conf {_FOLLOW}") as undo:
        undo.end()
        studio.take(undo, "undo", "undo --wait: the member that failed is healthy again")


if __name__ == "__main__":
    main(*sys.argv[1:])
