"""What the first start of a member may run: it takes no turn, so it must not take a risk either."""

from enum import Enum

from zkexec.core.rollout import Rollout
from zkexec.core.target import Target


class Basis(Enum):
    """What a first start may run."""

    WANTED = "wanted"
    ON_DISK = "on disk"
    NOTHING = "nothing"


def basis_of(record: Rollout, member: str, wanted: Target, on_disk: Target | None) -> Basis:
    """Choose what is proven before what is not, and start nothing that has failed.

    `on_disk` is what the files hold by now, None where they are not all there.  What has failed on
    others but is proven may still be started, as the last resort: a start takes nobody down.
    """
    is_blocked = record.blocking(wanted) is not None
    if record.is_proven(wanted) and not is_blocked:
        return Basis.WANTED
    if on_disk is not None and _may_rely_on(record, member, on_disk):
        return Basis.ON_DISK
    if not is_blocked or _may_rely_on(record, member, wanted):
        return Basis.WANTED
    return Basis.NOTHING


def _may_rely_on(record: Rollout, member: str, target: Target) -> bool:
    verdict = record.verdicts.get(target.digest)
    return verdict is not None and verdict.proven and member not in verdict.failed_by
