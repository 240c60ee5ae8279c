"""Events and actions of a story as text: what is asked of a group, and its record, in short.

Digests are told as the contents that they are of.
"""

from collections.abc import Mapping

from simulation.transcript import describe
from zkexec.core.actions import (
    Action,
    Card,
    CommitRecord,
    Enrol,
    JoinQueue,
    ReadRecord,
    ShowCard,
)
from zkexec.core.events import Event
from zkexec.core.rollout.group_events import (
    GroupRequestFailed,
    QueueListed,
    QueueNodeSeen,
    RecordRead,
)
from zkexec.core.rollout.record import Entry, Rollout, Verdict
from zkexec.core.rollout.version import contents_of

SHORT = 12


def tell(step: Event | Action, names: Mapping[str, str]) -> str:
    """One line; `names` are the contents of the digests."""
    line = _line(step)
    # A longer digest begins as a shorter one does.
    for digest, name in sorted(names.items(), key=lambda pair: -len(pair[0])):
        line = line.replace(digest, name)
    for digest, name in names.items():
        line = line.replace(digest[:SHORT], contents_of(name))
    return line


def _line(step: Event | Action) -> str:
    match step:
        case RecordRead(number, record, version, alive, population):
            living = f"alive={','.join(sorted(alive)) or 'none'} of {population}"
            return f"RecordRead number={number} version={version} {living} {_record(record)}"
        case JoinQueue(number, ticket, card):
            return f"JoinQueue number={number} ticket={ticket}{_along(card)}"
        case ReadRecord(number, watch):
            return f"ReadRecord number={number} watch={watch}"
        case CommitRecord(number, record, version, checks, place, card):
            told = f"CommitRecord number={number} version={version}"
            told += "".join(f" check {path}={known}" for path, known in checks.items())
            told += f" place={place}" if place else ""
            return f"{told} {_record(record)}{_along(card)}"
        case Enrol(number, card, may_be_duplicate):
            again = " may_be_duplicate" if may_be_duplicate else ""
            return f"Enrol number={number}{again} {_card(card)}"
        case ShowCard(card):
            return f"ShowCard {_card(card)}"
        case QueueListed(number, names):
            return f"QueueListed number={number} names={', '.join(names) or 'none'}"
        case GroupRequestFailed(number, reason, is_refused):
            failed = "GroupRequestRefused" if is_refused else "GroupRequestFailed"
            return f"{failed} number={number} reason={reason}"
        case QueueNodeSeen(number, member, is_left_over):
            told = f"QueueNodeSeen number={number} member={member}"
            return f"{told} and left over" if is_left_over else told
    return describe(step)


def _along(card: Card | None) -> str:
    return "" if card is None else f" with {_card(card)}"


def _card(card: Card) -> str:
    told = f"{card.phase} health={card.health}"
    told += f" running={card.running}" if card.running else ""
    told += f" wanted={card.wanted}" if card.wanted else ""
    return told + (f" reason={card.reason}" if card.reason else "")


def _record(record: Rollout) -> str:
    """The record without times, and without what is as it always begins."""
    parts = [_entry(member, entry) for member, entry in record.inflight.items()]
    parts += [_verdict(digest, verdict) for digest, verdict in record.verdicts.items()]
    parts += [f"width {record.width.width} by {record.width.by}"] if record.width else []
    parts += [f"paused by {record.paused.by}"] if record.paused else []
    parts += [f"served {record.served}"] if record.served >= 0 else []
    return "{" + "; ".join(parts) + "}"


def _entry(member: str, entry: Entry) -> str:
    return f"{member} {entry.phase.value} {entry.digest}@{entry.revision} as {entry.token}"


def _verdict(digest: str, verdict: Verdict) -> str:
    words = [f"{digest}@{verdict.revision}"]
    words += ["proven"] if verdict.proven else []
    words += [f"lost {verdict.lost}"] if verdict.lost else []
    words += [f"failed by {','.join(verdict.failed_by)}"] if verdict.failed_by else []
    return " ".join(words)
