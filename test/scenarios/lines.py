"""Events and actions of a story as lines of text.

A digest is shown as the content that it is of, and a record without what is as at its beginning.
"""

from collections.abc import Mapping

from simulation.transcript import describe
from zkexec.core.actions import Action
from zkexec.core.events import Event
from zkexec.core.rollout.group_actions import (
    CommitRecord,
    Enrol,
    JoinQueue,
    PublishStatus,
    ReadRecord,
)
from zkexec.core.rollout.group_events import (
    GroupRequestFailed,
    QueueListed,
    QueueNodeRead,
    RecordRead,
)
from zkexec.core.rollout.record import InFlightEntry, RolloutRecord, VersionState
from zkexec.core.rollout.version import contents_of
from zkexec.core.step import STEP_COMMANDS
from zkexec.core.turn import MemberStatus

SHORT = 12
SHOWN = [step.value for step in STEP_COMMANDS]
"""The steps of a status that are shown; the others follow from the phase."""


def line_of(step: Event | Action, names: Mapping[str, str]) -> str:
    """Return one line; `names` are the contents of the digests."""
    line = _line(step)
    # A longer digest begins as a shorter one does.
    for digest, name in sorted(names.items(), key=lambda pair: -len(pair[0])):
        line = line.replace(digest, name)
    for digest, name in names.items():
        line = line.replace(digest[:SHORT], contents_of(name))
    return line


def _line(step: Event | Action) -> str:
    match step:
        case RecordRead(number, record, znode_version, alive, population):
            line = f"RecordRead number={number} znode_version={znode_version}"
            living = f"alive={','.join(sorted(alive)) or 'none'} of {population}"
            return f"{line} {living} {_record(record)}"
        case JoinQueue(number, ticket, status):
            return f"JoinQueue number={number} ticket={ticket}{_along(status)}"
        case ReadRecord(number, watch):
            return f"ReadRecord number={number} watch={watch}"
        case CommitRecord(number, record, znode_version, checks, queue_node, status):
            line = f"CommitRecord number={number} znode_version={znode_version}"
            line += "".join(f" check {path}={known}" for path, known in checks.items())
            line += f" queue_node={queue_node}" if queue_node else ""
            return f"{line} {_record(record)}{_along(status)}"
        case Enrol(number, status, may_be_duplicate):
            again = " may_be_duplicate" if may_be_duplicate else ""
            return f"Enrol number={number}{again} {_status(status)}"
        case PublishStatus(status):
            return f"PublishStatus {_status(status)}"
        case QueueListed(number, names):
            return f"QueueListed number={number} names={', '.join(names) or 'none'}"
        case GroupRequestFailed(number, reason, is_refused):
            failed = "GroupRequestRefused" if is_refused else "GroupRequestFailed"
            return f"{failed} number={number} reason={reason}"
        case QueueNodeRead(number, member, is_left_over):
            line = f"QueueNodeRead number={number} member={member}"
            return f"{line} and left over" if is_left_over else line
    return describe(step)


def _along(status: MemberStatus | None) -> str:
    return "" if status is None else f" with {_status(status)}"


def _status(status: MemberStatus) -> str:
    line = f"{status.phase} health={status.health}"
    line += f" step={status.step}" if status.step else ""
    line += f" running={status.running}" if status.running else ""
    line += f" wanted={status.wanted}" if status.wanted else ""
    return line + (f" reason={status.reason}" if status.reason else "")


def _record(record: RolloutRecord) -> str:
    """Return the record without times, and without fields that have their first value."""
    parts = [_entry(member, entry) for member, entry in record.in_flight.items()]
    parts += [_version(digest, state) for digest, state in record.versions.items()]
    if record.max_unavailable:
        parts.append(
            f"max_unavailable {record.max_unavailable.limit} by {record.max_unavailable.by}"
        )
    parts += [f"paused by {record.paused.by}"] if record.paused else []
    parts += [f"last_admitted {record.last_admitted}"] if record.last_admitted >= 0 else []
    return "{" + "; ".join(parts) + "}"


def _entry(member: str, entry: InFlightEntry) -> str:
    return f"{member} {entry.phase.value} {entry.digest}@{entry.zxid} as {entry.token}"


def _version(digest: str, state: VersionState) -> str:
    words = [f"{digest}@{state.zxid}"]
    words += ["known good"] if state.known_good else []
    words += [f"lost_turns {state.lost_turns}"] if state.lost_turns else []
    words += [f"failed by {','.join(state.failed_by)}"] if state.failed_by else []
    words += [f"in {state.step}"] if state.step else []
    return " ".join(words)
