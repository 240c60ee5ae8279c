"""The one loop: an event in, the member's actions out, and at the end zkexec ends as it should.

A programmer's error ends zkexec loudly, but in order: the child is asked to stop and given its
kill timeout first, as in any other end.
"""

import os
from contextlib import suppress

from zkexec.core.actions import EndProcess, Note
from zkexec.core.child import KILL_AGAIN_S, SIGKILL
from zkexec.core.events import Ending, Started
from zkexec.core.member import CANNOT_WORK, Member
from zkexec.core.turn import FreeTurn
from zkexec.settings import Settings
from zkexec.shell.birth import Inheritance, die_like
from zkexec.shell.effects import Effects
from zkexec.shell.inbox import Inbox, now
from zkexec.shell.narrator import Narrator
from zkexec.shell.process import Processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from zkexec.shell.place import GroupPlace


def run(settings: Settings, inheritance: Inheritance) -> "NoReturn":
    """Wrap the command until its end, and end as it ended."""
    narrator = Narrator(settings)
    processes = Processes(
        inheritance,
        command=settings.command.argv,
        health=settings.health.argv if settings.health else (),
        alert=settings.alert.argv if settings.alert else (),
        subreaper=settings.subreaper,
    )
    inbox = Inbox(inheritance, processes.reap, processes.sender_is_terminal)
    member, group = _join(settings, narrator)
    effects = Effects(settings, processes, narrator, inbox.post, group)
    try:
        ending = _follow(member, inbox, effects)
    except Exception as error:  # noqa: BLE001 -- whatever it is, the child must not be orphaned
        with suppress(Exception):  # The mistake may be the narrator's, and the child matters more.
            _tell_crash(narrator, error)
        _stop_child(processes, inbox, settings)
        ending = Ending(code=CANNOT_WORK)
    effects.close()
    die_like(ending)


def _join(settings: Settings, narrator: Narrator) -> "tuple[Member, GroupPlace | None]":
    """Make the member, and its place in the group where there is one."""
    if not settings.lock:
        return Member(settings.terms, FreeTurn()), None
    # What only a group needs is imported for a group only.
    from zkexec.cluster import base_of  # noqa: PLC0415
    from zkexec.core.locked_turn import LockedTurn  # noqa: PLC0415
    from zkexec.shell.credentials import acl_of  # noqa: PLC0415
    from zkexec.shell.identity import IdentityError, hold_identity  # noqa: PLC0415
    from zkexec.shell.place import GroupPlace, PhaseTime  # noqa: PLC0415

    try:
        identity = hold_identity(settings)
    except IdentityError as problem:
        narrator.tell(Note("no-identity", {"reason": str(problem)}))
        die_like(Ending(code=CANNOT_WORK))
    turn = LockedTurn(settings.terms, identity.member_id, lambda: os.urandom(8).hex())
    group = GroupPlace(
        base=base_of(settings.lock),
        member_id=identity.member_id,
        place=identity.place,
        width_text=str(settings.terms.max_unavailable),
        since=PhaseTime(),
        paths=settings.terms.mirrored,
        acl=acl_of(settings.access),
    )
    return Member(settings.terms, turn), group


def _follow(member: Member, inbox: Inbox, effects: Effects) -> Ending:
    inbox.answer(Started())
    while True:
        event = inbox.next(until=member.deadline)
        for action in member.handle(event, now()):
            if isinstance(action, EndProcess):
                return action.ending
            inbox.answer(*effects.perform(action))


def _tell_crash(narrator: Narrator, error: Exception) -> None:
    narrator.tell(Note("crashed", {"reason": f"{type(error).__name__}: {error}"}))
    if narrator.verbose:
        import traceback  # noqa: PLC0415 -- heavy, and only a crash needs it

        for line in "".join(traceback.format_exception(error)).splitlines():
            narrator.tell(Note("traceback", {"traceback": line}))


def _stop_child(processes: Processes, inbox: Inbox, settings: Settings) -> None:
    """End the child's tree as a restart would, without the core's help."""
    processes.signal_tree(settings.terms.kill_signal)
    kill_at = now() + settings.terms.kill_timeout_s
    while processes.inspect_tree(0).remaining:
        inbox.next(until=min(kill_at, now() + KILL_AGAIN_S))
        if now() >= kill_at:
            processes.signal_tree(SIGKILL)
            kill_at = now() + KILL_AGAIN_S
