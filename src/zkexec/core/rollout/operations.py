"""What an operator may do to a group's record: each a new record with the deed in it, or a no.

A retry and a restart change nothing here but the list of deeds: what makes the members act is the
group's znode of restarts, which is written in the same transaction.
"""

from enum import Enum

from zkexec.core.rollout.audit import MOST_DEEDS, Deed
from zkexec.core.rollout.record import Pause, Rollout, Verdict
from zkexec.frozen import replace


class Objection(Enum):
    """Why a deed makes no sense now."""

    PAUSED = "paused"
    """An operator has paused the group."""
    NOT_PAUSED = "not paused"
    """No operator has."""
    NOTHING_FAILED = "nothing failed"
    """There is nothing that could be tried once more."""
    NOT_IN_FLIGHT = "not in flight"
    """The record has no entry of this member."""
    ALIVE = "alive"
    """The member is there, and will end its entry itself."""


def is_done(record: Rollout, deed: Deed) -> bool:
    """Whether the record has this very deed."""
    return any(known.token == deed.token for known in record.deeds)


def pause(record: Rollout, deed: Deed) -> Rollout | Objection:
    """Let nobody be admitted; who is in flight goes on."""
    if record.paused is not None:
        return Objection.PAUSED
    return replace(_with(record, deed), paused=Pause(deed.by, deed.reason))


def resume(record: Rollout, deed: Deed) -> Rollout | Objection:
    """Take back an operator's pause; what has failed still stands."""
    if record.paused is None:
        return Objection.NOT_PAUSED
    return replace(_with(record, deed), paused=None)


def retry(record: Rollout, deed: Deed) -> Rollout | Objection:
    """Have what failed be tried once more, by one member."""
    if record.paused is not None:
        return Objection.PAUSED
    if not failures(record):
        return Objection.NOTHING_FAILED
    return _with(record, deed)


def restart(record: Rollout, deed: Deed) -> Rollout | Objection:
    """Have all members restart their commands in turns, whatever they run."""
    return Objection.PAUSED if record.paused is not None else _with(record, deed)


def forget(record: Rollout, deed: Deed, *, is_alive: bool, is_forced: bool) -> Rollout | Objection:
    """Take back the turn of a member that will not come back, as the head of the queue would.

    So its loss counts against what it was restarting to.
    """
    entry = record.inflight.get(deed.subject)
    if entry is None:
        return Objection.NOT_IN_FLIGHT
    if is_alive and not is_forced:
        return Objection.ALIVE
    return _with(record.reap(deed.subject, entry.token), deed)


def failures(record: Rollout) -> dict[str, Verdict]:
    """What has failed and was not replaced by anything newer since, by digest."""
    newest: dict[str, int] = {}
    for verdict in record.verdicts.values():
        newest[verdict.scope] = max(verdict.revision, newest.get(verdict.scope, 0))
    return {
        digest: verdict
        for digest, verdict in record.verdicts.items()
        if verdict.failed_by and verdict.revision == newest[verdict.scope]
    }


def _with(record: Rollout, deed: Deed) -> Rollout:
    return replace(record, deeds=(*record.deeds, deed)[-MOST_DEEDS:])
