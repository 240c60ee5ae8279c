"""Actions become effects: each is handed to the one file that knows its part of the world."""

import os
from collections.abc import Callable
from importlib import import_module

from zkexec.cli.settings import Settings
from zkexec.core import actions
from zkexec.core.actions import Action, Note, RunAlert
from zkexec.core.events import (
    CachedFilesFound,
    CachedFilesMissing,
    CommandStarted,
    Event,
    FilesFailed,
    FilesInstalled,
    FilesStaged,
)
from zkexec.core.rollout import group_actions
from zkexec.core.snapshot import Snapshot
from zkexec.files.installer import Installer, InstallError, load_cached
from zkexec.process.processes import Processes, ending_is_asked_for
from zkexec.runtime.log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from zkexec.group.member_profile import MemberProfile
    from zkexec.process.leftovers import Leftovers
    from zkexec.zookeeper.ensemble import Ensemble

CLOSE_TIMEOUT_S = 1.0
"""A clean end of the session is good manners towards the servers, and not worth waiting for."""

UNNEEDED_PAUSE_S = 30.0
"""Longest pause between two rounds of connecting if nothing is needed of the cluster."""


class Executor:
    """Performs the core's actions and answers those that have an outcome."""

    def __init__(
        self,
        settings: Settings,
        processes: Processes,
        log: Log,
        post: Callable[[Event], None],
        group: "MemberProfile | None" = None,
        leftovers: "Leftovers | None" = None,
    ) -> None:
        self._settings = settings
        self._processes = processes
        self._log = log
        self._post = post
        self._group = group
        self._leftovers = leftovers
        self._files = self._fresh_files()
        self._ensemble: Ensemble | None = None

    def perform(self, action: Action) -> list[Event]:
        """Do it, and tell the events that answer it at once."""
        match action:
            case Note():
                self._log.tell(action)
            case actions.OpenSession():
                self._open_session()
            case actions.ReadZnodes(number):
                if self._ensemble is not None:
                    self._ensemble.read(number)
            case actions.RearmWatches():
                if self._leftovers and self._processes.command_runs:
                    self._leftovers.confirm()
                if self._ensemble is not None:
                    self._ensemble.rearm()
            case _ if isinstance(action, group_actions.GroupRequest):
                if self._ensemble is not None:
                    self._ensemble.request(action)
            case _:
                return self._perform_on_files(action)
        return []

    def reset(self) -> None:
        """Leave nothing behind of what a core has begun: no staged file, no session."""
        try:
            self._files.discard()
        finally:
            self._files = self._fresh_files()
            self._close_session()

    @property
    def due(self) -> float | None:
        """When `look_after` has something to do."""
        return self._leftovers.due if self._leftovers else None

    def look_after(self, now: float) -> None:
        """Remember that the command still runs, where it is time for that."""
        if self._leftovers:
            self._leftovers.confirm_what_is_due(now, runs=self._processes.command_runs)

    def close(self) -> None:
        """Let nothing be looked for that this zkexec has left behind: it has left nothing."""
        if self._leftovers:
            self._leftovers.forget()

    def _fresh_files(self) -> Installer:
        return Installer(self._warn_of_writing_in_place, len(self._settings.policy.mirrors))

    def _perform_on_files(self, action: Action) -> list[Event]:
        match action:
            case actions.LoadCachedFiles():
                return [self._load_cached()]
            case actions.StageFiles(snapshot):
                return [self._stage(snapshot)]
            case actions.InstallFiles():
                return [self._install()]
            case actions.DiscardFiles():
                self._files.discard()
            case _:
                return self._perform_on_processes(action)
        return []

    def _perform_on_processes(self, action: Action) -> list[Event]:
        match action:
            case actions.StartCommand(generation):
                return [self._start_child(generation)]
            case actions.SignalProcessGroup(signal):
                self._processes.signal_group(signal)
            case actions.SignalProcessTree(signal):
                self._processes.signal_tree(signal)
            case actions.InspectProcessTree(generation):
                return [self._processes.inspect_tree(generation)]
            case actions.RunHealthCheck(generation):
                if self._leftovers:
                    self._leftovers.confirm()
                self._post_all(self._processes.run_check(generation))
            case actions.KillHealthCheck():
                self._processes.kill_check()
            case RunAlert():
                self._post_all(self._processes.run_alert(self._alert_environment(action)))
            case actions.KillAlert():
                self._processes.kill_alert()
            case _:
                raise TypeError(f"no effect is known for {action}")
        return []

    def _start_child(self, generation: int) -> Event:
        """Start the command, the first time after what an earlier zkexec left of it is stopped."""
        if self._leftovers:
            remaining = self._leftovers.stop(self._tell_of_leftovers, ending_is_asked_for)
            if remaining:
                self._log.tell(Note("left-over-stays", {"pids": remaining}))
            self._processes.use_group(self._leftovers.group)
        event = self._processes.start_command(generation)
        if self._leftovers and isinstance(event, CommandStarted):
            self._leftovers.note(event.pid)
        return event

    def _tell_of_leftovers(self, number: int) -> None:
        policy = self._settings.policy
        self._log.tell(
            Note(
                "left-over",
                {
                    "count": number,
                    "signal": policy.kill_signal,
                    "kill_timeout_s": policy.kill_timeout_s,
                },
            )
        )

    def _post_all(self, events: list[Event]) -> None:
        """Queue what is no answer to wait for: a check that never starts must not shut out all."""
        for event in events:
            self._post(event)

    def _open_session(self) -> None:
        if self._ensemble is None:
            # kazoo is heavy: not before it is needed.
            from zkexec.zookeeper.credentials import client_options  # noqa: PLC0415
            from zkexec.zookeeper.ensemble import Ensemble  # noqa: PLC0415

            policy = self._settings.policy
            self._ensemble = Ensemble(
                servers=self._settings.servers,
                chroot=self._settings.chroot,
                session_timeout_s=policy.session_timeout_s,
                paths=policy.followed,
                post=self._post,
            )
            if not (policy.followed or policy.in_group):
                self._ensemble.longest_pause_s = UNNEEDED_PAUSE_S
            self._ensemble.client_options = client_options(self._settings.access)
            self._ensemble.group = self._group
            self._import_for_later()
            if self._log.verbose:
                self._ensemble.verbose = self._tell_client_line
        self._ensemble.open()

    def _import_for_later(self) -> None:
        """Import what a connection needs, which may be made when no descriptor is left for that."""
        if self._group is not None:
            import_module("zkexec.group.member_node")
        if self._settings.access.tls is not None:
            import_module("zkexec.zookeeper.tls")
        if any(one.scheme == "sasl" for one in self._settings.access.credentials):
            import_module("puresasl.client")
        # A log line that names what does not print.
        import_module("encodings.unicode_escape")

    def _close_session(self) -> None:
        ensemble, self._ensemble = self._ensemble, None
        if ensemble is not None:
            ensemble.close(CLOSE_TIMEOUT_S)

    def _load_cached(self) -> Event:
        try:
            files = load_cached([mirror.local_path for mirror in self._settings.policy.mirrors])
        except InstallError as problem:
            return CachedFilesMissing(str(problem))
        return CachedFilesFound(Snapshot(files))

    def _stage(self, snapshot: Snapshot) -> Event:
        try:
            self._files.stage(snapshot)
        except InstallError as problem:
            return FilesFailed(str(problem))
        return FilesStaged()

    def _install(self) -> Event:
        try:
            return FilesInstalled(self._files.install())
        except InstallError as problem:
            return FilesFailed(str(problem))

    def _tell_client_line(self, line: str) -> None:
        self._log.tell(Note("client", {"line": line}))

    def _warn_of_writing_in_place(self, path: str, reason: str) -> None:
        self._log.tell(Note("written-in-place", {"path": path, "reason": reason}))

    def _alert_environment(self, alert: RunAlert) -> dict[str, str]:
        return {
            "ZKEXEC_EVENT": alert.event.value,
            "ZKEXEC_REASON": alert.reason,
            "ZKEXEC_LOCK": self._settings.lock,
            "ZKEXEC_MEMBER": self._group.member_id if self._group else os.uname().nodename,
            "ZKEXEC_EXIT_STATUS": "" if alert.exit_status is None else str(alert.exit_status),
        }
