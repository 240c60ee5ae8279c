"""What is said about it: a topic and its fields become a line that a person, or a program, reads.

Every line goes to stderr, and a stderr that cannot be written to is nobody's problem; what was
lost is counted, and said as soon as somebody reads again.  Contents of files are never among the
fields.  `--silent` leaves nothing but fatal lines, `--verbose` adds what was decided and why.
"""

import signal
import time
from collections.abc import Mapping
from enum import IntEnum

from zkexec.core.actions import Note
from zkexec.settings import LogFormat, Settings, Verbosity
from zkexec.shell.stderr import Stderr


class Level(IntEnum):
    """How much a line matters."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    FATAL = 50


TEXTS: dict[str, tuple[Level, str]] = {
    "connecting": (Level.INFO, "connecting to {hosts}"),
    "connected": (Level.INFO, "connected"),
    "registering": (Level.INFO, "registering callback on {path}"),
    "connect-failed": (Level.WARNING, "cannot connect to {reason}"),
    "disconnected": (
        Level.WARNING,
        "connection to the cluster lost ({reason}); the command is left alone",
    ),
    "session-expired": (Level.WARNING, "session expired; opening a new one"),
    "session-renewed": (Level.WARNING, "still no connection; beginning again with a new session"),
    "read-unanswered": (Level.WARNING, "the cluster does not answer a read; connecting anew"),
    "read-failed": (Level.WARNING, "cannot read the configuration: {reason}"),
    "unneeded-cluster-silent": (
        Level.WARNING,
        "no cluster at {hosts} ({reason}); nothing is mirrored, so the command starts without it",
    ),
    "cluster-silent": (
        Level.WARNING,
        "no configuration from {hosts} within {connect_timeout_s:g} s ({reason})",
    ),
    "cluster-unreachable": (
        Level.FATAL,
        "--cluster: no configuration from {hosts} within {connect_timeout_s:g} s: {reason}",
    ),
    "cached-files-used": (Level.WARNING, "starting on the files that are there (--start cached)"),
    "cached-files-missing": (Level.FATAL, "--start cached: cannot use {reason}"),
    "znodes-unusable": (Level.FATAL, "--mirror: {problems} at {hosts}"),
    "waiting-for-znodes": (Level.INFO, "waiting (--start wait): {problems}"),
    "znode-unusable": (
        Level.WARNING,
        "{path} {problem}; its file and the command stay as they are",
    ),
    "znode-usable": (Level.INFO, "{path} has content again"),
    "touched": (Level.DEBUG, "{path} was touched; reading"),
    "changed": (Level.INFO, "new content for {path} ({size} bytes, sha256 {sha256})"),
    "change-undone": (Level.INFO, "back to what is installed; nothing to change"),
    "restarting": (Level.INFO, "restarting for the new configuration"),
    "installed": (Level.INFO, "wrote {path} ({size} bytes, sha256 {sha256})"),
    "written-in-place": (
        Level.WARNING,
        "{path} is written in place, a reader may see it half written: {reason}",
    ),
    "files-unwritable": (Level.FATAL, "--mirror: cannot write {reason}"),
    "files-failed": (
        Level.WARNING,
        "cannot write {reason}; the old configuration stays, next try in {retry_s:g} s",
    ),
    "forking": (Level.INFO, "forking {command}"),
    "forked": (Level.INFO, "forked {pid}"),
    "start-failed": (Level.FATAL, "--exec: {reason}"),
    "stopping": (Level.INFO, "stopping the command ({signal}, killed after {kill_timeout_s:g} s)"),
    "killing": (Level.WARNING, "the command did not stop in time; killing it"),
    "ended": (Level.DEBUG, "the command ended: {ending}"),
    "command-failed": (Level.INFO, "command failed"),
    "signal": (Level.DEBUG, "received {signal}"),
    "checking": (Level.INFO, "health checking via: {health}"),
    "check-passed": (Level.INFO, "successful health check"),
    "check-failed": (Level.WARNING, "failed health check: {reason}"),
    "alerting": (Level.INFO, "alerting via: {alert_command} ({alert}: {reason})"),
    "alert-failed": (Level.WARNING, "the alert command failed: {reason}"),
    "alert-killed": (Level.WARNING, "the alert command took too long; killed"),
    "lines-lost": (Level.WARNING, "{count} lines of this log could not be written"),
    "phase": (Level.DEBUG, "{left} -> {phase}"),
    "client": (Level.DEBUG, "client: {line}"),
    "crashed": (Level.FATAL, "zkexec itself failed, the command is stopped: {reason}"),
    "traceback": (Level.DEBUG, "{traceback}"),
}


class Narrator:
    """Writes the log; says as much as the operator asked for."""

    def __init__(self, settings: Settings) -> None:
        self._least = {
            Verbosity.SILENT: Level.FATAL,
            Verbosity.NORMAL: Level.INFO,
            Verbosity.VERBOSE: Level.DEBUG,
        }[settings.verbosity]
        self._stderr = Stderr()
        self._lost = 0
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
        message = text.format_map({**self._known, **fields})
        if self._as_json:
            return self._stderr.write(self._json_line(note.topic, level, message, fields))
        stamp = time.strftime("%Y-%m-%d %H:%M:%S %z")
        return self._stderr.write(f"[{stamp}] {_one_line(message)}")

    def _json_line(
        self, topic: str, level: Level, message: str, fields: Mapping[str, object]
    ) -> str:
        import json  # noqa: PLC0415 -- only this format needs it

        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(now))
        stamp += f".{int(now * 1000) % 1000:03d}{time.strftime('%z', time.localtime(now))}"
        head = {"time": stamp, "level": level.name.lower(), "event": topic, "message": message}
        return json.dumps({**head, **fields})


def _readable(name: str, value: object) -> object:
    if name == "signal" and isinstance(value, int):
        try:
            return signal.Signals(value).name
        except ValueError:
            return f"signal {value}"
    if isinstance(value, int | float | None):
        return value
    # Bytes that are no UTF-8 stand in a str as lone surrogates, which JSON must not hold.
    return str(value).encode("utf-8", "backslashreplace").decode()


def _one_line(text: str) -> str:
    """Escape what would break the line or the terminal: one note is one line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
