"""What is said about it: a topic and its fields become a line that a person, or a program, reads.

Every line goes to stderr, and a stderr that cannot be written to is nobody's problem; what was
lost is counted, and said as soon as somebody reads again.  Contents of files are never among the
fields.  Names and reasons may come from znodes, and be of any length there: here each is cut.
`--silent` leaves nothing but fatal lines, `--verbose` adds what was decided and why.
"""

import signal
import time
from collections.abc import Mapping

from zkexec.cli.settings import LogFormat, Settings, Verbosity
from zkexec.core.actions import Note
from zkexec.runtime.log_messages import TEXTS, Level
from zkexec.runtime.stderr import Stderr
from zkexec.text import LONGEST, cut

LONGEST_MESSAGE = 10 * LONGEST
"""Of our own texts that stand in one, only a command line and a traceback can be that long."""


class Log:
    """Writes the log; says as much as the operator asked for."""

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
        self._as_json = settings.log_format is LogFormat.JSON
        self._known = {
            "hosts": settings.hosts_text,
            "command": settings.command.text,
            "health": settings.health.text if settings.health else "",
            "alert_command": settings.alert.text if settings.alert else "",
        }

    @property
    def verbose(self) -> bool:
        """Whether details are wanted that cost something to collect."""
        return self._least is Level.DEBUG

    def tell(self, note: Note) -> None:
        """Write one line about this note, if it matters enough."""
        if TEXTS[note.topic][0] < self._least:
            return
        if self._lost and self._least <= Level.WARNING:
            self._lost *= not self._write(Note("lines-lost", {"count": self._lost}))
        self._lost += not self._write(note)

    def _write(self, note: Note) -> bool:
        level, text = TEXTS[note.topic]
        fields = {name: _readable(name, value) for name, value in note.fields.items()}
        message = cut(text.format_map({**self._known, **fields}), LONGEST_MESSAGE)
        if self._as_json:
            return self._stderr.write(self._json_line(note.topic, level, message, fields))
        return self._stderr.write(f"[{self._stamp()}] {_one_line(message)}")

    def _stamp(self) -> str:
        """Tell the time; with many mirrors many lines have the same second."""
        second = int(time.time())
        if second != self._second:
            self._second, self._second_text = second, _local_time(second)
        return self._second_text

    def _json_line(
        self, topic: str, level: Level, message: str, fields: Mapping[str, object]
    ) -> str:
        import json  # noqa: PLC0415 -- only this format needs it

        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(now))
        stamp += f".{int(now * 1000) % 1000:03d}{time.strftime('%z', time.localtime(now))}"
        head = {"time": stamp, "level": level.name.lower(), "event": topic, "message": message}
        return json.dumps({**head, **fields})


def _local_time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(seconds))


def _readable(name: str, value: object) -> object:
    if name == "since" and isinstance(value, float):
        return _local_time(value) if value else "just now"
    if name == "signal" and isinstance(value, int):
        try:
            return signal.Signals(value).name
        except ValueError:
            return f"signal {value}"
    if value is None or isinstance(value, (int, float)):
        return value
    text = cut(str(value), LONGEST_MESSAGE if name == "traceback" else LONGEST)
    # Bytes that are no UTF-8 stand in a str as lone surrogates, which JSON must not hold.
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _one_line(text: str) -> str:
    """Escape what would break the line or the terminal: one note is one line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
