"""Events and actions of a story as lines of text.

A digest is shown as the content that it is of, and a record without what is as at its beginning.
"""

from collections.abc import Iterable, Mapping

from simulation.transcript import describe
from zkexec.core.actions import Action
from zkexec.core.events import Event
from zkexec.core.policy import MaxFailed
from zkexec.core.rollout.group_actions import (
    CommitRecord,
    Enrol,
    JoinQueue,
    PublishStatus,
    ReadQueue,
    ReadRecord,
    RenewQueueNode,
)
from zkexec.core.rollout.group_events import (
    CommitRefused,
    Enrolled,
    GroupRequestFailed,
    GroupRequestForbidden,
    QueueListed,
    QueueNodesRead,
    QueueRead,
    RecordCommitted,
    RecordRead,
)
from zkexec.core.rollout.limits import Population
from zkexec.core.rollout.queued_member import QueuedMember, QueueNode
from zkexec.core.rollout.record import InFlightEntry, RolloutRecord
from zkexec.core.rollout.version import contents_of
from zkexec.core.rollout.version_state import VersionState
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


def _line(step: Event | Action) -> str:  # noqa: C901 -- one arm for each
    match step:
        case RecordRead():
            return _record_read(step)
        case JoinQueue(number, queued, status):
            return f"JoinQueue number={number} {_queued(queued)}{_along(status)}"
        case RenewQueueNode(number, queue_number, queued):
            return f"RenewQueueNode number={number} node={queue_number} {_queued(queued)}"
        case ReadRecord(number, watch, survey=survey, limits=limits):
            line = f"ReadRecord number={number} watch={watch.value}"
            return line + (" survey" if survey else "") + (" limits" if limits else "")
        case CommitRecord():
            return _commit(step)
        case RecordCommitted(number, basis):
            return f"RecordCommitted number={number} state={basis.state}"
        case CommitRefused(number, conflict, queue_number):
            line = f"CommitRefused number={number} conflict={conflict.value}"
            return line if queue_number is None else f"{line} {queue_number}"
        case Enrol(number, status, may_be_duplicate):
            again = " may_be_duplicate" if may_be_duplicate else ""
            return f"Enrol number={number}{again} {_status(status)}"
        case Enrolled(number, population, has_replaced):
            later = " has_replaced" if has_replaced else ""
            return f"Enrolled number={number} population={population}{later}"
        case PublishStatus(status):
            return f"PublishStatus {_status(status)}"
        case GroupRequestFailed(number, reason, is_refused):
            failed = "GroupRequestRefused" if is_refused else "GroupRequestFailed"
            return f"{failed} number={number} reason={reason}"
        case GroupRequestForbidden(number, reason):
            return f"GroupRequestForbidden number={number} reason={reason}"
    return _queue_line(step)


def _queue_line(step: Event | Action) -> str:
    match step:
        case QueueListed(number, numbers, unknown):
            line = f"QueueListed number={number} nodes={_numbers(numbers)}"
            return f"{line} unknown={', '.join(unknown)}" if unknown else line
        case ReadQueue(number, known):
            return f"ReadQueue number={number} known={_numbers(known)}"
        case QueueRead(number, numbers, nodes):
            shown = "; ".join(_node(node) for node in nodes)
            return f"QueueRead number={number} nodes={_numbers(numbers)} {{{shown}}}"
        case QueueNodesRead(number, is_own_there, is_before_there, is_left_over):
            own = "there" if is_own_there else "gone"
            before = "there" if is_before_there else "gone"
            line = f"QueueNodesRead number={number} own={own} before={before}"
            return f"{line} and left over" if is_left_over else line
    return describe(step)


def _numbers(numbers: Iterable[int]) -> str:
    return ",".join(map(str, sorted(numbers))) or "none"


def _queued(queued: QueuedMember) -> str:
    zone = f" zone={queued.zone}" if queued.zone else ""
    return f"for {queued.digest} as {queued.token}{zone}"


def _node(node: QueueNode) -> str:
    return f"{node.number} {node.queued.member} {_queued(node.queued)}"


def _record_read(read: RecordRead) -> str:
    record = read.record
    line = f"RecordRead number={read.number} state={read.basis.state}"
    line += f" in_flight={record.in_flight_count} of {_population(record.population)}"
    line += f" unavailable={','.join(sorted(record.unavailable))}" if record.unavailable else ""
    line += f" alive={','.join(sorted(read.alive))}" if read.alive else ""
    return f"{line} {_record(record)}"


def _population(population: Population) -> str:
    zones = ", ".join(f"{count} in {zone}" for zone, count in population.zones.items())
    return f"{population.members} ({zones})" if zones else str(population.members)


def _commit(commit: CommitRecord) -> str:
    """Return what the record is after the commit, and what is checked."""
    line = f"CommitRecord number={commit.number} state={commit.basis.state}"
    line += "".join(f" check {path}={known}" for path, known in commit.checks.items())
    line += f" tried={commit.tried}" if commit.tried else ""
    if commit.admitted:
        line += f" nodes={_numbers(node.number for node in commit.admitted)}"
    line += " exclusive" if commit.is_exclusive else ""
    line += " confirms" if commit.confirms else ""
    return f"{line} {_record(commit.after)}{_along(commit.status)}"


def _along(status: MemberStatus | None) -> str:
    return "" if status is None else f" with {_status(status)}"


def _status(status: MemberStatus) -> str:
    line = f"{status.phase} health={status.health}"
    line += f" step={status.step}" if status.step else ""
    line += f" running={status.running}" if status.running else ""
    line += f" wanted={status.wanted}" if status.wanted else ""
    line += " unavailable" if status.unavailable else ""
    return line + (f" reason={status.reason}" if status.reason else "")


def _record(record: RolloutRecord) -> str:
    """Return the record without times, and without fields that have their first value."""
    parts = [_entry(member, entry) for member, entry in record.in_flight.items()]
    parts += [_version(digest, state) for digest, state in record.versions.items()]
    if record.max_unavailable:
        parts.append(
            f"max_unavailable {record.max_unavailable.limit} by {record.max_unavailable.by}"
        )
    if record.max_failed and record.max_failed.limit != MaxFailed():
        parts.append(f"max_failed {record.max_failed.limit} by {record.max_failed.by}")
    parts += [f"paused by {record.paused.by}"] if record.paused else []
    parts += [f"held after {record.hold.after} by {record.hold.by}"] if record.hold else []
    parts += [f"zone {record.zone}"] if record.zone else []
    parts += [f"head {record.head.member} at {record.head.number}"] if record.head else []
    parts += [f"last_admitted {record.last_admitted}"] if record.last_admitted >= 0 else []
    return "{" + "; ".join(parts) + "}"


def _entry(member: str, entry: InFlightEntry) -> str:
    zone = f" in {entry.zone}" if entry.zone else ""
    return f"{member} {entry.phase.value} {entry.digest}@{entry.zxid} as {entry.token}{zone}"


def _version(digest: str, state: VersionState) -> str:
    words = [f"{digest}@{state.zxid}"]
    words += ["known good"] if state.known_good else []
    words += [f"succeeded {state.succeeded}"] if state.succeeded else []
    words += [f"lost_turns {state.lost_turns}"] if state.lost_turns else []
    words += [f"failed by {','.join(state.failed_by)}"] if state.failed_by else []
    words += [f"in {state.step}"] if state.step else []
    return " ".join(words)
