"""Run the operator's own check on copies of new contents, before they are pushed.

The rules of this file:

- Only this user can read the copies.  They are named like the znodes, as many programs decide by
  the suffix.  The copy of a tree is a folder.
- They are removed with the check, however it ends: also if this process gets a signal to end,
  which it obeys afterwards.
- The command has no input and our output, and does not get our secrets.
"""

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from zkexec.command_line import CommandLine
from zkexec.ctl.command.ending_signals import (
    EndingSignals,
    SignalledError,
    signal_name,
    signals_raised,
)
from zkexec.ctl.command.written_folder import WrittenFolder, remove_folder
from zkexec.ctl.exit_status import SubcommandError
from zkexec.ctl.history.tree_content import decode, is_tree, to_files

_GRACE_S = 2.0
_LONGEST_NAME = 255
_SECRET = "ZKEXEC_AUTH"  # noqa: S105 - the name of a variable


def check(
    command: CommandLine, contents: Mapping[str, bytes], environment: Mapping[str, str]
) -> None:
    """Run the command on the contents of these znodes; raise SubcommandError if it fails."""
    try:
        with signals_raised() as signals:
            # mkdtemp makes it so that no other user can enter it.
            folder = Path(tempfile.mkdtemp(prefix="zkexecctl-check-"))
            try:
                given = {**environment, **_assigned(command)}
                status = _run(_words(command, _copies(folder, contents)), given, signals)
            finally:
                remove_folder(str(folder))
    except SignalledError as signalled:
        signal.raise_signal(signalled.number)
        raise SubcommandError(f"--check: ended by {signal_name(signalled.number)}") from None
    except OSError as error:
        raise SubcommandError(
            f"--check: cannot run {command.text}: {error.strerror}; nothing was pushed"
        ) from None
    if status:
        how = f"killed by {signal_name(-status)}" if status < 0 else f"exit status {status}"
        raise SubcommandError(f"--check: {command.text}: {how}; nothing was pushed")


def _copies(folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    names = [_file_name(path) for path in contents]
    copies = []
    pairs = zip(names, contents.items(), strict=True)
    for number, (name, (path, content)) in enumerate(pairs, start=1):
        parent = folder if len(set(names)) == len(names) else folder / str(number)
        parent.mkdir(mode=0o700, exist_ok=True)
        copies.append(parent / name)
        if is_tree(path):
            _copy_tree(path, content, copies[-1])
        else:
            _copy(content, copies[-1])
    return copies


def _copy_tree(path: str, content: bytes, folder: Path) -> None:
    try:
        files = to_files(decode(content))
    except ValueError as mistake:
        raise SubcommandError(f"--check: {path}{mistake}; nothing was pushed") from None
    written = WrittenFolder(str(folder), is_private=True)
    try:
        for file, inside in files.items():
            written.add(file, inside)
    finally:
        written.close()


def _copy(content: bytes, place: Path) -> None:
    with open(place, "xb", opener=_private) as file:
        file.write(content)


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _file_name(path: str) -> str:
    """Name a copy; of a long name the end is used, as the suffix is there."""
    last = os.fsencode(path.rstrip("/").rpartition("/")[2])[-_LONGEST_NAME:]
    return os.fsdecode(last) or "root"


def _words(command: CommandLine, copies: Sequence[Path]) -> list[bytes]:
    files = [os.fsencode(copy) for copy in copies]
    # A script gets them as "$1", "$2" and so on; a shell takes the word before as its own name.
    return [*command.argv, *([b"zkexecctl"] if command.is_script else []), *files]


def _assigned(command: CommandLine) -> dict[str, str]:
    return {os.fsdecode(name): os.fsdecode(value) for name, value in command.variables}


def _run(words: Sequence[bytes], environment: Mapping[str, str], signals: EndingSignals) -> int:
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
