"""Write the log to stderr: each note becomes one line, for a person or for a program.

A stderr that cannot be written delays and ends nothing.  Lost lines are counted, and the count is
logged as soon as a line can be written again.  Names and reasons can come from znodes and have any
length there, so each is cut here.  No field of a note contains the content of a file.
"""

from __future__ import annotations

import os
import select
import time

from zkexec.cli.settings import LogFormat, Settings, Verbosity
from zkexec.cli.shell_command import quoted
from zkexec.core.actions import Note
from zkexec.core.events import signal_name
from zkexec.runtime.log_messages import HEALTH_CHECKS, MESSAGES, PRIORITIES, Level
from zkexec.text import LONGEST, cut, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


STDERR = 2
PATIENCE_S = 0.2
"""How long a line waits for room in a full pipe, once, before lines are dropped."""
LONGEST_MESSAGE = 10 * LONGEST
"""Of the fields that zkexec itself makes, only a command line or a traceback can be this long."""


class Log:
    """The log of one zkexec, in the format and as verbose as the operator chose."""

    def __init__(self, settings: Settings) -> None:
        self._least = {
            Verbosity.SILENT: Level.FATAL,
            Verbosity.NORMAL: Level.INFO,
            Verbosity.VERBOSE: Level.DEBUG,
        }[settings.verbosity]
        self._stderr = Stderr()
        self._lost = 0
        self._second = 0
        self._second_text = ""
        self._is_mid_line = False
        """Whether the last that was relayed was not a whole line."""
        self._turn_fields: Callable[[], Mapping[str, str]] = dict
        self._is_json = settings.log_format is LogFormat.JSON
        self._is_journal = not self._is_json and stderr_is_journal()
        inputs = settings.policy.inputs
        self._known = {
            "hosts": settings.hosts_text,
            "command": settings.command.text,
            "health": settings.health.text if settings.health else "",
            "alert_command": settings.alert.text if settings.alert else "",
            "group": quoted(settings.lock),
            "input_options": ", ".join(inputs.options),
            # Without targets, only the state file is written.
            "file_options": ", ".join(inputs.file_options) or "--state-dir",
        }

    def follow_turn(self, fields: Callable[[], Mapping[str, str]]) -> None:
        """Add these fields to each JSON line; `fields` is called when the line is written."""
        self._turn_fields = fields

    @property
    def verbose(self) -> bool:
        """Whether the log contains debug lines, some of which cost something to collect."""
        return self._least is Level.DEBUG

    def write(self, note: Note) -> None:
        """Write one line about this note, if its level is high enough."""
        level = self._level_of(note)
        if not self._shows(level):
            return
        if self._lost and self._shows(Level.WARNING):
            lost = Note("lines-lost", {"count": self._lost})
            self._lost *= not self._write_line(lost, Level.WARNING)
        self._lost += not self._write_line(note, level)

    def text_of(self, note: Note) -> str:
        """Return the text of a note, as a line of the log has it."""
        fields = {name: _readable(name, value) for name, value in note.fields.items()}
        text = MESSAGES[note.topic][1].format_map({**self._known, **fields})
        return cut(text, LONGEST_MESSAGE)

    def relay(self, output: bytes) -> None:
        """Write what the command of a step printed, as it is."""
        self._is_mid_line = not output.endswith(b"\n")
        if lost := self._stderr.write_bytes(output):
            self._lost += max(1, lost.count(b"\n"))

    def pass_on(self, output: bytes) -> bytes:
        """Write what the command printed, as far as there is room now; return the rest."""
        rest = self._stderr.write_ready(output)
        if len(rest) < len(output):
            self._is_mid_line = not output[: len(output) - len(rest)].endswith(b"\n")
        return rest

    @property
    def descriptor(self) -> int:
        """The descriptor that the log is written to."""
        return self._stderr.descriptor

    def _shows(self, level: Level) -> bool:
        return PRIORITIES[level] <= PRIORITIES[self._least]

    def _level_of(self, note: Note) -> Level:
        """Return the level; in the journal and in JSON, only a change of health is info."""
        if note.topic in HEALTH_CHECKS and (self._is_json or self._is_journal):
            return Level.INFO if note.fields.get("is_change") else Level.DEBUG
        return MESSAGES[note.topic][0]

    def _write_line(self, note: Note, level: Level) -> bool:
        if self._is_mid_line:
            self.relay(b"\n")
        message = self.text_of(note)
        if self._is_json:
            own = {name: _readable(name, value) for name, value in note.fields.items()}
            fields = {**self._turn_fields(), **own}
            return self._stderr.write(_json_line(note.topic, level, message, fields))
        head = f"<{PRIORITIES[level]}>" if self._is_journal else f"[{self._time_text()}] "
        return self._stderr.write(head + printable(message))

    def _time_text(self) -> str:
        """Format the time once a second: with many mirrors, many lines have the same second."""
        second = int(time.time())
        if second != self._second:
            self._second, self._second_text = second, _local_time(second)
        return self._second_text


