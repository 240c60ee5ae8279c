"""What the first start of a member may run: it takes no turn, so it must not take a risk either."""

from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.rollout.version import ConfigVersion, contents_of
from zkexec.core.turn import StartBasis


def basis_of(
    record: RolloutRecord, member: str, wanted: ConfigVersion, on_disk: ConfigVersion | None
) -> StartBasis:
    """Choose what is proven before what is not, and start nothing that has failed.

    `on_disk` is what the files hold by now, None where they are not all there.  What has failed on
    others but is proven may still be started, as the last resort: a start takes nobody down.  Nor
    does it need to follow a rolling restart on the same files: it is one by itself.
    """
    is_blocked = record.blocking(wanted) is not None
    is_there = on_disk is not None and contents_of(on_disk.digest) == contents_of(wanted.digest)
    if not is_blocked and (is_there or record.is_known_good(wanted)):
        return StartBasis.WANTED
    if on_disk is not None and _may_rely_on(record, member, on_disk):
        return StartBasis.ON_DISK
    if not is_blocked or _may_rely_on(record, member, wanted):
        return StartBasis.WANTED
    return StartBasis.NOTHING


def _may_rely_on(record: RolloutRecord, member: str, target: ConfigVersion) -> bool:
    """Whether these contents are proven, since whatever restart, and have not failed here."""
    contents = contents_of(target.digest)
    known = [v for digest, v in record.versions.items() if contents_of(digest) == contents]
    return any(v.known_good for v in known) and not any(member in v.failed_by for v in known)
