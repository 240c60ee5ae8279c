"""What a deed meets among the members: the same deed under way, or nobody whom it would help.

The rules of this file:

- Of whom nothing can be read, nothing is concluded: the deed is done then.
- A restart or a retry is under way only as long as it is the latest deed of all, and what the
  members follow is still what it wrote.  So another deed, as a pause and its end, makes room.
"""

from collections.abc import Mapping

from zkexec.core.inputs import restart_name
from zkexec.core.rollout.record import AuditEntry, RolloutRecord, VersionState
from zkexec.core.rollout.version import is_same_contents
from zkexec.operator.aims import TURN, Row
from zkexec.operator.sight import Sight


def last_asked(record: RolloutRecord, verb: str, asked: bytes) -> AuditEntry | None:
    """The latest deed, where it is of this verb and `asked`, the znode of restarts, is its."""
    audit_entry = record.audit[-1] if record.audit else None
    if (
        audit_entry is None
        or audit_entry.operation != verb
        or asked.split()[1:] != [audit_entry.token.encode()]
    ):
        return None
    return audit_entry


def is_untried(failed: Mapping[str, VersionState], zxid: int) -> bool:
    """Whether nothing has failed since a retry was written in that transaction."""
    return all(version_state.zxid < zxid for version_state in failed.values())


def not_restarted(sight: Sight, asked: bytes) -> list[str]:
    """Who is still to restart as it was asked for last; nobody where that has failed."""
    if sight.failure is not None:
        return []
    name = restart_name(asked) or ""
    return [row.name for row in sight.rows if _is_to_restart(row, name)]


def _is_to_restart(row: Row, name: str) -> bool:
    if row.seen.status is None or row.duplicate_of:
        return False
    running = row.status.running
    # Who runs nothing and has no turn is about to start for the first time.
    return running.partition(".")[2] != name and (bool(running) or row.place == TURN)


def is_unwanted(sight: Sight, failed: Mapping[str, VersionState]) -> bool:
    """Whether everybody alive has told of the newest, and wants nothing of what has failed."""
    alive = [row for row in sight.rows if row.is_alive and not row.duplicate_of]
    if any(row.seen.status is None or row.untaken for row in alive):
        return False
    wanted = {row.status.wanted for row in alive}
    return bool(alive) and not any(
        is_same_contents(one, digest) for one in wanted for digest in failed
    )


def knows_of_no_turn(sight: Sight, member: str) -> bool:
    """Whether a member that is alive runs what it wants, as one does that has no turn."""
    return any(row.name == member and row.runs_wanted and not row.untaken for row in sight.rows)
