"""Perform the actions of the core: hand each one to the module that can perform it.

Here the core meets processes, files and the ensemble; nothing is decided here.
"""

from __future__ import annotations

import os

from zkexec.cli.settings import Settings
from zkexec.core import actions
from zkexec.core.actions import Action, Note, RunAlert
from zkexec.core.events import CommandStarted, Event, ReadFailed
from zkexec.core.rollout import group_actions
from zkexec.core.rollout.group_events import GroupRequestFailed
from zkexec.core.step import Step
from zkexec.lean import partial
from zkexec.process.processes import Processes, end_is_requested
from zkexec.runtime.aside import run_aside
from zkexec.runtime.inbox import Inbox
from zkexec.runtime.log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, ClassVar

    from zkexec.group.member_profile import MemberProfile
    from zkexec.process.leftovers import Leftovers
    from zkexec.runtime.cluster_session import ClusterSession
    from zkexec.runtime.file_actions import FileActions
    from zkexec.runtime.step_runner import StepRunner
    from zkexec.templates.render_runner import RenderRunner

    Performers = Mapping[type[Action], Callable[["Executor", Any], Sequence[Event] | None]]

CLOSE_TIMEOUT_S = 1.0
"""Wait at most this long for the session to close.  The server expires it anyway."""

LONGEST_PAUSE_S = 1.0
"""The longest pause between two rounds of connecting."""

_OUTDATED = "the connection was lost"

UNNEEDED_PAUSE_S = 30.0
"""The same if nothing is read from the cluster."""


