"""The inputs: what the znodes contain, as far as this member has read them.

A watch only triggers a read.  One read runs at a time; a watch that fires meanwhile causes another
one afterwards.  After each connect everything is read again.  A server can drop a watch silently,
so all watches are armed again at an interval.  What was read is rendered, if there are templates,
and only then it counts.  If any of it cannot be used, all of it counts as what is installed now,
with a warning, so that content that is in no znode any more is never rolled out.  Losing the
cluster never affects the command.
"""

from __future__ import annotations

from zkexec.core.actions import Action, Note, OpenSession, ReadZnodes, RearmWatches
from zkexec.core.events import (
    ConnectFailed,
    Event,
    ReadFailed,
    RenderFinished,
    SessionConnected,
    SessionLost,
    SessionSuspended,
    ZnodesRead,
    ZnodeTouched,
)
from zkexec.core.policy import Policy
from zkexec.core.production import Production, Reading
from zkexec.core.snapshot import (
    NOTHING_READ,
    UNLIMITED,
    InputState,
    Problem,
    Snapshot,
    Znode,
    plan,
)
from zkexec.frozen import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from zkexec.core.template_rendering import TemplateRendering


RETRY_S = 1.0
"""Pause before a failed read is followed by the next."""

RENEW_SESSIONS = 6
RENEW_AT_LEAST_S = 60.0
"""A session that stays without connection for six session timeouts, and at least this long, is
replaced by a new one: an ensemble that was wiped or restored refuses the old one for ever."""

FORBIDDEN_S = 10.0
"""Pause before a znode that may not be read is tried again: no watch reports a new ACL."""

RENDER_AGAIN_S = 10.0
"""Pause before this host tries again to render what it could not."""

NO_RESTART = b"-"
"""The content of the restart znode after a retry alone."""

SESSION_RENEWED = "session-renewed"

LONGEST_RESTART_NAME = 16
"""No name of a restart is longer, or has other characters than ASCII letters and digits."""


PROBLEM_OVER = "problem-over"

_OVER = dict.fromkeys(
    (Problem.MISSING, Problem.NO_CHROOT, Problem.FORBIDDEN, Problem.EMPTY), "znode-usable"
)
"""The topic that such a problem of a znode that is there is over; for any other PROBLEM_OVER."""