_LONGEST_WRITE_S = 1.0
"""What a slow reader has not taken by then is lost: zkexec has signals to pass on."""


class Stderr:
    """Descriptor 2, written so that its reader cannot end or block zkexec.

    If a pipe is full, its reader gets a moment once, and after that only once it reads again:
    otherwise a slow reader would keep zkexec from passing on a signal.
    """

    def __init__(self) -> None:
        self._patience_s = PATIENCE_S
        self.descriptor = _of_its_own() if os.isatty(STDERR) else STDERR
        # Its number can be too large for `select`, if zkexec has inherited many.
        self._poll = select.poll()
        self._poll.register(self.descriptor, select.POLLOUT)

    def write(self, line: str) -> bool:
        """Write one line; return False if a part of it could not be written.  Never raises."""
        return not self.write_bytes((line + "\n").encode("utf-8", "backslashreplace"))

    def write_ready(self, rest: bytes) -> bytes:
        """Write these bytes as far as there is room, and return the rest.  Never raises.

        If it has no reader any more, nothing is left.
        """
        try:
            while rest and self._poll.poll(0):
                rest = rest[os.write(self.descriptor, rest[: select.PIPE_BUF]) :]
        except BlockingIOError:
            return rest
        except OSError:
            return b""
        return rest

    def write_bytes(self, rest: bytes) -> bytes:
        """Write these bytes, and return those that could not be written.  Never raises."""
        give_up_at = time.monotonic() + _LONGEST_WRITE_S
        try:
            while rest and self._poll.poll(1000 * self._patience_s):
                self._patience_s = PATIENCE_S
                if time.monotonic() > give_up_at:
                    break
                # A pipe that is ready takes a piece of this size without blocking.
                rest = rest[os.write(self.descriptor, rest[: select.PIPE_BUF]) :]
        except BlockingIOError:
            # A terminal has room for less than this, and nobody reads it.
            self._patience_s = 0
            return rest
        except OSError:
            return rest
        if rest:
            self._patience_s = 0
        return rest


def _of_its_own() -> int:
    """Open the terminal once more, so that it is non-blocking for zkexec and for nobody else."""
    try:
        return os.open(f"/proc/self/fd/{STDERR}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return STDERR


def stderr_is_journal() -> bool:
    """Return whether stderr is the socket of the journal that systemd names in JOURNAL_STREAM.

    The variable is inherited also by processes whose stderr is another one, so it is compared.
    """
    named = os.environ.get("JOURNAL_STREAM", "")
    if not named:
        return False
    try:
        status = os.fstat(STDERR)
    except OSError:
        return False
    return named == f"{status.st_dev}:{status.st_ino}"


def _json_line(topic: str, level: Level, message: str, fields: Mapping[str, object]) -> str:
    import json  # noqa: PLC0415 -- only this format needs it

    now = time.time()
    zone = time.strftime("%z", time.localtime(now))
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(now))
    # RFC 3339 wants a colon in the offset.
    stamp += f".{int(now * 1000) % 1000:03d}{zone[:3]}:{zone[3:]}"
    head = {"time": stamp, "level": level.value, "event": topic, "message": message}
    return json.dumps({**head, **fields})


def _local_time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(seconds))


def _readable(name: str, value: object) -> object:
    if name == "since" and isinstance(value, float):
        return _local_time(value) if value else "just now"
    if name == "signal" and isinstance(value, int):
        return signal_name(value)
    if value is None or isinstance(value, (int, float)):
        return value
    text = cut(str(value), LONGEST_MESSAGE if name == "traceback" else LONGEST)
    # Bytes that are no UTF-8 are lone surrogates in a str, which JSON must not contain.
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
