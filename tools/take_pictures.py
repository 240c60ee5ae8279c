"""The terminal pictures of the README, taken in a real rollout: `make pictures`.

    tools/take_pictures.py FOLDER

Five members with health checks that take a while run against a ZooKeeper of their own.  A good
push is photographed in the middle, and at its end where it was followed; then a bad one where the
rollout has stopped.

The rules of this file: a picture is what a program has written to a terminal, unretouched; it is
taken when the screen shows what it is to show, never because some time has passed.
"""

import fcntl
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pyte

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "test"), str(ROOT / "src")]

from terminal_picture import FaintScreen, picture  # noqa: E402 -- the paths come first
from zookeeper import Server  # noqa: E402

_COLUMNS, _LINES = 116, 40
_PATIENCE_S = 120.0
_GREETING = "workers = 4\ncache_mb = 256\nlog = info\n"
_FASTER = _GREETING.replace("256", "512")
_BROKEN = _FASTER.replace("workers = 4", "workers = four")
# The service of the pictures reads its workers as a number, as a service would.
_SERVICE = (
    "python3 -c 'import time; print(int(open(\"app.conf\").read().split()[2])); time.sleep(1e6)'"
)
_PROGRAMS = {"zkexec": "zkexec", "zkexecctl": "zkexec.operator"}


class Terminal:
    """A terminal on which a command line was typed, and the program that it started."""

    def __init__(self, folder: Path, environment: dict[str, str], line: str) -> None:
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
            cwd=folder,
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
        with suppress(OSError):  # Nobody has the terminal open any more.
            if ready:
                self._stream.feed(os.read(self._master, 65536))


class Studio:
    """A folder with the files of all members, a cluster, and programs on the PATH."""

    def __init__(self, pictures: Path, keep: ExitStack) -> None:
        self._pictures = pictures
        self._keep = keep
        self.folder = Path(tempfile.mkdtemp(prefix="zkexec-pictures-"))
        keep.callback(shutil.rmtree, self.folder, ignore_errors=True)
        server = Server()
        keep.callback(server.close)
        server.start()
        self._environment = {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "src"),
            "ZKEXEC_CLUSTER": server.hosts,
            "ZKEXEC_BY": "alice@ops1",
            "TZ": "UTC",
        }
        (self.folder / "bin").mkdir()
        for name, module in _PROGRAMS.items():
            program = self.folder / "bin" / name
            program.write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n')
            program.chmod(0o755)

    def start_member(self, name: str) -> None:
        """Start a member whose checks take some seconds."""
        folder = self.folder / name
        folder.mkdir()
        words = [
            *("zkexec", "--lock", "web", "--member-id", name, "--mirror", "app.conf=/web/app.conf"),
            *("--health", "sleep 0.5", "--min-healthy", "2", "--health-interval", "1"),
            *("--health-delay", "20", "--exec", _SERVICE),
        ]
        process = subprocess.Popen(
            [f"{self.folder}/bin/{words[0]}", *words[1:]],
            cwd=folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._keep.callback(process.wait)
        self._keep.callback(process.terminate)

    def wait_until_all_run(self) -> None:
        """Wait for the first start of all members; TimeoutError if it never comes to that."""
        give_up_at = time.monotonic() + _PATIENCE_S
        while self.run("zkexecctl status web | grep -q '^web: 5 of 5'"):
            if time.monotonic() > give_up_at:
                raise TimeoutError("the members do not start")
            time.sleep(0.2)

    def run(self, line: str) -> int:
        """Run a command that is in no picture, and return how it ended."""
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=False,
        )
        return done.returncode

    @contextmanager
    def terminal(self, line: str) -> Iterator[Terminal]:
        """A terminal with this command; it is interrupted at the end, if it still runs."""
        terminal = Terminal(self.folder, self._environment, line)
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
    with ExitStack() as keep:
        studio = Studio(pictures, keep)
        for name, content in (("old", _GREETING), ("app.conf", _FASTER), ("worse.conf", _BROKEN)):
            (studio.folder / name).write_text(content)
        studio.run("zkexecctl push --yes --message 'first version' /web/app.conf=old")
        for number in range(1, 6):
            studio.start_member(f"web{number}")
        studio.wait_until_all_run()
        with studio.terminal("zkexecctl status web --watch") as status:
            follow_a_good_push(studio, status)
            follow_a_bad_push(studio, status)


def follow_a_good_push(studio: Studio, status: Terminal) -> None:
    """One terminal pushes and waits, the other watches."""
    line = "zkexecctl push --yes -m 'more cache' --lock web --wait /web/app.conf=app.conf"
    with studio.terminal(line) as push:
        status.wait_for(r"2 of 5")
        status.wait_for(r"verifying")
        studio.take(status, "rollout", "status --watch in the middle of a rollout")
        push.end()
        studio.take(push, "push", "push --wait, from the difference to the last member")


def follow_a_bad_push(studio: Studio, status: Terminal) -> None:
    """What fails on the first member stays there."""
    line = "zkexecctl push --yes -m 'workers' --lock web --wait /web/app.conf=worse.conf"
    with studio.terminal(line) as push:
        push.end()
        status.wait_for(r"failed")
        studio.take(status, "paused", "status --watch after a bad push")
    with studio.terminal("zkexecctl undo /web/app.conf --yes --lock web --wait") as undo:
        undo.end()
        studio.take(undo, "undo", "undo --wait, and all is well")


if __name__ == "__main__":
    main(*sys.argv[1:])