class Executor:
    """Performs the core's actions, and answers those that have an outcome."""

    def __init__(
        self,
        settings: Settings,
        processes: Processes,
        log: Log,
        inbox: Inbox,
        group: MemberProfile | None = None,
        leftovers: Leftovers | None = None,
    ) -> None:
        self._settings = settings
        self._processes = processes
        self._log = log
        self._inbox = inbox
        self._group = group
        self._leftovers = leftovers
        self._identity = {
            "ZKEXEC_LOCK": settings.lock,
            "ZKEXEC_MEMBER": group.member_id if group else os.uname().nodename,
        }
        self._steps = self._new_step_runner() if settings.step_commands else None
        self._renderer = self._new_renderer() if settings.policy.inputs.templates else None
        self._file_actions = self._fresh_files()
        self._session: ClusterSession | None = None

    def perform(self, action: Action) -> Sequence[Event]:
        """Perform the action, and return the events that answer it at once."""
        return self.PERFORMERS[type(action)](self, action) or ()

    def reset(self) -> None:
        """Drop what a core has begun: its staged files, its steps and its session."""
        try:
            self._discard()
            if self._steps:
                self._steps.reset()
            if self._renderer:
                self._renderer.reset()
        finally:
            self._file_actions = self._fresh_files()
            self._close_session()

    @property
    def due(self) -> float | None:
        """When `confirm_command` has something to do."""
        return self._leftovers.due if self._leftovers else None

    def confirm_command(self, now: float) -> None:
        """Remember that the command still runs, if this is due."""
        if self._leftovers:
            self._leftovers.confirm_what_is_due(now, runs=self._processes.command_runs)

    def close(self) -> None:
        """Forget the command, so that no later zkexec searches for processes of this one."""
        if self._leftovers:
            self._leftovers.forget()

    def _write_note(self, note: Note) -> None:
        self._log.write(note)

    def _open_session(self, _: actions.OpenSession) -> None:
        if self._session is None:
            self._session = self._new_session()
            self._inbox.attach(self._session)
            self._import_for_later()
        self._session.open()

    def _new_session(self) -> ClusterSession:
        # The client library is heavy, so it is not imported before it is needed.
        from zkexec.cli.cluster_access import client_settings  # noqa: PLC0415
        from zkexec.runtime import cluster_session  # noqa: PLC0415

        policy, chroot = self._settings.policy, self._settings.chroot
        trees = (f"{root}/" for root in policy.inputs.trees)
        is_needed = policy.follows_any or policy.in_group
        return cluster_session.ClusterSession(
            client_settings(
                self._settings.servers,
                self._settings.access,
                policy.session_timeout_s,
                longest_pause_s=LONGEST_PAUSE_S if is_needed else UNNEEDED_PAUSE_S,
            ),
            (*policy.followed, *trees),
            chroot,
            self._inbox.post,
            self._group,
        )

    def _import_for_later(self) -> None:
        """Import what a connection needs.

        It may be made when no descriptor is left for an import.
        """
        if self._settings.access.tls is not None:
            import zkexec.zookeeper.tls_connection  # noqa: F401, PLC0415
        if any(one.scheme == "sasl" for one in self._settings.access.credentials):
            import puresasl.client  # noqa: F401, PLC0415

    def _close_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._inbox.detach(session)
            session.close(CLOSE_TIMEOUT_S)

    def _read_znodes(self, action: actions.ReadZnodes) -> Sequence[Event]:
        if not self._inbox.knows_connection:
            return [ReadFailed(action.number, _OUTDATED)]
        if self._session is not None:
            self._session.read(action.number)
        return ()

    def _rearm_watches(self, _: actions.RearmWatches) -> None:
        if self._leftovers and self._processes.command_runs:
            self._leftovers.confirm()
        if self._session is not None:
            self._session.rearm()

    def _request(self, action: group_actions.GroupRequest) -> Sequence[Event]:
        """Send a request of the core, which is meant for the connection that it knows of.

        On a later one the znodes may be those of another history of the servers.
        """
        if not self._inbox.knows_connection:
            if isinstance(action, group_actions.PublishStatus):
                return ()
            return [GroupRequestFailed(action.number, _OUTDATED)]
        if self._session is not None:
            self._session.request(action)
        return ()

    def _fresh_files(self) -> FileActions | None:
        """Make what writes files; None if nothing is followed, so that no file is ever written."""
        if not self._settings.policy.follows_any:
            return None
        from zkexec.runtime.file_actions import FileActions, layout_of  # noqa: PLC0415

        member_id = self._group.member_id if self._group else ""
        return FileActions(layout_of(self._settings, member_id), self._log)

    @property
    def _files(self) -> FileActions:
        if self._file_actions is None:
            raise RuntimeError("nothing is followed, so there are no files")
        return self._file_actions

    def _load_cached(self, _: actions.LoadCachedFiles) -> list[Event]:
        return [self._files.load_cached(self._inbox.sources)]

    def _stage(self, action: actions.StageFiles) -> list[Event]:
        return [self._files.stage(action.snapshot, self._inbox.sources)]

    def _install(self, _: actions.InstallFiles) -> list[Event]:
        # A command that runs then can load the files as soon as they are there.
        self._processes.expect_reload()
        return [self._files.install(self._inbox.sources)]

    def _discard(self, _: actions.DiscardFiles | None = None) -> None:
        if self._file_actions is not None:
            self._file_actions.discard()

    def _correct(self, _: actions.CorrectFiles) -> None:
        self._files.correct(self._inbox.sources)

    def _remember(self, action: actions.RememberState) -> None:
        self._files.remember(action.snapshot, action.was_healthy, self._inbox.sources)

    def _start_command(self, action: actions.StartCommand) -> list[Event]:
        """Start the command; before the first start, stop what an earlier zkexec left of it."""
        if self._leftovers:
            if not self._leftovers.has_searched:
                self._stop_leftovers(self._leftovers)
            self._processes.use_group(self._leftovers.group)
        event = self._processes.start_command(action.generation, action.variables)
        if self._leftovers and isinstance(event, CommandStarted):
            self._leftovers.note(event.pid)
        return [event]

    def _stop_leftovers(self, leftovers: Leftovers) -> None:
        """Stop what is left, which can take long, on a thread of its own."""
        stop = partial(leftovers.stop, self._log_leftovers, end_is_requested)
        remaining = run_aside(stop, self._inbox.sources)
        if remaining:
            self._log.write(Note("left-over-stays", {"pids": remaining}))

    def _log_leftovers(self, count: int) -> None:
        policy = self._settings.policy
        fields = {
            "count": count,
            "signal": policy.kill_signal,
            "kill_timeout_s": policy.kill_timeout_s,
        }
        self._log.write(Note("left-over", fields))

    def _signal_group(self, action: actions.SignalProcessGroup) -> None:
        self._processes.signal_group(action.signal)

    def _signal_tree(self, action: actions.SignalProcessTree) -> None:
        self._processes.signal_tree(action.signal)

    def _inspect_tree(self, action: actions.InspectProcessTree) -> list[Event]:
        return [self._processes.inspect_tree(action.generation)]

    def _run_check(self, action: actions.RunHealthCheck) -> None:
        if self._leftovers:
            self._leftovers.confirm()
        self._post_all(self._processes.auxiliaries.run_check(action.generation))

    def _kill_check(self, _: actions.KillHealthCheck) -> None:
        self._processes.auxiliaries.kill_check()

    def _render(self, action: actions.RenderTemplates) -> None:
        if self._renderer is None:
            raise RuntimeError("there are no templates")
        self._post_all(self._renderer.start(action))

    def _new_renderer(self) -> RenderRunner:
        # Most zkexec have no templates.
        from zkexec.templates.host_facts import HostFacts  # noqa: PLC0415
        from zkexec.templates.render_runner import RenderRunner  # noqa: PLC0415

        member = self._group.member_id if self._group else ""
        facts = HostFacts.of_this_host(member, self._settings.lock, os.environb)
        timeout_s = self._settings.template_timeout_s
        return RenderRunner(facts, timeout_s, self._processes, self._inbox)

    def _new_step_runner(self) -> StepRunner:
        # Most zkexec run no step.
        from zkexec.runtime.step_runner import StepRunner  # noqa: PLC0415

        return StepRunner(
            self._settings.step_commands,
            self._settings.check_targets or self._settings.policy.inputs.targets,
            self._identity,
            self._processes,
            self._inbox,
            self._log.relay,
        )

    def _run_step(self, action: actions.RunStep) -> None:
        if self._steps is None:
            raise RuntimeError("there is no command of a step")
        if action.step is Step.RELOAD:
            self._processes.expect_reload()
        self._post_all(self._steps.run(action, self._inbox.sources))

    def _kill_step(self, action: actions.KillStep) -> None:
        if self._steps:
            self._steps.kill(action.step)

    def _signal_command(self, action: actions.SignalCommand) -> None:
        self._processes.expect_reload()
        self._processes.signal_command(action.signal)

    def _run_alert(self, alert: RunAlert) -> None:
        self._post_all(self._processes.auxiliaries.run_alert(self._alert_environment(alert)))

    def _kill_alert(self, _: actions.KillAlert) -> None:
        self._processes.auxiliaries.kill_alert()

    def _post_all(self, events: list[Event]) -> None:
        """Queue these events behind all others.

        Answers come first in the inbox, so a check that can never be started would block the rest.
        """
        for event in events:
            self._inbox.post(event)

    def _alert_environment(self, alert: RunAlert) -> dict[str, str]:
        return {
            **self._identity,
            "ZKEXEC_EVENT": alert.event.value,
            "ZKEXEC_REASON": alert.reason,
            "ZKEXEC_STEP": alert.step.value if alert.step else "",
            "ZKEXEC_EXIT_STATUS": "" if alert.exit_status is None else str(alert.exit_status),
        }

    # ruff does not see this ClassVar, because `typing` is not imported when zkexec runs.
    PERFORMERS: ClassVar[Performers] = {
        Note: _write_note,
        actions.OpenSession: _open_session,
        actions.ReadZnodes: _read_znodes,
        actions.RearmWatches: _rearm_watches,
        group_actions.Enrol: _request,
        group_actions.PublishStatus: _request,
        group_actions.JoinQueue: _request,
        group_actions.RenewQueueNode: _request,
        group_actions.FindQueueNode: _request,
        group_actions.WatchQueueNodes: _request,
        group_actions.ListQueue: _request,
        group_actions.ReadQueue: _request,
        group_actions.LeaveQueue: _request,
        group_actions.ReadRecord: _request,
        group_actions.CommitRecord: _request,
        actions.LoadCachedFiles: _load_cached,
        actions.StageFiles: _stage,
        actions.InstallFiles: _install,
        actions.DiscardFiles: _discard,
        actions.CorrectFiles: _correct,
        actions.RememberState: _remember,
        actions.StartCommand: _start_command,
        actions.SignalProcessGroup: _signal_group,
        actions.SignalProcessTree: _signal_tree,
        actions.InspectProcessTree: _inspect_tree,
        actions.RunHealthCheck: _run_check,
        actions.KillHealthCheck: _kill_check,
        actions.RenderTemplates: _render,
        actions.RunStep: _run_step,
        actions.KillStep: _kill_step,
        actions.SignalCommand: _signal_command,
        RunAlert: _run_alert,
        actions.KillAlert: _kill_alert,
    }
    """The method that performs each action.  The loop itself performs EndProcess."""
