"""Run the operator's own check on copies of new contents, before they are pushed.

The rules of this file:

- Only this user can read the copies.  They are named like the znodes, as many programs decide by
  the suffix.
- They are removed with the check, however it ends: also if this process gets a signal to end,
  which it obeys afterwards.
- The command has no input and our output, and does not get our secrets.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from zkexec.command_line import CommandLine
from zkexec.ctl.exit_status import SubcommandError

_GRACE_S = 2.0
_LONGEST_NAME = 255
_SECRET = "ZKEXEC_AUTH"  # noqa: S105 - the name of a variable
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class _SignalledError(BaseException):
    """Raised when this process gets a signal that would have ended it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def check(
    command: CommandLine, contents: Mapping[str, bytes], environment: Mapping[str, str]
) -> None:
    """Run the command on the contents of these znodes; raise SubcommandError if it fails."""
    try:
        with _signals_raised() as signals:
            # mkdtemp makes it so that no other user can enter it.
            folder = Path(tempfile.mkdtemp(prefix="zkexecctl-check-"))
            try:
                given = {**environment, **_assigned(command)}
                status = _run(_words(command, _copies(folder, contents)), given, signals)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except _SignalledError as signalled:
        signal.raise_signal(signalled.number)
        raise SubcommandError(f"--check: ended by {_name(signalled.number)}") from None
    except OSError as error:
        raise SubcommandError(
            f"--check: cannot run {command.text}: {error.strerror}; nothing was pushed"
        ) from None
    if status:
        how = f"killed by {_name(-status)}" if status < 0 else f"exit status {status}"
        raise SubcommandError(f"--check: {command.text}: {how}; nothing was pushed")


def _copies(folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    names = [_file_name(path) for path in contents]
    copies = []
    for number, (name, content) in enumerate(zip(names, contents.values(), strict=True), start=1):
        parent = folder if len(set(names)) == len(names) else folder / str(number)
        parent.mkdir(mode=0o700, exist_ok=True)
        copies.append(parent / name)
        with open(copies[-1], "xb", opener=_private) as file:
            file.write(content)
    return copies


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _file_name(path: str) -> str:
    """Name a copy; of a long name the end is used, as the suffix is there."""
    last = os.fsencode(path.rpartition("/")[2])[-_LONGEST_NAME:]
    return os.fsdecode(last) or "root"


def _words(command: CommandLine, copies: Sequence[Path]) -> list[bytes]:
    files = [os.fsencode(copy) for copy in copies]
    # A script gets them as "$1", "$2" and so on; a shell takes the word before as its own name.
    return [*command.argv, *([b"zkexecctl"] if command.is_script else []), *files]


class _CheckSignals:
    """Signals that would end this process: each raises, but not while a process is started."""

    def __init__(self) -> None:
        self._is_deferred = False
        self._deferred = 0

    def received(self, number: int, _: FrameType | None) -> None:
        """Take a signal."""
        if self._is_deferred:
            self._deferred = number
        else:
            _raise(number)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let a signal that arrives meanwhile raise at the end."""
        self._is_deferred = True
        yield
        self._is_deferred = False
        if self._deferred:
            _raise(self._deferred)


def _assigned(command: CommandLine) -> dict[str, str]:
    return {os.fsdecode(name): os.fsdecode(value) for name, value in command.variables}


def _run(words: Sequence[bytes], environment: Mapping[str, str], signals: _CheckSignals) -> int:
    secretless = {name: value for name, value in environment.items() if name != _SECRET}
    process = None
    try:
        # An exception inside Popen would leave a process behind.
        with signals.deferred():
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, env=secretless)
        return process.wait()
    finally:
        if process is not None and process.poll() is None:
            # It got a Ctrl-C of the terminal itself, and may need a moment to clean up.
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_S)
            process.kill()
            process.wait()


@contextmanager
def _signals_raised() -> Iterator[_CheckSignals]:
    """Let signals that end this process raise; ignored signals stay ignored."""
    signals = _CheckSignals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    before = {number: signal.getsignal(number) for number in _ENDING}
    wanted = {
        number: handler
        for number, handler in before.items()
        if handler in (signal.SIG_DFL, signal.default_int_handler)
    }
    try:
        for number in wanted:
            signal.signal(number, signals.received)
        yield signals
    finally:
        for number, handler in wanted.items():
            signal.signal(number, handler)


def _raise(number: int) -> None:
    raise KeyboardInterrupt if number == signal.SIGINT else _SignalledError(number)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
