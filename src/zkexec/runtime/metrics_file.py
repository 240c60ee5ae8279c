"""Keep the metrics of one zkexec in a file: `--metrics-file`.

Prometheus's node_exporter reads it (`--collector.textfile.directory`).  The file is replaced by a
rename, so no reader finds half of it.

- It is written at a change, at most once a second, and each minute: a file that gets old shows that
  zkexec was killed, or hangs.
- If it cannot be written, one warning is logged, and nothing else happens.
- At a requested end it is removed: what it contains would be reported for ever.  If zkexec ends
  because something has failed, it stays, and shows that no command runs.
"""

from __future__ import annotations

import os

from zkexec.core.actions import Note
from zkexec.core.command import CANNOT_WORK
from zkexec.digest import sha256
from zkexec.lean import suppress
from zkexec.runtime.command_kind import command_kind
from zkexec.runtime.error_report import describe_error
from zkexec.runtime.inbox import now
from zkexec.runtime.member_metrics import MemberMetrics
from zkexec.runtime.metric_table import metrics_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zkexec.cli.settings import Settings
    from zkexec.core.actions import Action
    from zkexec.core.events import Event, ExitStatus
    from zkexec.core.member import Member
    from zkexec.runtime.log import Log

AT_MOST_EACH_S = 1.0
AT_LEAST_EACH_S = 60.0
_MODE = 0o644
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class MetricsFile:
    """The file, and when it is written; a source of the inbox."""

    descriptor: tuple[int, int] | None = None
    """It waits only for a time."""

    def __init__(
        self,
        path: str,
        metrics: MemberMetrics,
        labels: tuple[str, str],
        log: Log,
        clock: Callable[[], float] = now,
    ) -> None:
        """`labels` are the lock and the member; `clock` is that of the loop."""
        # A link at the path stays one.
        self._path = os.path.realpath(path)
        self._metrics = metrics
        self._labels = labels
        self._log = log
        self._clock = clock
        self._written: dict[tuple[str, ...], float] = {}
        self._due = clock()
        self._not_before = clock()
        self._has_warned = False

    @property
    def deadline(self) -> float | None:
        """When the file is to be written next."""
        return self._due

    def take_in(self, event: Event) -> None:
        """Let the metrics take in an event."""
        self._change(lambda: self._metrics.take_in(event))

    def count(self, decided: Sequence[Action], member: Member | None = None) -> None:
        """Let the metrics count what was decided, as `MemberMetrics.count` does."""
        self._change(lambda: self._metrics.count(decided, member))

    def _change(self, change: Callable[[], None]) -> None:
        try:
            change()
        except Exception as error:  # noqa: BLE001 -- no error in it may reach the command
            self._warn(describe_error(error))
        if self._metrics.samples != self._written:
            self._due = min(self._due, max(self._not_before, self._clock()))

    def advance(self) -> None:
        """Write the file if that is due."""
        at = self._clock()
        if at < self._due:
            return
        self._due, self._not_before = at + AT_LEAST_EACH_S, at + AT_MOST_EACH_S
        self._write()

    def end(self, ending: ExitStatus) -> None:
        """Write the last state if something has failed, or else remove the file."""
        if self._metrics.has_failed or ending.code == CANNOT_WORK:
            self._metrics.end()
            self._write()
            return
        with suppress(OSError):
            os.unlink(self._path)

    def _write(self) -> None:
        try:
            samples = dict(self._metrics.samples)
            self._replace(metrics_text(samples, self._labels).encode())
        except OSError as error:
            self._warn(error.strerror or str(error))
        except Exception as error:  # noqa: BLE001 -- no error in it may reach the command
            self._warn(describe_error(error))
        else:
            self._written = samples
            if self._has_warned:
                self._has_warned = False
                self._log.write(Note("metrics-written", {"path": self._path}))

    def _replace(self, content: bytes) -> None:
        """Write a new file beside the old one, whatever the umask is, and rename it."""
        folder, name = os.path.split(self._path)
        # The collector reads only names that end as this one does not.
        beside = f"{folder}/.{name}.new"
        with suppress(FileNotFoundError):
            os.unlink(beside)
        file = os.open(beside, _FLAGS, _MODE)
        try:
            try:
                os.fchmod(file, _MODE)
                while content:
                    content = content[os.write(file, content) :]
            finally:
                os.close(file)
            os.rename(beside, self._path)
        except OSError:
            os.unlink(beside)
            raise

    def _warn(self, reason: str) -> None:
        """Log this once, until the file was written again."""
        if not self._has_warned:
            self._has_warned = True
            self._log.write(Note("metrics-unwritten", {"path": self._path, "reason": reason}))


def metrics_file_of(settings: Settings, member_id: str, log: Log) -> MetricsFile:
    """Make the file of this zkexec; `member_id` is "" without a group."""
    metrics = MemberMetrics(settings.policy)
    labels = (settings.lock, member_id or _name_of(settings))
    return MetricsFile(settings.metrics_file, metrics, labels, log)


def _name_of(settings: Settings) -> str:
    """Name a zkexec without a group; no two files have the same name, or the collector fails."""
    kind = f"{command_kind(settings)} {settings.metrics_file}"
    digest = sha256(kind.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{os.uname().nodename}-{digest[:8]}"