class Inputs:
    """The inputs of a member, and the session through which they are seen."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._declared, self.follows_any = policy.inputs, policy.follows_any
        self.connected = False
        self.wanted: Snapshot | None = None
        self.in_place: Snapshot | None = None
        """What is installed now, None if nothing was installed or found."""
        self.left = Snapshot({})
        """What an earlier zkexec has installed."""
        self._foreign: Snapshot | None = None
        """What was installed in another history of the servers, if that is still installed."""
        self.state = NOTHING_READ
        self._history = self._highest_zxid = 0
        self.problems: dict[str, Problem] = {}
        self._last_number = self._counted = self._useless = 0
        """The last read, that of this connection which counts, the last of earlier ones; or 0."""
        self._reading = self._stale = self._registered = self._is_odd = False
        self.has_read = False
        """Whether `wanted` comes from the ensemble, and is not what an earlier run has left."""

        self.refused = False
        """Whether every server has refused since the last connection."""
        self.last_trouble = ""
        self._reported: set[str] = set()
        """The reasons that were logged since a connection was of use."""
        self.is_doubtful = False
        """Whether a tree may have changed since what is wanted was read."""
        self._pending: ZnodesRead | None = None
        """What was read last, as long as it does not count yet."""
        self._rendering = _rendering_of(policy)
        self._render_again_at: float | None = None
        self.render_trouble = ""
        """Why this host cannot render the templates, if it cannot."""
        self._is_unanswered = False
        """Whether a read was sent, and none was answered since."""
        self._owes_note = False
        """Whether it is not logged yet that there is a connection."""
        self._renew_at: float | None = None
        self._read_again_at: float | None = None
        self._rearm_at: float | None = None

    @property
    def deadline(self) -> float | None:
        """The next time at which `expire` has something to do."""
        # A read arms watches itself, so the others wait until it is over.
        rearm_at = None if self._reading else self._rearm_at
        due = (self._renew_at, self._read_again_at, self._render_again_at, rearm_at)
        return min((at for at in due if at is not None), default=None)

    @property
    def is_rendering(self) -> bool:
        """Whether what was read is still being rendered."""
        return self._pending is not None

    @property
    def numbers(self) -> tuple[int, int]:
        """The number of the read of this connection that counts, and of the last one sent."""
        return self._counted, self._last_number

    @property
    def inner_problem(self) -> str:
        """Which znode prevents a change, if no option names it: others do not see which it is."""
        inner = [path for path in self.problems if path not in self._declared.znodes]
        return f"{inner[0]} {self.problems[inner[0]].value}" if inner else ""

    def open(self) -> list[Action]:
        """Ask for the first session."""
        return [Note("connecting"), OpenSession()]

    def assume(self, cached: Snapshot) -> None:
        """Take the files of an earlier run for what was last read."""
        self.wanted = cached

    def is_gone(self, snapshot: Snapshot) -> bool:
        """Whether this is not wanted any more, and was last written in another history.

        Of a znode that is not there the same is true of all that is not in its file.
        """
        wanted = self.wanted
        if wanted is None or not self.state.is_current:
            return False
        is_of_another = wanted != snapshot and snapshot.zxid > self.state.newest
        return is_of_another or self._has_lost(snapshot)

    def handle(self, event: Event, now: float) -> list[Action]:  # noqa: PLR0911 -- one per event
        """Take in an event of the session or of a znode; other events have no effect here."""
        match event:
            case SessionConnected():
                return self._on_connected(now)
            case SessionSuspended(reason, zxid):
                self._note_zxid(zxid)
                return self._on_disconnected("disconnected", reason, now)
            case SessionLost(reason, zxid):
                self._note_zxid(zxid)
                return self._on_disconnected("session-expired", reason, now)
            case ConnectFailed(reason, is_last):
                return self._on_trouble(reason, is_last)
            case ZnodeTouched(path):
                return self._on_touched(path)
            case ZnodesRead():
                return self._on_read(event, now)
            case ReadFailed(number, reason):
                return self._on_read_failed(number, reason, now)
            case RenderFinished():
                return self._on_rendered(event, now)
        return []

    def expire(self, now: float) -> list[Action]:
        """Do what is due by now."""
        if self._renew_at is not None and now >= self._renew_at:
            return self._renew(now)
        if self._read_again_at is not None and now >= self._read_again_at:
            return self._read()
        if self._render_again_at is not None and now >= self._render_again_at:
            self._render_again_at = None
            return self._consider_pending(now, [])
        if self._rearm_at is not None and now >= self._rearm_at and not self._reading:
            self._rearm_later(now)
            return [RearmWatches()]
        return []

    def _rearm_later(self, now: float) -> None:
        """Arm all watches again after a while; without any there is nothing to be done."""
        has_watches = self.follows_any or self._policy.in_group
        rearm_s = self._policy.rearm_s if has_watches else None
        self._rearm_at = None if rearm_s is None else now + rearm_s

    def _on_connected(self, now: float) -> list[Action]:
        self.connected = True
        self.refused = False
        self.state = NOTHING_READ
        # What is still being rendered of an earlier connection may be in no znode any more.
        self._counted, self._useless = 0, self._last_number
        self.is_doubtful = bool(self._declared.trees)
        self._renew_at = None
        self._rearm_later(now)
        # A server that hangs up on each read would be logged without end.
        self._owes_note = self._is_unanswered
        actions = [] if self._owes_note else self._note_connected()
        if not self._registered:
            self._registered = True
            actions += [Note("registering", {"path": path}) for path in self._declared.paths]
        return actions + self._read()

    def _note_connected(self) -> list[Action]:
        self._owes_note = False
        self.last_trouble = ""
        self._reported.clear()
        return [Note("connected")]

    def _on_disconnected(self, topic: str, reason: str, now: float) -> list[Action]:
        was_connected = self.connected
        self.connected = False
        self._rearm_at = None
        self._forget_read()
        self._pending = None
        if self._renew_at is None:
            self._renew_at = now + self._patience_s
        if topic == "session-expired":
            return [Note(topic, {"reason": reason})]
        return self._note_once(topic, reason) if was_connected else []

    def _note_once(self, topic: str, reason: str) -> list[Action]:
        self.last_trouble = reason
        if reason in self._reported:
            return []
        self._reported.add(reason)
        return [Note(topic, {"reason": reason})]

    def _on_trouble(self, reason: str, is_last: bool) -> list[Action]:
        self.refused |= is_last
        return self._note_once("connect-failed", reason)

    def _on_touched(self, path: str) -> list[Action]:
        note = Note("touched", {"path": path})
        self.is_doubtful |= bool(self._declared.trees)
        if self._reading:
            self._stale = True
            return [note]
        return [note, *self._read()] if self.connected else [note]

    def _on_read(self, event: ZnodesRead, now: float) -> list[Action]:
        if not self._is_awaited(event.number):
            return []
        stale = self._stale
        self._forget_read()
        self._is_unanswered = False
        noted = self._note_connected() if self._owes_note else []
        self._reported.clear()
        self._pending = event
        reading = self._read() if stale else []
        return self._consider_pending(now, noted) + reading

    def _consider_pending(self, now: float, noted: list[Action]) -> list[Action]:
        """Take what was read last, once it is rendered; `noted` is what led to it."""
        event = self._pending
        if event is None:
            return noted
        production = self._produce(event)
        if self._rendering is not None and not production.problems:
            reading = Reading(event.znodes, event.trees)
            result = self._rendering.result_of(reading)
            if result is None:
                is_free = not self._rendering.is_running and self._render_again_at is None
                return [*noted, self._rendering.start(event, reading)] if is_free else noted
            production.add_rendered(result)
        self._pending = None
        return self._accept(event, production, now, noted)

    def _on_rendered(self, event: RenderFinished, now: float) -> list[Action]:
        """Take what was rendered, even if something newer was read: that may come without end."""
        read = None if self._rendering is None else self._rendering.finished(event)
        if read is None or self._pending is None:
            return []
        if trouble := self._rendering.trouble if self._rendering else "":
            self._render_again_at = now + RENDER_AGAIN_S
            return self._note_unrendered(trouble)
        self.render_trouble = ""
        if self._pending is read or read.number <= max(self._counted, self._useless):
            return self._consider_pending(now, [])
        production = self._produce(read)
        production.add_rendered(event.result)
        return self._accept(read, production, now, []) + self._consider_pending(now, [])

    def _note_unrendered(self, reason: str) -> list[Action]:
        if reason == self.render_trouble:
            return []
        self.render_trouble = reason
        fields = {"reason": reason, "retry_s": RENDER_AGAIN_S}
        return [Note("render-impossible", fields)]

    def _produce(self, event: ZnodesRead) -> Production:
        installed = self.left if self.in_place is None else self.in_place
        if installed is self._foreign or event.zxid < max(installed.zxid, self._highest_zxid):
            # It was installed in another history, so no znode is the one that it came from.
            installed = replace(installed, zxid=-1)
        return Production(
            self._declared,
            Reading(event.znodes, event.trees),
            allow_empty=self._policy.allow_empty,
            installed=installed,
            most_variables_bytes=self._policy.most_variables_bytes,
        )

    def _accept(
        self, event: ZnodesRead, production: Production, now: float, noted: Sequence[Action]
    ) -> list[Action]:
        """Let a reading count."""
        self._counted = event.number
        before, is_first = self.wanted, not self.state.is_current
        actions = [*noted, *self._check_restart_request(event.znodes)]
        actions += self._take(event, production)
        self.state = self._state_after(event.zxid)
        if is_first and before is not None and self._is_another(before, event.zxid):
            self._history += 1
            self._highest_zxid = 0
            self._foreign = self.in_place
            self.state = replace(self.state, history=self._history)
            actions.insert(0, Note("history-changed"))
        self._note_zxid(event.zxid)
        self.is_doubtful &= self._reading or self._pending is not None
        if Reading(event.znodes, event.trees).is_forbidden:
            self._read_again_at = now + FORBIDDEN_S
        return actions

    def _on_read_failed(self, number: int, reason: str, now: float) -> list[Action]:
        if not self._is_awaited(number):
            return []
        self._forget_read()
        self.state = replace(self.state, is_answered=True)
        self._read_again_at = now + RETRY_S
        return self._note_once("read-failed", reason)

    def _is_awaited(self, number: int) -> bool:
        return self._reading and number == self._last_number

    def _read(self) -> list[Action]:
        self._forget_read()
        if not self.follows_any:
            return []
        self._last_number += 1
        self._reading = True
        self._is_unanswered = True
        return [ReadZnodes(self._last_number)]

    def _forget_read(self) -> None:
        self._reading = self._stale = False
        self._read_again_at = None

    @property
    def _patience_s(self) -> float:
        return max(RENEW_SESSIONS * self._policy.session_timeout_s, RENEW_AT_LEAST_S)

    def _renew(self, now: float) -> list[Action]:
        self._renew_at = now + self._patience_s
        if SESSION_RENEWED in self._reported:
            return [OpenSession()]
        self._reported.add(SESSION_RENEWED)
        return [Note(SESSION_RENEWED), OpenSession()]

    def _check_restart_request(self, znodes: Mapping[str, Znode]) -> list[Action]:
        """Note once that the content of the restart znode is not a request."""
        path, was_odd = self._policy.restart_path, self._is_odd
        asked = znodes.get(path)
        self._is_odd = asked is not None and restart_name(asked.content) is None
        is_new = self._is_odd and not was_odd
        return [Note("restart-ignored", {"path": path})] if is_new else []

    def _take(self, event: ZnodesRead, production: Production) -> list[Action]:
        """Let one consistent reading be wanted; say what changed in what can be used."""
        self.has_read = True
        before, self.problems = self.problems, production.problems
        known = self.wanted
        if known is None:
            if not self.problems:
                self.wanted = self._merged(Snapshot({}), event, production)
            return []
        self.wanted = self._merged(known, event, production)
        unusable: list[Action] = [
            Note("znode-unusable", {"path": path, "problem": problem.value})
            for path, problem in self.problems.items()
            if before.get(path) is not problem
        ]
        usable = [
            Note(_topic_of_end(problem, path, event), {"path": path})
            for path, problem in before.items()
            if path not in self.problems
        ]
        return unusable + usable

    def _note_zxid(self, zxid: int) -> None:
        if zxid != UNLIMITED:
            self._highest_zxid = max(self._highest_zxid, zxid)

    def _is_another(self, before: Snapshot, zxid: int) -> bool:
        """Whether the servers, or the znodes, are behind what they have shown before."""
        return zxid < self._highest_zxid or before.zxid > self.state.newest

    def _state_after(self, zxid: int) -> InputState:
        """The state after a read; only a complete one contains the newest zxid."""
        wanted = self.wanted
        if wanted is None or self.problems:
            is_lost = self._has_lost(wanted)
            return InputState(is_whole=False, is_lost=is_lost, newest=zxid, history=self._history)
        return InputState(newest=wanted.zxid, history=self._history)

    def _has_lost(self, snapshot: Snapshot | None) -> bool:
        """Whether this is not installed, and not all of it is in znodes any more."""
        if snapshot is None or not self.problems:
            return False
        in_place = Snapshot({}) if self.in_place is None else self.in_place
        return bool(plan(replace(in_place, restart=snapshot.restart), snapshot))

    def _merged(self, known: Snapshot, event: ZnodesRead, production: Production) -> Snapshot:
        """Make the snapshot of what was read; if that cannot be used, of what is installed.

        Nothing is remembered here, which would be wrong after an ensemble was wiped.
        """
        restart, znode = self._restart_of(event, known)
        if not self.problems:
            return production.snapshot(restart, znode, known.files)
        return replace(
            known if self.in_place is None else self.in_place,
            zxid=0 if znode is None else znode.mzxid,
            znode_versions=Reading(event.znodes, event.trees).versions,
            restart=restart,
            changed_at=0.0 if znode is None else znode.mtime,
        )

    def _restart_of(self, event: ZnodesRead, known: Snapshot) -> tuple[str, Znode | None]:
        """Return the restart that was requested last, and its znode if that is a request."""
        asked = event.znodes.get(self._policy.restart_path)
        name = restart_name(asked.content) if asked is not None and asked.content else None
        return (known.restart, None) if name is None else (name or known.restart, asked)


def _rendering_of(policy: Policy) -> TemplateRendering | None:
    if not policy.inputs.templates:
        return None
    from zkexec.core.template_rendering import TemplateRendering  # noqa: PLC0415 -- most have no templates

    return TemplateRendering(policy.inputs)


def _topic_of_end(problem: Problem, path: str, event: ZnodesRead) -> str:
    """Return the topic of the note that a problem is over: the znode is there again, or gone."""
    trees = event.trees.values()
    is_there = path in event.znodes or path in event.trees
    is_there |= any(path == znode.path for tree in trees for znode in tree.znodes.values())
    return _OVER.get(problem, PROBLEM_OVER) if is_there else PROBLEM_OVER


def restart_name(content: bytes) -> str | None:
    """Return the name of the restart requested last: the first word, or "" for "-".

    None if no operator can have written this content.
    """
    name = next(iter(content.split()), NO_RESTART)
    if name == NO_RESTART:
        return ""
    is_plain = name.isalnum() and len(name) <= LONGEST_RESTART_NAME
    return name.decode() if is_plain else None
