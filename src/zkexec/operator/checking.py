"""The operator's own check of new contents, on copies of them, before they are pushed.

The rules of this file:

- The copies are for this user alone, and named like the znodes, as many programs go by suffixes.
- They are gone with the check, however it ends: also where this process is asked to end, which
  it then does.
- The command gets no input, speaks where we speak, and does not get to know our secrets.
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

from zkexec.cli.shell_command import CommandLine
from zkexec.operator.outcome import OperatorError

_GRACE_S = 2.0
_LONGEST_NAME = 255
_SECRET = "ZKEXEC_AUTH"  # noqa: S105 - the name of a variable
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_SHELL = (b"/bin/sh", b"-c")


class _AskedToEndError(BaseException):
    """Raised where this process gets a signal that would have ended it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def check(
    command: CommandLine, contents: Mapping[str, bytes], environment: Mapping[str, str]
) -> None:
    """Run the command on the contents of these znodes; OperatorError where it does not succeed."""
    try:
        with _signals_raised() as signals:
            # mkdtemp makes it so that nobody else can enter it.
            folder = Path(tempfile.mkdtemp(prefix="zkexecctl-check-"))
            try:
                given = {**environment, **_assigned(command)}
                status = _run(_words(command, _copies(folder, contents)), given, signals)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except _AskedToEndError as asked:
        signal.raise_signal(asked.number)
        raise OperatorError(f"--check: ended by {_name(asked.number)}") from None
    except OSError as error:
        raise OperatorError(
            f"--check: cannot run {command.text}: {error.strerror}; nothing was pushed"
        ) from None
    if status:
        told = f"ended by {_name(-status)}" if status < 0 else f"exit status {status}"
        raise OperatorError(f"--check: {command.text}: {told}; nothing was pushed")


def _copies(folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    names = [_file_name(path) for path in contents]
    copies = []
    for number, (name, content) in enumerate(zip(names, contents.values(), strict=True), start=1):
        place = folder if len(set(names)) == len(names) else folder / str(number)
        place.mkdir(mode=0o700, exist_ok=True)
        copies.append(place / name)
        with open(copies[-1], "xb", opener=_private) as file:
            file.write(content)
    return copies


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _file_name(path: str) -> str:
    """Name a copy; of a long name the end is taken, as a suffix is there."""
    last = os.fsencode(path.rpartition("/")[2])[-_LONGEST_NAME:]
    return os.fsdecode(last) or "root"


def _words(command: CommandLine, copies: Sequence[Path]) -> list[bytes]:
    files = [os.fsencode(copy) for copy in copies]
    is_script = command.argv[:2] == _SHELL and len(command.argv) == 3
    # To a script they are "$1", "$2" and so on; before them a shell takes a name for itself.
    return [*command.argv, *([b"zkexecctl"] if is_script else []), *files]


class _Signals:
    """Signals that would end this process: each raises, but not in the middle of a start."""

    def __init__(self) -> None:
        self._held = False
        self._noted = 0

    def received(self, number: int, _: FrameType | None) -> None:
        """Take a signal."""
        if self._held:
            self._noted = number
        else:
            _raise(number)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let what comes meanwhile raise at the end."""
        self._held = True
        yield
        self._held = False
        if self._noted:
            _raise(self._noted)


def _assigned(command: CommandLine) -> dict[str, str]:
    return {os.fsdecode(name): os.fsdecode(value) for name, value in command.variables}


def _run(words: Sequence[bytes], environment: Mapping[str, str], signals: _Signals) -> int:
    secretless = {name: value for name, value in environment.items() if name != _SECRET}
    process = None
    try:
        # Raised within, a signal would leave a process that nobody knows.
        with signals.held():
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, env=secretless)
        return process.wait()
    finally:
        if process is not None and process.poll() is None:
            # Ctrl-C on a terminal it has got itself, and may want a moment to clean up.
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_S)
            process.kill()
            process.wait()


@contextmanager
def _signals_raised() -> Iterator[_Signals]:
    """Let signals that end this process raise; what is ignored stays ignored."""
    signals = _Signals()
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
    raise KeyboardInterrupt if number == signal.SIGINT else _AskedToEndError(number)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
