"""Verbs that change a group's record: pause, resume, retry, restart and forget.

The rules of this file:

- The record is changed by compare-and-set only, and by what `core.steering` makes of it.
- Each deed has a random token.  It is looked for before anything is written, so that a deed whose
  reply was lost is not done twice, and is told as done.
- Members write the record all the time, which is no reason to give up.  Another operator's deed
  is: what it leaves behind is looked at anew, and speaks for itself.
- Of two restarts, or two retries, the second is refused as long as the first is under way.
- What a deed does not need is not asked for: a pause works where nobody may read the restarts.
"""

import os
import time
from collections.abc import Callable
from functools import partial

from zkexec.core.inputs import NO_RESTART, restart_name
from zkexec.core.rollout import operations
from zkexec.core.rollout.operations import Objection
from zkexec.core.rollout.record import AuditEntry, RolloutRecord
from zkexec.frozen import frozen, replace
from zkexec.group.record_codec import decode, encode
from zkexec.group.store import LARGEST_COMMIT, Paths, is_left_over
from zkexec.operator.call import Call
from zkexec.operator.cluster import opened
from zkexec.operator.console import Console, clean
from zkexec.operator.deed_texts import (
    ASKS,
    objected,
    overtaken,
    told,
    under_way,
    unknown_turn,
    unwanted,
)
from zkexec.operator.glance import Glance
from zkexec.operator.outcome import DONE, OperatorError
from zkexec.operator.pending import (
    is_untried,
    is_unwanted,
    knows_of_no_turn,
    last_asked,
    not_restarted,
)
from zkexec.znode_paths import group_path
from zkexec.zookeeper.errors import (
    BadVersionError,
    NodeExistsError,
    NoNodeError,
    RefusedError,
)
from zkexec.zookeeper.requests import (
    Create,
    Dialogue,
    Exists,
    Get,
    GetAcl,
    Operation,
    SetContent,
    Transaction,
    first_error,
    size_of,
)
from zkexec.zookeeper.values import Stat

_TRIES = 100
_HAS_CHANGED = (BadVersionError, NodeExistsError, NoNodeError)
# What a server shows instead of the key of a digest to who may not administer the znode.
_HIDDEN = ":x"


@frozen()
class _Sight:
    """What the deed is decided on.

    `asked`, `asked_version` and `asked_at` are content, version and newest transaction of the znode
    of restarts, the version -1 where there is none, or where the deed does not need it.
    """

    record: RolloutRecord
    version: int
    asked: bytes = b""
    asked_version: int = -1
    asked_at: int = 0
    alive: int = 0
    subject_lives: bool = False


Steer = Callable[[_Sight, AuditEntry], RolloutRecord | Objection]


class _Attempt:
    """A deed on its way: on which group, by which of the rules, and how far it has come.

    `first` is what was seen first, `tried` what the last write was decided on, as long as nobody
    knows what became of that write.
    """

    def __init__(self, lock: str, paths: Paths, audit_entry: AuditEntry, steer: Steer) -> None:
        self.lock = lock
        self.paths = paths
        self.audit_entry = audit_entry
        self.steer = steer
        self.first: _Sight | None = None
        self.tried: _Sight | None = None


@frozen()
class _Done:
    """What was there before the deed, and what the record is since."""

    before: _Sight
    after: RolloutRecord


def run(call: Call, console: Console) -> int:
    """Do the deed, and say what was done to whom."""
    audit_entry = AuditEntry(call.verb, call.by, call.reason, os.urandom(8).hex(), call.member)
    steer = _STEER[call.verb]
    if call.verb == "forget":
        steer = partial(_forget, is_forced=call.force)
    with opened(call.connection, console) as cluster:
        paths = Paths(cluster.chroot, group_path(call.lock))
        attempt = _Attempt(call.lock, paths, audit_entry, steer)
        try:
            done: _Done = cluster.ask(lambda: _do(attempt))
        except OperatorError as error:
            if attempt.tried is None:
                raise
            doubt = f"whether it was done is not known: zkexecctl status {call.lock} tells"
            raise OperatorError(f"{error}; {doubt}", error.status) from None
    said = told(audit_entry, done.before.record, done.after, done.before.alive)
    console.out(clean(f"{call.lock}: {said}"))
    return DONE


def _do(what: _Attempt) -> Dialogue:
    for _ in range(_TRIES):
        sight: _Sight = yield from _look(what)
        if operations.is_done(sight.record, what.audit_entry):
            return _Done(what.tried or sight, sight.record)
        what.first, what.tried = what.first or sight, None
        if _is_overtaken(what.first, sight):
            raise OperatorError(f"{what.lock}: {overtaken(sight.record)}; nothing was done")
        after = what.steer(sight, what.audit_entry)
        if isinstance(after, Objection):
            why = yield from _objected(what, sight, after)
            raise OperatorError(f"{what.lock}: {why}")
        if why := (yield from _in_the_way(what, sight)):
            raise OperatorError(f"{what.lock}: {why}")
        refused = yield from _write(what, sight, after)
        if refused is None:
            return _Done(sight, after)
        path, error = refused
        if not isinstance(error, _HAS_CHANGED):
            raise what.paths.refusal(path, error)
    raise RefusedError(f"{what.paths.shown(what.paths.state)}: others change it all the time")


def _is_overtaken(first: _Sight, sight: _Sight) -> bool:
    """Tell whether the members were asked for something since the first sight."""
    return sight.asked_version not in (first.asked_version, -1)


