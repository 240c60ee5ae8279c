"""Choose what the first start of a member may run.

A first start takes no turn, so it must not take a risk either.
"""

from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.rollout.version import ConfigVersion, contents_of
from zkexec.core.turn import StartBasis


def basis_of(
    record: RolloutRecord,
    member: str,
    wanted: ConfigVersion,
    on_disk: ConfigVersion | None,
    *,
    was_healthy: bool = False,
) -> StartBasis:
    """Prefer a known good version to an untried one, and never start a failed one.

    `on_disk` is the version of the files on disk, None if they are not complete; `was_healthy`: the
    command of this host was healthy on them, which counts here and nowhere else.  A version that
    failed on other members but is known good may still be started, as the last resort: a first
    start stops no command.  It does not need to follow a rolling restart on the same files
    either: it is a restart by itself.
    """
    has_failed = record.failure_of(wanted) is not None
    is_there = on_disk is not None and contents_of(on_disk.digest) == contents_of(wanted.digest)
    if not has_failed and (is_there or record.is_known_good(wanted)):
        return StartBasis.WANTED
    if on_disk is not None and may_rely_on(record, member, on_disk, was_healthy=was_healthy):
        return StartBasis.ON_DISK
    if not has_failed or may_rely_on(record, member, wanted):
        return StartBasis.WANTED
    return StartBasis.NOTHING


def may_rely_on(
    record: RolloutRecord, member: str, version: ConfigVersion, *, was_healthy: bool = False
) -> bool:
    """Whether these contents are known good after any restart, and did not fail on this member."""
    contents = contents_of(version.digest)
    known = [v for digest, v in record.versions.items() if contents_of(digest) == contents]
    is_known_good = was_healthy or any(v.known_good for v in known)
    return is_known_good and not any(member in v.failed_by for v in known)
