"""A short name for what an operator decides on: it changes when something about a decision does.

Members write the record all the time, and that an admission came in between is no reason to refuse
what an operator has confirmed.  So the mark is made of what operators and failures have changed:
the audit entries, the pause, the hold, and the versions with their failures.  For an operation on
one member its turn is part of it.

The file is short because zkexecctl's subcommands and its web page share it.
"""

from zkexec.core.rollout.record import RolloutRecord
from zkexec.digest import sha256

_DIGITS = 24


def record_mark(record: RolloutRecord, member: str = "") -> str:
    """Return the mark of a record, for an operation on this member or on none."""
    entry = record.in_flight.get(member)
    parts = (
        record.paused,
        record.hold,
        record.audit,
        sorted(
            (digest, state.failed_by, state.condemned_by)
            for digest, state in record.versions.items()
        ),
        entry and (entry.token, entry.phase),
    )
    text = repr(parts).encode("utf-8", "surrogatepass")
    return sha256(text).hexdigest()[:_DIGITS]