def _objected(what: _Attempt, sight: _Sight, objection: Objection) -> Dialogue:
    """Why the record is against it, in words."""
    if objection is Objection.ALIVE:
        member = what.audit_entry.member
        if knows_of_no_turn((yield from _members(what)), member):
            return unknown_turn(what.lock, member)
    return objected(objection, sight.record, what.audit_entry)


def _in_the_way(what: _Attempt, sight: _Sight) -> Dialogue:
    """Why the deed makes no sense beside what the members do, in words; "" where it does."""
    first = last_asked(sight.record, what.audit_entry.operation, sight.asked)
    if what.audit_entry.operation == "retry":
        failed = operations.failures(sight.record)
        if first and is_untried(failed, sight.asked_at):
            return under_way(first, [])
        is_in_vain = is_unwanted((yield from _members(what)), failed)
        return unwanted(what.lock, sight.record) if is_in_vain else ""
    if first is None:
        return ""
    left = not_restarted((yield from _members(what)), sight.asked)
    return under_way(first, left) if left else ""


def _members(what: _Attempt) -> Dialogue:
    """All that is to be seen of the group."""
    glance = Glance(what.paths.chroot, {}, watching=False)
    yield from glance.members([what.paths.base])
    return glance.sight(what.paths.base, what.lock)


def _look(what: _Attempt) -> Dialogue:
    paths = what.paths
    member = paths.member(what.audit_entry.member) if what.audit_entry.member else paths.members
    found, members, member, *asked = yield [
        Get(paths.state),
        Exists(paths.members),
        Exists(member),
        *([Get(paths.restart)] if what.audit_entry.operation in ASKS else []),
    ]
    if isinstance(found, NoNodeError):
        raise OperatorError(f"there is no group {what.lock}: {paths.shown(paths.state)} is missing")
    content, stat = paths.demand(paths.state, found)
    try:
        record = decode(content).clamped_to(stat.mzxid)
    except ValueError as error:
        raise RefusedError(f"{paths.shown(paths.state)}: {error}") from None
    alive = paths.demand(paths.members, members)
    sight = _Sight(
        record=record,
        version=stat.version,
        alive=alive.num_children if alive else 0,
        subject_lives=_lives(paths.demand(member, member)),
    )
    for outcome in asked:
        if not isinstance(outcome, NoNodeError):
            content, stat = paths.demand(paths.restart, outcome)
            sight = replace(sight, asked=content, asked_version=stat.version, asked_at=stat.mzxid)
    return sight


def _lives(node: Stat | None) -> bool:
    return node is not None and not is_left_over(node)


def _write(what: _Attempt, sight: _Sight, after: RolloutRecord) -> Dialogue:
    """Write the record, and where it is a deed for them, what the members follow.

    Nothing is returned where that was done, or else which path was refused, and why.
    """
    paths = what.paths
    operations: list[Operation] = [
        SetContent(paths.state, encode(after, time.time()), sight.version)
    ]
    if what.audit_entry.operation in ASKS:
        operations.append((yield from _asking(what, sight)))
    transaction = Transaction(operations)
    if (size := size_of(transaction)) > LARGEST_COMMIT:
        raise RefusedError(
            f"{paths.shown(paths.state)}: would take {size} bytes, "
            f"more than the {LARGEST_COMMIT} that a server takes for sure"
        )
    what.tried = sight
    (outcome,) = yield [transaction]
    refused = first_error(paths.demand(paths.state, outcome))
    if refused is None:
        return None
    what.tried = None
    index, error = refused
    return operations[index].path, error


def _asking(what: _Attempt, sight: _Sight) -> Dialogue:
    """What writes the znode of restarts: with a name of its own, or for a retry with the old."""
    paths, token = what.paths, what.audit_entry.token.encode()
    name = token[:8] if what.audit_entry.operation == "restart" else _name_in(sight.asked)
    content = b"%s %s" % (name, token)
    if sight.asked_version >= 0:
        return SetContent(paths.restart, content, sight.asked_version)
    # As all of a group's znodes it belongs to whom the record belongs.
    (found,) = yield [GetAcl(paths.state)]
    entries, _ = paths.demand(paths.state, found)
    for one in entries:
        if one.scheme == "digest" and one.identity.endswith(_HIDDEN):
            raise RefusedError(
                f"{paths.shown(paths.restart)}: is missing, and would belong to whom "
                f"{paths.shown(paths.state)} belongs; expected the permission (a) to see to whom"
            )
    return Create(paths.restart, content, entries)


def _name_in(asked: bytes) -> bytes:
    """The name of the restart that was asked for last, as members know it: a retry keeps it."""
    return (restart_name(asked) or "").encode() or NO_RESTART


def _forget(
    sight: _Sight, audit_entry: AuditEntry, *, is_forced: bool
) -> RolloutRecord | Objection:
    lives = sight.subject_lives
    return operations.forget(sight.record, audit_entry, is_alive=lives, is_forced=is_forced)


_STEER: dict[str, Steer] = {
    "pause": lambda sight, audit_entry: operations.pause(sight.record, audit_entry),
    "resume": lambda sight, audit_entry: operations.resume(sight.record, audit_entry),
    "retry": lambda sight, audit_entry: operations.retry(sight.record, audit_entry),
    "restart": lambda sight, audit_entry: operations.restart(sight.record, audit_entry),
    "forget": partial(_forget, is_forced=False),
}
